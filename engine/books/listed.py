"""The names of the processors that the books count for, in the order of the list; the books keep them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.memory import layout
from engine.memory.words import WORD_BYTES, Words

NAME_BYTES = layout.NAME_WORDS * WORD_BYTES


def write(names: Sequence[str], books: Words) -> None:
    """Writes the names into the books: one for each processor, at most NAME_BYTES of ASCII each."""
    assert len(names) == books[layout.BOOKS_PROCESSORS_AT]
    for number, name in enumerate(names):
        padded = name.encode("ascii").ljust(NAME_BYTES, b"\0")
        assert len(padded) == NAME_BYTES
        for word, at in enumerate(_places(number)):
            books[at] = int.from_bytes(padded[word * WORD_BYTES : (word + 1) * WORD_BYTES], "little")


def read(books: Words) -> tuple[str, ...]:
    """The names that the books keep."""
    return tuple(_name(books, number) for number in range(books[layout.BOOKS_PROCESSORS_AT]))


def _name(books: Words, number: int) -> str:
    text = b"".join(books[at].to_bytes(WORD_BYTES, "little") for at in _places(number))
    return text.rstrip(b"\0").decode("ascii", "replace")


def _places(number: int) -> range:
    begin = layout.BOOKS_NAMES_AT + number * layout.NAME_WORDS
    return range(begin, begin + layout.NAME_WORDS)
