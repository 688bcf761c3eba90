"""Which processors the memory belongs to: a number for each address, kept in the books.

A payment that is unresolved at a processor (sent, and it is unknown whether it was charged) belongs to that processor.
If an engine were started with another address in its place, it would ask a different processor, learn that the payment
is not there, and charge it a second time. So the books keep the fingerprint of the address. A different address is
accepted only if nothing is unresolved there, or if a person says that the same processor has moved
(:mod:`engine.storage.moved`).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.addresses import fingerprint, normalized
from engine.books import listed
from engine.invocation import command
from engine.memory import layout
from engine.memory.words import Words
from engine.storage import list_changes
from engine.storage.migration import Memory


def unresolved(memory: Memory) -> list[int]:
    """For each processor: payments whose outcome there is not known. The redo log must have been applied."""
    return list_changes.count(memory, list_changes.UNRESOLVED)


def complaint(urls: Sequence[str], memory: Memory) -> str:
    """Why the engine must not start with these addresses, in the order of the processors; "" if it may."""
    others = [
        number
        for number, url in enumerate(urls)
        if memory.books[layout.BOOKS_FINGERPRINTS_AT + number] not in (0, fingerprint(url))
    ]
    counts, names = unresolved(memory) if others else [], listed.read(memory.books)
    told = [
        f"{counts[number]} payments were sent to another {names[number]} than {normalized(urls[number])}, "
        "and only that one knows whether they are charged. Start with its address until they are settled; if it is the "
        f"same processor under a new address, say so first: `{command('moved', names[number])}`"
        for number in others
        if counts[number]
    ]
    return "\n".join(told)


def keep(urls: Sequence[str], books: Words) -> None:
    """Stores the fingerprints of these addresses: from now on these are the processors."""
    for number, url in enumerate(urls):
        books[layout.BOOKS_FINGERPRINTS_AT + number] = fingerprint(url)
