"""Which processors the memory belongs to: a number for each address, kept in the books.

What is unresolved at a processor (sent, and nobody knows whether it was charged) belongs to that processor. An engine
that is started with another address in its place would ask a stranger, be told that the payment is not there, and
charge it a second time. So the books know the address by its fingerprint, and another one is taken only when nothing is
unresolved there, or when a person says that the same processor has moved (:mod:`engine.storage.moved`).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.addresses import fingerprint, normalized
from engine.books import parked
from engine.memory import layout
from engine.memory.words import Words
from engine.ring.ring import RingReader
from engine.storage.migration import Memory

_UNRESOLVED = (layout.PROCESSING, layout.ALREADY)


def unresolved(memory: Memory) -> list[int]:
    """For each processor: payments whose outcome there is not known. The books' redo log must have been done."""
    counts = [0] * len(layout.PROCESSORS)
    for words in memory.rings:
        ring = RingReader(words)
        for position in range(max(0, ring.head - ring.slots, ring.forgotten_below), ring.head):
            at = ring.offset(position)
            state, processor, _ = layout.unpack_progress(position, words[at + layout.SLOT_PROGRESS])
            if state in _UNRESOLVED and words[at + layout.SLOT_SEQUENCE] == position + 1:
                counts[processor] += 1
    for payment in parked.open_payments(memory.books.__getitem__, memory.shape):
        if payment.state in _UNRESOLVED:
            counts[payment.processor] += 1
    return counts


def complaint(urls: Sequence[str], memory: Memory) -> str:
    """Why the engine must not start with these addresses, in the order of the processors; "" when it may."""
    others = [
        number
        for number, url in enumerate(urls)
        if memory.books[layout.BOOKS_FINGERPRINTS_AT + number] not in (0, fingerprint(url))
    ]
    counts = unresolved(memory) if others else []
    told = [
        f"{counts[number]} payments were sent to another {layout.PROCESSOR_NAMES[number]} than "
        f"{normalized(urls[number])}, and only that one knows whether they are charged. Start with its address until "
        f"they are settled; if it is the same processor under a new address, say so first: `python -m engine moved "
        f"{layout.PROCESSOR_NAMES[number]}`"
        for number in others
        if counts[number]
    ]
    return "\n".join(told)


def keep(urls: Sequence[str], books: Words) -> None:
    """From now on these are the processors."""
    for number, url in enumerate(urls):
        books[layout.BOOKS_FINGERPRINTS_AT + number] = fingerprint(url)
