"""The aside table: payments whose outcome a processor has not told for long.

A payment that is put aside no longer holds its ring's slot, and it is settled when its processor answers. The table is
part of the books, so that putting aside and settling are transactions. It is a table of buckets of a few places each:
nothing is ever moved, and finding takes a bounded number of steps. A settled payment is remembered until its place is
needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.books.levels import Shape
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.memory.words import WORD_MAX
from engine.ring.ring import Payment

# A Payment of the table has this instead of a ring; its position is the number of its place.
RING = -1


def find(get: Callable[[int], int], shape: Shape, id_high: int, id_low: int) -> Payment | None:
    """The payment with this correlationId; ``get(index)`` is a word of the books at one moment."""
    for place in _bucket(get, shape, id_high, id_low):
        at = shape.aside_at + place * layout.ASIDE_WORDS
        if get(at + layout.ASIDE_ID_LOW) == id_low and get(at + layout.ASIDE_ID_HIGH) == id_high:
            payment = read(get, shape, place)
            if payment is not None:
                return payment
    return None


def read(get: Callable[[int], int], shape: Shape, place: int) -> Payment | None:
    """The payment at ``place``, None when the place is free."""
    at = shape.aside_at + place * layout.ASIDE_WORDS
    state = _state(get, at)
    if state == layout.ASIDE_FREE:
        return None
    progress = get(at + layout.ASIDE_PROGRESS)
    return Payment(
        place,
        get(at + layout.ASIDE_ID_HIGH),
        get(at + layout.ASIDE_ID_LOW),
        get(at + layout.ASIDE_CENTS),
        get(at + layout.ASIDE_ACCEPTED_MS),
        layout.PROCESSING if state == layout.ASIDE_KEPT else layout.COMPLETED,
        progress >> 8 & 0xFF,
        progress >> 16,
        get(at + layout.ASIDE_REQUESTED_MS),
        get(at + layout.ASIDE_SETTLED_MS),
    )


def kept(get: Callable[[int], int], shape: Shape) -> Iterator[Payment]:
    """Every payment of the table that is not settled."""
    for place in range(shape.aside_slots):
        payment = read(get, shape, place)
        if payment is not None and payment.state == layout.PROCESSING:
            yield payment


def put(books: BooksWriter, shape: Shape, payment: Payment) -> int | None:
    """Takes a payment in as part of the books' transaction; its place, or None when its bucket is full."""
    places = list(_bucket(books.value, shape, payment.id_high, payment.id_low))
    ats = {place: shape.aside_at + place * layout.ASIDE_WORDS for place in places}
    usable = [place for place in places if _state(books.value, ats[place]) != layout.ASIDE_KEPT]
    if not usable:
        return None
    place = min(usable, key=lambda place: books.value(ats[place] + layout.ASIDE_SETTLED_MS))
    at = ats[place]
    era = books.value(layout.BOOKS_ASIDE_ERA_AT)
    books.put(0, at + layout.ASIDE_ERA_AND_STATE, era << 8 | layout.ASIDE_KEPT)
    books.put(0, at + layout.ASIDE_ID_HIGH, payment.id_high)
    books.put(0, at + layout.ASIDE_ID_LOW, payment.id_low)
    books.put(0, at + layout.ASIDE_CENTS, payment.cents)
    books.put(0, at + layout.ASIDE_ACCEPTED_MS, payment.accepted_ms)
    books.put(0, at + layout.ASIDE_PROGRESS, payment.attempts << 16 | payment.processor << 8)
    books.put(0, at + layout.ASIDE_REQUESTED_MS, payment.requested_ms)
    books.put(0, at + layout.ASIDE_SETTLED_MS, 0)
    books.put(0, layout.BOOKS_ASIDE_KEPT_AT, books.value(layout.BOOKS_ASIDE_KEPT_AT) + 1)
    books.put(0, layout.BOOKS_ASIDE_TAKEN_AT, books.value(layout.BOOKS_ASIDE_TAKEN_AT) + 1)
    return place


def settle(books: BooksWriter, shape: Shape, place: int, requested_ms: int, settled_ms: int) -> None:
    """Marks the payment at ``place`` as settled as part of the books' transaction."""
    at = shape.aside_at + place * layout.ASIDE_WORDS
    assert _state(books.value, at) == layout.ASIDE_KEPT
    era = books.value(layout.BOOKS_ASIDE_ERA_AT)
    books.put(0, at + layout.ASIDE_ERA_AND_STATE, era << 8 | layout.ASIDE_SETTLED)
    books.put(0, at + layout.ASIDE_REQUESTED_MS, requested_ms)
    books.put(0, at + layout.ASIDE_SETTLED_MS, settled_ms)
    books.put(0, layout.BOOKS_ASIDE_KEPT_AT, books.value(layout.BOOKS_ASIDE_KEPT_AT) - 1)


def _state(get: Callable[[int], int], at: int) -> int:
    word = get(at + layout.ASIDE_ERA_AND_STATE)
    return word & 0xFF if word >> 8 == get(layout.BOOKS_ASIDE_ERA_AT) else layout.ASIDE_FREE


def _bucket(get: Callable[[int], int], shape: Shape, id_high: int, id_low: int) -> range:
    """The places where a payment with this id may be."""
    mixed = ((3 * id_high + id_low) * get(layout.BOOKS_ASIDE_SEED_AT) & WORD_MAX) >> 32
    first = mixed % (shape.aside_slots // layout.ASIDE_WAYS) * layout.ASIDE_WAYS
    return range(first, first + layout.ASIDE_WAYS)
