"""The parking table: open payments that hold no slot of a ring.

A payment is parked when its outcome has been unknown for long, when its processors refuse the payment itself, or when
the code that decides about it has raised. It is settled, sent again or given up from there. The table is part of the
books, so each change of a payment is one transaction. The table has buckets of a few places each: no payment is ever
moved, and finding one takes a bounded number of steps. A payment that is done is remembered until its place is needed.
Changes of places are numbered, so that the ledger finds what is new, and can say how far SQL has come.

A payment that has failed holds a place too, because a person may have it tried again. It takes one only while fewer
than half of the places of its bucket are taken; beyond that the oldest failed one gives its place up. An open payment
that finds no other place takes that of the oldest failed one. Those that hold no place are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.books.levels import Shape
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.memory.hashing import mix
from engine.memory.words import Words
from engine.payment import Payment

# The ring of a Payment in the table; its position is the number of its parking place.
RING = -1
TAKEN_MAX = layout.PARKED_WAYS // 2  # with so many places of a bucket taken, a failed payment gets no other one


def find(get: Callable[[int], int], shape: Shape, id_high: int, id_low: int) -> Payment | None:
    """The payment with this correlationId; ``get(index)`` is a word of the books at one moment."""
    for place in bucket(get, shape, id_high, id_low):
        at = _at(shape, place)
        if get(at + layout.PARKED_ID_LOW) == id_low and get(at + layout.PARKED_ID_HIGH) == id_high:
            payment = read(get, shape, place)
            if payment is not None:
                return payment
    return None


def read(get: Callable[[int], int], shape: Shape, place: int) -> Payment | None:
    """The payment at ``place``, None when the place is free."""
    at = _at(shape, place)
    code = _code(get, at)
    return None if code == layout.PARKED_FREE else _payment(get, at, place, code)


def read_of_any_era(get: Callable[[int], int], shape: Shape, place: int) -> tuple[int, Payment] | None:
    """The payment that ``place`` has held last, with the books' era that it belongs to; None: it was never used."""
    at = _at(shape, place)
    era, code = divmod(get(at + layout.PARKED_ERA_AND_STATE), 1 << 8)
    return None if code == layout.PARKED_FREE else (era, _payment(get, at, place, code))


def _payment(get: Callable[[int], int], at: int, place: int, code: int) -> Payment:
    progress, settled = get(at + layout.PARKED_PROGRESS), get(at + layout.PARKED_SETTLED)
    return Payment(
        place,
        get(at + layout.PARKED_ID_HIGH),
        get(at + layout.PARKED_ID_LOW),
        get(at + layout.PARKED_CENTS),
        get(at + layout.PARKED_ACCEPTED_MS),
        code - 1,
        progress >> 8 & 0xFF,
        progress >> 16,
        get(at + layout.PARKED_REQUESTED_MS),
        settled & layout.SETTLED_MS_MASK,
        settled >> layout.REASON_SHIFT,
        get(at + layout.PARKED_ORIGIN),
        get(at + layout.PARKED_FIRST_MS),
        True,
    )


def refusals(get: Callable[[int], int], shape: Shape, place: int) -> int:
    """The word PARKED_REFUSALS of the payment at ``place``."""
    return get(_at(shape, place) + layout.PARKED_REFUSALS)


def home(get: Callable[[int], int], shape: Shape, place: int) -> int:
    """The word PARKED_HOME of the payment at ``place``."""
    return get(_at(shape, place) + layout.PARKED_HOME)


def open_payments(get: Callable[[int], int], shape: Shape) -> Iterator[Payment]:
    """Every payment of the table that is not done."""
    for place in range(shape.parked_slots):
        if _code(get, _at(shape, place)) in layout.PARKED_OPEN:
            payment = read(get, shape, place)
            assert payment is not None
            yield payment


def put(
    books: BooksWriter,
    shape: Shape,
    payment: Payment,
    refused: int = 0,
    home: int = 0,
    waits_for_ledger: bool = False,
) -> int | None:
    """Parks a payment that is open or has failed, as part of the books' transaction. Returns its place, None if its
    bucket is full.

    ``refused``, ``home``: its words PARKED_REFUSALS and PARKED_HOME. With a ``payment.reason`` an open one is a dead
    letter, since ``payment.settled_ms``. ``waits_for_ledger``: only a place of which SQL has the last change is used
    again.
    """
    is_open = 1 + payment.state in layout.PARKED_OPEN
    assert is_open or payment.state == layout.FAILED
    place = _choose(books, shape, payment, is_open, waits_for_ledger)
    if place is None:
        books.add(layout.BOOKS_FAILED_DROPPED_AT, not is_open)
        return None
    at = _at(shape, place)
    books.add(layout.BOOKS_FAILED_DROPPED_AT, _has_failed(books.value, at))
    settled = layout.pack_settled(payment.settled_ms, payment.reason)
    if is_open:
        settled = _dead_since(payment.settled_ms, payment.reason)
    books.put(0, at + layout.PARKED_ERA_AND_STATE, _era(books) | 1 + payment.state)
    books.put(0, at + layout.PARKED_ID_HIGH, payment.id_high)
    books.put(0, at + layout.PARKED_ID_LOW, payment.id_low)
    books.put(0, at + layout.PARKED_CENTS, payment.cents)
    books.put(0, at + layout.PARKED_ACCEPTED_MS, payment.accepted_ms)
    books.put(0, at + layout.PARKED_ORIGIN, payment.origin)
    books.put(0, at + layout.PARKED_PROGRESS, payment.attempts << 16 | payment.processor << 8)
    books.put(0, at + layout.PARKED_REQUESTED_MS, payment.requested_ms)
    books.put(0, at + layout.PARKED_SETTLED, settled)
    books.put(0, at + layout.PARKED_FIRST_MS, payment.first_ms)
    books.put(0, at + layout.PARKED_REFUSALS, refused)
    books.put(0, at + layout.PARKED_HOME, home)
    _number(books, at)
    books.add(layout.BOOKS_PARKED_KEPT_AT, is_open)
    books.add(layout.BOOKS_PARKED_TAKEN_AT, 1)
    books.add(layout.BOOKS_DEAD_AT, is_open and payment.reason != layout.REASON_NONE)
    assert find(books.value, shape, payment.id_high, payment.id_low) is not None
    return place


def change(books: BooksWriter, shape: Shape, place: int, payment: Payment, refused: int | None = None) -> None:
    """Changes the open payment at ``place`` to what ``payment`` says, as part of the books' transaction.

    It changes state, processor, attempts, times and reason, and the word PARKED_REFUSALS unless ``refused`` is None. A
    state that is not open ends the payment: its place may be given to another payment from then on.
    """
    at = _at(shape, place)
    assert _code(books.value, at) in layout.PARKED_OPEN
    was_dead, is_open = books.value(at + layout.PARKED_SETTLED) != 0, 1 + payment.state in layout.PARKED_OPEN
    settled = layout.pack_settled(payment.settled_ms, payment.reason)
    if is_open:
        settled = _dead_since(payment.settled_ms, payment.reason)
    books.put(0, at + layout.PARKED_ERA_AND_STATE, _era(books) | 1 + payment.state)
    books.put(0, at + layout.PARKED_PROGRESS, payment.attempts << 16 | payment.processor << 8)
    books.put(0, at + layout.PARKED_REQUESTED_MS, payment.requested_ms)
    books.put(0, at + layout.PARKED_SETTLED, settled)
    books.put(0, at + layout.PARKED_FIRST_MS, payment.first_ms)
    if refused is not None:
        books.put(0, at + layout.PARKED_REFUSALS, refused)
    _number(books, at)
    if not is_open:
        books.add(layout.BOOKS_PARKED_KEPT_AT, -1)
    books.add(layout.BOOKS_DEAD_AT, (is_open and settled != 0) - was_dead)


def reopen(books: BooksWriter, shape: Shape, place: int, origin: int) -> None:
    """The failed payment at ``place`` waits again, as part of the books' transaction; ``origin``: its new word."""
    at = _at(shape, place)
    assert _has_failed(books.value, at)
    books.put(0, at + layout.PARKED_ERA_AND_STATE, _era(books) | 1 + layout.QUEUED)
    books.put(0, at + layout.PARKED_ORIGIN, origin)
    books.put(0, at + layout.PARKED_SETTLED, 0)
    books.put(0, at + layout.PARKED_REFUSALS, 0)
    _number(books, at)
    books.add(layout.BOOKS_PARKED_KEPT_AT, 1)


def _choose(books: BooksWriter, shape: Shape, payment: Payment, is_open: bool, waits_for_ledger: bool) -> int | None:
    """The place that a payment gets: never that of an open one, and that of a failed one only as the module says."""
    get = books.value
    places = bucket(get, shape, payment.id_high, payment.id_low)
    usable = [place for place in places if _code(get, _at(shape, place)) not in layout.PARKED_OPEN]
    failed = [place for place in usable if _has_failed(get, _at(shape, place))]
    others = [place for place in usable if place not in failed]
    if not is_open and len(places) - len(others) >= TAKEN_MAX:
        others = []
    if waits_for_ledger:
        others, failed = ([one for one in some if _is_recorded(get, _at(shape, one))] for some in (others, failed))
    return min(others or failed, key=lambda place: _free_since(get, _at(shape, place)), default=None)


def _has_failed(get: Callable[[int], int], at: int) -> bool:
    """Whether the place has a payment that a person may have tried again."""
    reason = get(at + layout.PARKED_SETTLED) >> layout.REASON_SHIFT
    return _code(get, at) == 1 + layout.FAILED and reason not in layout.DECLARED


def changed_since(words: Words, shape: Shape, sequence: int) -> list[int]:
    """The places whose last change has this number (PARKED_SEQUENCE), or a later one. Any process may ask."""
    first = _at(shape, 0) + layout.PARKED_SEQUENCE
    return [place for place in range(shape.parked_slots) if words[first + place * layout.PARKED_WORDS] >= sequence]


def _number(books: BooksWriter, at: int) -> None:
    """Gives a change of the place at word ``at`` its number, from 1 on."""
    books.add(layout.BOOKS_PARKED_SEQUENCE_AT, 1)
    books.put(0, at + layout.PARKED_SEQUENCE, books.value(layout.BOOKS_PARKED_SEQUENCE_AT))


def is_recorded(get: Callable[[int], int], shape: Shape, place: int) -> bool:
    """Whether SQL has the last change of a place."""
    return _is_recorded(get, _at(shape, place))


def _is_recorded(get: Callable[[int], int], at: int) -> bool:
    """Whether SQL has the last change of the place at word ``at``, or the place was never used."""
    if get(at + layout.PARKED_ERA_AND_STATE) == layout.PARKED_FREE:
        return True
    return get(at + layout.PARKED_SEQUENCE) < get(layout.BOOKS_LEDGER_AT)


def _dead_since(since_ms: int, reason: int) -> int:
    """The word PARKED_SETTLED of a payment that is open."""
    return layout.pack_settled(since_ms, reason) if reason != layout.REASON_NONE else 0


def _free_since(get: Callable[[int], int], at: int) -> int:
    """When the payment of a place that is not open was done; 0 if the place was never used."""
    return get(at + layout.PARKED_SETTLED) & layout.SETTLED_MS_MASK


def _at(shape: Shape, place: int) -> int:
    return shape.parked_at + place * layout.PARKED_WORDS


def _era(books: BooksWriter) -> int:
    return books.value(layout.BOOKS_PARKED_ERA_AT) << 8


def _code(get: Callable[[int], int], at: int) -> int:
    word = get(at + layout.PARKED_ERA_AND_STATE)
    return word & 0xFF if word >> 8 == get(layout.BOOKS_PARKED_ERA_AT) else layout.PARKED_FREE


def bucket(get: Callable[[int], int], shape: Shape, id_high: int, id_low: int) -> range:
    """The places where a payment with this id may be."""
    seed = get(layout.BOOKS_PARKED_SEED_AT)
    first = (mix(id_high, id_low, seed, seed) >> 32) % (shape.parked_slots // layout.PARKED_WAYS) * layout.PARKED_WAYS
    return range(first, first + layout.PARKED_WAYS)
