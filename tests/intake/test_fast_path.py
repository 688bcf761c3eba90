"""What the fast path promises: in its case it does what Python does, store by store, and it leaves all else alone."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from socketify.native import ffi

from engine import settings as settings_module
from engine.books import levels
from engine.books.reader import BooksReader
from engine.intake import build, payment
from engine.intake.acceptor import STUCK_SECONDS, Acceptor, FileLock, StripeBusyError, Usage, Verdict
from engine.intake.fast_path import FastPath, NotBuiltError
from engine.memory import layout
from engine.memory.doorbell import Doorbell, Pipe
from engine.memory.hashing import mix
from engine.memory.words import Words
from engine.ring.ids import IdMemory, stripe
from engine.ring.ring import DONE, RingReader, RingWriter
from engine.storage import locks, mapping
from tests.hostile.test_parser import damaged, documents, payments
from tests.intake.engine import engine, new_id, wait_until
from tests.intake.test_acceptor import CLOCK_MS, NOW_MS, lock_file, park
from tests.ring.memory import Recorded, Store, blank, copy
from tests.ring.test_ids import LEAST, make_ids, of_one_bucket, random_ids
from tests.ring.test_ring import ONE_BUCKET, SLOTS, SPREAD, finish, make_ring
from tests.ring.test_ring_crash import NEW, USED, crashes, used_ring

SETTINGS = settings_module.read({})
SHAPE = levels.shape(30, 1, 64, 2)
CENTS_MAX = SETTINGS.intake.amount_cents_max
WORLDS_MAX = 16


@dataclass
class World:
    """Two rings and empty books in private memory, an id memory if any, an acceptor of ring 0, and its fast path."""

    memories: list[memoryview[int]]
    ids: memoryview[int] | None
    acceptor: Acceptor
    fast_path: FastPath

    def content(self) -> list[bytes]:
        return [bytes(memory) for memory in (*self.memories, *([] if self.ids is None else [self.ids]))]


class Maker:
    """Makes worlds, and takes them down together."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[tuple[FastPath, Acceptor, Doorbell]] = []

    def __call__(
        self, *memories: memoryview[int], ids: memoryview[int] | None = None, waits_for_ledger: bool = False
    ) -> World:
        books: Words = blank(SHAPE.words)  # type: ignore[assignment]
        levels.lay_out_books(books, SHAPE, SPREAD[0])
        own = RingWriter(memories[0], waits_for_ledger=waits_for_ledger)  # type: ignore[arg-type]
        rings = [own, *(RingReader(memory) for memory in memories[1:])]  # type: ignore[arg-type]
        memory = None if ids is None else IdMemory(ids)  # type: ignore[arg-type]
        acceptor = Acceptor(rings, own, BooksReader(books, SHAPE), FileLock(lock_file(self._directory)), memory)
        doorbell = Doorbell(Pipe(str(self._directory / "doorbell")), books)
        fast_path = FastPath(SETTINGS, rings, own, books, SHAPE, acceptor, doorbell)
        self._made.append((fast_path, acceptor, doorbell))
        while len(self._made) > WORLDS_MAX:  # each holds descriptors, and a test has at most a few
            self._end(self._made.pop(0))
        return World(list(memories), ids, acceptor, fast_path)

    def end(self) -> None:
        for made in self._made:
            self._end(made)

    @staticmethod
    def _end(made: tuple[FastPath, Acceptor, Doorbell]) -> None:
        for part in made:
            part.close()


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    maker = Maker(tmp_path_factory.mktemp("fast_path"))
    yield maker
    maker.end()


# --- the body --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fast_path(make: Maker) -> FastPath:
    return make(make_ring()).fast_path


def by_python(body: bytes) -> tuple[int, int, int] | None:
    try:
        return payment.parse(body, 10**15)
    except payment.BadPayment:
        return None


@settings(max_examples=600, deadline=None)
@given(st.one_of(payments(), documents(), damaged()))
def test_what_the_fast_path_reads_of_a_body_is_what_python_reads(fast_path: FastPath, body: bytes) -> None:
    assert fast_path.parse(body) in (None, by_python(body))


blanks = st.text(" \t\r\n", max_size=2)
plain_amounts = st.one_of(
    st.integers(1, 10**13 - 1).map(str),
    st.integers(1, 10**14 - 1).map(lambda tenths: f"{tenths // 10}.{tenths % 10}"),
    st.integers(1, 10**15 - 1).map(payment.format_cents),
)


@settings(max_examples=300, deadline=None)
@given(st.uuids(), plain_amounts, st.lists(blanks, min_size=12, max_size=12), st.booleans(), st.booleans())
def test_a_plain_payment_is_read_by_the_fast_path(
    fast_path: FastPath, identity: object, amount: str, blanks: list[str], is_upper: bool, amount_first: bool
) -> None:
    text = str(identity).upper() if is_upper else str(identity)
    fields = [('"correlationId"', f'"{text}"'), ('"amount"', amount)]
    (name, value), (other_name, other_value) = reversed(fields) if amount_first else fields
    parts = ["", "{", name, ":", value, ",", other_name, ":", other_value, "}", ""]
    body = "".join(part + blank for part, blank in zip(parts, blanks, strict=False)).encode()
    assert fast_path.parse(body) == by_python(body) is not None


PLAIN = b'{"correlationId":"4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3","amount":19.90}'


def test_a_body_that_ends_early_or_goes_on_is_not_plain(fast_path: FastPath) -> None:
    assert fast_path.parse(PLAIN) is not None
    assert [fast_path.parse(PLAIN[:length]) for length in range(len(PLAIN))] == [None] * len(PLAIN)
    # What lies behind the body in the receive buffer would make it whole: it must not be looked at.
    assert [fast_path.parse(PLAIN + bytes([byte])) for byte in range(256) if byte not in b" \t\r\n"] == [None] * 252


@pytest.mark.parametrize("at", range(len(PLAIN)))
def test_any_byte_that_is_changed_is_read_as_python_reads_it_or_not_at_all(fast_path: FastPath, at: int) -> None:
    for byte in range(256):
        body = PLAIN[:at] + bytes([byte]) + PLAIN[at + 1 :]
        assert fast_path.parse(body) in (None, by_python(body))


# --- rings and books -------------------------------------------------------------------------------------------------

Step = tuple[str, int]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), st.integers(0, 30)),
        st.tuples(st.just("pay elsewhere"), st.integers(0, 30)),
        st.tuples(st.just("finish"), st.integers(0, SLOTS - 1)),
        st.tuples(st.just("record"), st.integers(0, SLOTS)),
        st.tuples(st.just("purge"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([ONE_BUCKET, SPREAD]), st.booleans(), st.booleans(), st.booleans())
def test_whatever_happens_the_fast_path_leaves_the_same_words_as_python_and_takes_all_that_is_new(
    make: Maker, steps: list[Step], seeds: tuple[int, int], is_alone: bool, has_ids: bool, waits: bool
) -> None:
    count = 1 if is_alone else 2
    ours, twin = (
        make(
            *(make_ring(seeds=seeds) for _ in range(count)),
            ids=make_ids(seeds=seeds) if has_ids else None,
            waits_for_ledger=waits,
        )
        for _ in range(2)
    )
    for what, number in steps:
        cents = 100 + number % 2
        for world in (ours, twin):
            memory: Words = world.memories[0]  # type: ignore[assignment]
            if what == "finish":
                position = RingReader(memory).head - 1 - number
                if position >= 0:
                    finish(memory, position)
            elif what == "record":  # also backwards
                memory[layout.RING_LEDGER_AT] = max(0, RingReader(memory).head - number)
            elif what == "purge":
                memory[layout.RING_FORGOTTEN_AT] = memory[layout.RING_HEAD_AT]
            elif what == "pay elsewhere" and not is_alone and twin.acceptor.find(7, number) is None:
                RingWriter(world.memories[1]).put(7, number, cents, NOW_MS, CLOCK_MS)  # type: ignore[arg-type]
        if what == "pay":
            before = ours.content()
            is_taken = ours.fast_path.accept(7, number, cents, NOW_MS, CLOCK_MS)
            verdict = twin.acceptor.accept(7, number, cents, NOW_MS, CLOCK_MS)
            assert is_taken is (verdict is Verdict.ACCEPTED)
            if not is_taken:
                assert ours.content() == before
                assert ours.acceptor.accept(7, number, cents, NOW_MS, CLOCK_MS) is verdict
        assert ours.content() == twin.content()


@pytest.mark.parametrize("seeds", [ONE_BUCKET, SPREAD])
@pytest.mark.parametrize("puts", [3, SLOTS + 1])
def test_beside_a_ring_whose_writer_was_killed_nothing_known_is_taken(
    make: Maker, puts: int, seeds: tuple[int, int]
) -> None:
    for other, is_published in crashes(puts, seeds):
        for number in (NEW, max(0, puts - SLOTS + 1), puts - 1):
            ours, twin = (make(make_ring(seeds=seeds), copy(other)) for _ in range(2))
            is_taken = ours.fast_path.accept(0, number, 100, NOW_MS, CLOCK_MS)
            assert not is_taken or (number == NEW and not is_published)
            assert not is_taken or twin.acceptor.accept(0, number, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED


@pytest.mark.parametrize("state", [layout.QUEUED, layout.PROCESSING, *DONE])
def test_only_a_payment_that_is_done_gives_its_slot_to_the_fast_path(make: Maker, state: int) -> None:
    memory = make_ring()
    world = make(memory)
    for position in range(SLOTS):
        assert world.fast_path.accept(0, position, 100, NOW_MS, CLOCK_MS)
    finish(memory, 0, state)  # type: ignore[arg-type]
    assert world.fast_path.accept(0, SLOTS, 100, NOW_MS, CLOCK_MS) is (state in DONE)
    if state in DONE:
        # What is written in the slot now was said of the payment before.
        for position in range(1, SLOTS):
            finish(memory, position, state)  # type: ignore[arg-type]
            assert world.fast_path.accept(0, SLOTS + position, 100, NOW_MS, CLOCK_MS)
        assert not world.fast_path.accept(0, 2 * SLOTS, 100, NOW_MS, CLOCK_MS)


def test_where_the_ledger_is_waited_for_the_fast_path_takes_no_slot_whose_payment_sql_does_not_have(
    make: Maker,
) -> None:
    memory: Words = make_ring()  # type: ignore[assignment]
    world = make(memory, waits_for_ledger=True)  # type: ignore[arg-type]
    for position in range(SLOTS):
        assert world.fast_path.accept(0, position, 100, NOW_MS, CLOCK_MS)
        finish(memory, position)
    assert not world.fast_path.accept(0, SLOTS, 100, NOW_MS, CLOCK_MS)
    assert world.acceptor.accept(0, SLOTS, 100, NOW_MS, CLOCK_MS) is Verdict.UNRECORDED
    assert world.acceptor.own_usage() == Usage(SLOTS, 1, full=True, unrecorded=True)
    memory[layout.RING_LEDGER_AT] = 1
    assert world.fast_path.accept(0, SLOTS, 100, NOW_MS, CLOCK_MS)
    assert not world.fast_path.accept(0, SLOTS + 1, 100, NOW_MS, CLOCK_MS)


def test_the_fast_path_refuses_more_than_the_largest_amount(make: Maker) -> None:
    world = make(make_ring())
    assert not world.fast_path.accept(1, 2, CENTS_MAX + 1, NOW_MS, CLOCK_MS)
    assert world.fast_path.accept(1, 2, CENTS_MAX, NOW_MS, CLOCK_MS)


def test_what_was_parked_is_not_taken_again_and_nothing_while_the_books_are_written(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as made:
        own = RingWriter(made.segments[1].words)
        rings = [made.rings[0], own]
        acceptor = Acceptor(rings, own, made.reader, FileLock(made.books.lock_path))
        doorbell = Doorbell(Pipe(made.settings.host.doorbell_path), made.books.words)
        shape = mapping.books_shape(made.settings)
        fast_path = FastPath(made.settings, rings, own, made.books.words, shape, acceptor, doorbell)
        filler = RingWriter(made.segments[0].words)
        filler.put(7, 7, 1990, NOW_MS, CLOCK_MS)
        park(made, 0)
        for number in range(made.settings.storage.ring_slots):
            filler.put(0, number, 1, NOW_MS, CLOCK_MS)
        assert made.rings[0].find(7, 7) is None
        assert not fast_path.accept(7, 7, 1990, NOW_MS, CLOCK_MS)
        assert fast_path.accept(7, 8, 1990, NOW_MS, CLOCK_MS)
        made.books.words[layout.BOOKS_VERSION_AT] += 1
        assert not fast_path.accept(7, 9, 1990, NOW_MS, CLOCK_MS)
        made.books.words[layout.BOOKS_VERSION_AT] += 1
        assert fast_path.accept(7, 9, 1990, NOW_MS, CLOCK_MS)
        fast_path.close()
        acceptor.close()
        doorbell.close()


def test_the_lock_of_an_id_that_another_process_holds_is_waited_for_in_python_and_not_for_ever(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as made:
        own = RingWriter(made.segments[1].words)
        rings = [made.rings[0], own]
        acceptor = Acceptor(rings, own, made.reader, FileLock(made.books.lock_path))
        doorbell = Doorbell(Pipe(made.settings.host.doorbell_path), made.books.words)
        fast_path = FastPath(
            made.settings, rings, own, made.books.words, mapping.books_shape(made.settings), acceptor, doorbell
        )
        other = os.open(made.books.lock_path, os.O_RDWR)
        first = made.segments[0].words
        seeds = first[layout.RING_SEED_HIGH_AT], first[layout.RING_SEED_LOW_AT]
        own_stripe = stripe(mix(7, 8, *seeds))
        assert locks.take(other, own_stripe)
        assert not fast_path.accept(7, 8, 1990, NOW_MS, CLOCK_MS) and own.head == 0
        assert fast_path.accept(7, 9, 1990, NOW_MS, CLOCK_MS), "another id has another lock"
        begun = time.monotonic()
        with pytest.raises(StripeBusyError):
            acceptor.accept(7, 8, 1990, NOW_MS, CLOCK_MS)
        waited = time.monotonic() - begun
        with pytest.raises(StripeBusyError):
            acceptor.accept(7, 8, 1990, NOW_MS, CLOCK_MS)
        assert time.monotonic() - begun - waited < waited, "who is stuck is not waited for again at once"
        assert own.head == 1
        freeing = threading.Timer(0.002, locks.free, (other, own_stripe))
        time.sleep(STUCK_SECONDS)
        freeing.start()
        assert acceptor.accept(7, 8, 1990, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
        freeing.join()
        assert not fast_path.accept(7, 8, 1990, NOW_MS, CLOCK_MS) and own.head == 2
        os.close(other)
        fast_path.close()
        acceptor.close()
        doorbell.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fast path compiled so that every store is recorded (watched.c)."""
    directory = tmp_path_factory.mktemp("watched")
    library, parts = directory / "libwatched.so", [directory / "fast_path.o", directory / "watched.o"]
    for source, part, flags in (
        # -Wno-tsan: races are not looked for, so it does not matter that fences are not understood.
        (build.SOURCES[0], parts[0], ["-fsanitize=thread", "-Wno-tsan"]),
        (Path(__file__).with_name("watched.c"), parts[1], []),
    ):
        subprocess.run([*build.compiler(), "-Werror", *flags, "-c", "-o", str(part), str(source)], check=True)
    subprocess.run([build.compiler()[0], "-shared", "-o", str(library), *map(str, parts)], check=True)
    return library


@pytest.mark.parametrize("remembered", [None, 0, 2, 3, 255, 300])
@pytest.mark.parametrize("puts", USED)
def test_the_fast_path_makes_the_very_stores_of_the_python_writer_in_their_order(
    make: Maker, watched: Path, monkeypatch: pytest.MonkeyPatch, puts: int, remembered: int | None
) -> None:
    """``remembered``: how many ids the bucket of the new one has had; None: without an id memory."""
    monkeypatch.setattr(build, "LIBRARY", watched)
    memory, ids = used_ring(puts, SPREAD), make_ids()
    *older, (id_high, id_low) = of_one_bucket(IdMemory(ids), (remembered or 0) + 1)  # type: ignore[arg-type]
    for one in older:
        IdMemory(ids).remember(*one)  # type: ignore[arg-type]
    expected: list[Store] = []
    made = IdMemory(Recorded(copy(ids), expected, 1)) if remembered is not None else None
    own = RingWriter(Recorded(copy(memory), expected))
    rings, books = [own, RingReader(make_ring())], make(memory, make_ring()).acceptor._books  # type: ignore[arg-type]
    twin = Acceptor(rings, own, books, FileLock(lock_file(watched.parent)), made)
    expected.clear()  # opening the ring is Python's
    assert twin.accept(id_high, id_low, 1990, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
    twin.close()
    world = make(memory, make_ring(), ids=None if remembered is None else ids)
    library = ffi.dlopen(str(watched))
    library.watched_count = 0
    assert world.fast_path.accept(id_high, id_low, 1990, NOW_MS, CLOCK_MS)
    seen = [
        find_store([memory, ids], int(ffi.cast("uintptr_t", stored.address)), stored.value)
        for stored in library.watched_stores[0 : library.watched_count]
    ]
    assert len(seen) == (12 if remembered is None else 14)
    assert seen == expected


def find_store(segments: list[memoryview[int]], address: int, value: int) -> Store:
    """A store to ``address``, as it is recorded in Python."""
    for number, memory in enumerate(segments):
        at = (address - int(ffi.cast("uintptr_t", ffi.from_buffer(memory)))) // 8
        if 0 <= at < len(memory):
            return Store(number, at, (value,))
    raise AssertionError("a store elsewhere")


def test_the_fast_path_remembers_ids_and_marks_those_that_it_knows_as_python_does(make: Maker) -> None:
    """In a memory that is full of anything, so that some ids look like known ones."""
    memory, ids = make_ring(seeds=SPREAD), make_ids(2 * LEAST)
    begin = layout.IDS_HEADER_WORDS
    ids[begin:] = memoryview(random.Random(8).randbytes(8 * (len(ids) - begin))).cast("Q")
    known = list(islice(random_ids(9), 200))
    for one in known:
        IdMemory(ids).remember(*one)  # type: ignore[arg-type]
    ours, twin = make(memory, ids=ids), make(copy(memory), ids=copy(ids))
    seen = 0
    for one in (*known, *islice(random_ids(10), 4000)):
        assert ours.fast_path.accept(*one, 100, NOW_MS, CLOCK_MS)
        assert twin.acceptor.accept(*one, 100, NOW_MS, CLOCK_MS) is Verdict.ACCEPTED
        assert bytes(ours.memories[0]) == bytes(twin.memories[0])
        for world in (ours, twin):
            words: Words = world.memories[0]  # type: ignore[assignment]
            payment = RingReader(words).read(words[layout.RING_HEAD_AT] - 1)
            assert payment is not None and payment.clock_ms == CLOCK_MS
            finish(words, payment.position)
        assert payment is not None and (payment.is_seen or one not in known)
        seen += payment.is_seen
    assert ours.content() == twin.content()
    assert 200 < seen < 240


def test_what_is_refused_is_not_remembered_for_it_comes_again(make: Maker) -> None:
    world = make(make_ring(seeds=SPREAD), ids=make_ids())
    assert world.ids is not None
    for number in range(SLOTS):
        assert world.fast_path.accept(0, number, 100, NOW_MS, CLOCK_MS)
    before = bytes(world.ids)
    assert not world.fast_path.accept(0, NEW, 100, NOW_MS, CLOCK_MS)
    assert world.acceptor.accept(0, NEW, 100, NOW_MS, CLOCK_MS) is Verdict.FULL
    assert not world.fast_path.accept(0, 0, 100, NOW_MS, CLOCK_MS)
    assert world.acceptor.accept(0, 0, 100, NOW_MS, CLOCK_MS) is Verdict.SAME
    assert bytes(world.ids) == before


ffi.cdef(
    """
    typedef struct { uint64_t *address; uint64_t value; } stored_t;
    extern stored_t watched_stores[1024];
    extern unsigned watched_count;
    """
)


# --- the library -----------------------------------------------------------------------------------------------------


def test_a_library_of_other_sources_is_not_used(make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build.is_built(build.LIBRARY)
    source = tmp_path / "fast_path.c"
    source.write_text(build.SOURCES[0].read_text() + "\n")
    monkeypatch.setattr(build, "SOURCES", (source, build.SOURCES[1]))
    with pytest.raises(NotBuiltError):
        make(make_ring())
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "missing.so")
    with pytest.raises(NotBuiltError):
        make(make_ring())


# --- as part of an API process ---------------------------------------------------------------------------------------


def head_of(body: bytes) -> bytes:
    return b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)


def new_body() -> bytes:
    return json.dumps({"correlationId": new_id(), "amount": 1}).encode()


def test_a_body_that_is_still_awaited_at_a_stop_gets_its_answer(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as made:
        process = made.start()
        path, body = made.settings.host.api_socket(0), new_body()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(path)
            connection.sendall(head_of(body) + body)
            assert connection.recv(4096).startswith(b"HTTP/1.1 202 ")
            body = new_body()
            connection.sendall(head_of(body))
            with made.client() as other:  # an answer here: the head above has been seen
                assert other.get("/healthcheck").status_code == 200
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: not listens(path), "the socket to be closed")
            connection.sendall(body)
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 202 ")
            assert b"connection: close" in answer.lower()
        assert process.wait(5) == 0
        assert made.rings[0].head == 2


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def test_pieces_are_put_together_and_accepted_once(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as made:
        made.start()
        with made.client() as other, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(made.settings.host.api_socket(0))
            for number in range(3):
                body = new_body()
                for piece in (head_of(body), body[:1], body[1:40], body[40:]):
                    connection.sendall(piece)
                    assert other.get("/healthcheck").status_code == 200  # so that the pieces come one by one
                assert connection.recv(4096).startswith(b"HTTP/1.1 202 ")
                assert made.rings[0].head == number + 1


def test_the_second_half_of_a_body_alone_is_no_payment(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as made:
        made.start()
        with made.client() as other, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(made.settings.host.api_socket(0))
            body = new_body()
            connection.sendall(head_of(b"x" + body) + b"x")
            assert other.get("/healthcheck").status_code == 200
            connection.sendall(body)
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        assert made.rings[0].head == 0


class Exchange:
    """One request through the native handlers of the fast path, with a test in socketify's place."""

    def __init__(self, fast_path: FastPath, body: bytes) -> None:
        self._headers = {b"content-length": str(len(body)).encode()}
        self.said: list[str] = []
        state = fast_path._state
        self._callbacks = {
            "get_header": ffi.callback("size_t(uws_req_t *, const char *, size_t, const char **)", self._get_header),
            "write_status": ffi.callback(
                "void(int, uws_res_t *, const char *, size_t)",
                lambda _plain, _response, text, length: self.said.append(ffi.string(text, length).decode()),
            ),
            "end": ffi.callback("void(int, uws_res_t *, const char *, size_t, bool)", lambda *_: None),
            "on_data": ffi.callback(
                "void(int, uws_res_t *, void (*)(uws_res_t *, const char *, size_t, bool, void *), void *)",
                lambda _plain, _response, handler, expected: setattr(self, "_data", (handler, expected)),
            ),
            "on_aborted": ffi.callback(
                "void(int, uws_res_t *, void (*)(uws_res_t *, void *), void *)",
                lambda _plain, _response, handler, _: setattr(self, "_aborted", handler),
            ),
        }
        for name, callback in self._callbacks.items():
            setattr(state, name, callback)
        self._others = (
            ffi.callback("void(uws_res_t *, uws_req_t *, void *)", lambda *_: self.said.append("another request")),
            ffi.callback(
                "void(uws_res_t *, const char *, size_t, bool, void *)",
                lambda _response, piece, length, is_end, _: self.said.append(
                    f"piece {bytes(ffi.unpack(piece, length)).decode()!r} {is_end}"
                ),
            ),
        )
        fast_path.serve(*self._others)(ffi.NULL, ffi.NULL, ffi.NULL)

    def _get_header(self, _request: object, name: Any, length: int, value: Any) -> int:
        found = self._headers.get(ffi.string(name, length), b"")
        self._text = ffi.new("char[]", found)
        value[0] = self._text
        return len(found)

    def receive(self, piece: bytes, is_end: bool) -> None:
        """A piece of the body comes."""
        handler, expected = self._data
        handler(ffi.NULL, ffi.new("char[]", piece), len(piece), is_end, expected)

    def abort(self) -> None:
        """The client hangs up."""
        self._aborted(ffi.NULL, ffi.NULL)

    _data: tuple[Any, Any]
    _aborted: Any


def test_a_request_waits_until_its_body_has_come_or_its_client_has_gone(make: Maker) -> None:
    fast_path = make(make_ring()).fast_path
    exchange = Exchange(fast_path, PLAIN)
    assert fast_path.waiting == 1
    exchange.receive(b"", False)
    assert (fast_path.waiting, exchange.said) == (1, [])
    exchange.receive(PLAIN, True)
    assert (fast_path.waiting, exchange.said) == (0, ["202 Accepted"])
    exchange = Exchange(fast_path, PLAIN)
    exchange.abort()
    assert (fast_path.waiting, exchange.said) == (0, [])


def test_what_is_not_whole_and_plain_is_given_to_python_piece_by_piece(make: Maker) -> None:
    fast_path = make(make_ring()).fast_path
    exchange = Exchange(fast_path, PLAIN)
    exchange.receive(PLAIN[:9], False)
    exchange.receive(PLAIN[9:], True)
    assert exchange.said == [f"piece {PLAIN[:9].decode()!r} False", f"piece {PLAIN[9:].decode()!r} True"]
    exchange = Exchange(fast_path, b"{}")
    exchange.receive(b"{}", True)
    assert exchange.said == ["piece '{}' True"]
    assert Exchange(fast_path, b"").said == ["another request"]
    assert Exchange(fast_path, b" " * (SETTINGS.intake.body_bytes_max + 1)).said == ["another request"]
