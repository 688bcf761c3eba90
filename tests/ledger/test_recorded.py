"""What API processes answer from the ledger, in both databases: real ones are asked, and the test carries."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from engine.books.reader import Sum
from engine.intake.payment import parse_id
from engine.lab.ledger.server import running
from engine.ledger.carrier import Carrier
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger, wall_ms
from engine.ledger.rows import AttemptRow
from engine.ledger.view import View
from engine.memory import layout
from engine.processors import DEFAULT, FALLBACK
from engine.storage import mapping
from tests.intake.engine import Engine, engine, new_id, pay, wait_until
from tests.ledger import patient

SLOTS = 64
IDS = "200000"
HOUR_MS = 3_600_000


class World:
    """An engine with one ring or more, its API processes, and its ledger, which the test carries."""

    def __init__(self, made: Engine) -> None:
        self.made = made
        settings = made.settings
        self.database: Database | None = None
        self._carrier: Carrier | None = None
        self._view = View(
            made.books.words, mapping.books_shape(settings), [segment.words for segment in made.segments], None
        )

    def begin(self) -> None:
        """Makes the ledger."""
        settings = self.made.settings
        self.database = open_ledger(
            settings.ledger_url, name=settings.host.name, processors=settings.processors.names, is_full=False
        )

    def carry(self, **changes: Any) -> None:
        """Carries what is new; ``changes``: of the batch."""
        if self.database is None:
            self.begin()
        assert self.database is not None
        if self._carrier is None:
            self._carrier = Carrier(self._view, self.database.cursor(), [None, None], wall_ms())
        assert carry(self.database, self._carrier.look(wall_ms())._replace(**changes)) == 0
        self._carrier.carried()

    def end(self, identity: str, state: int, requested_ms: int = 0, reason: int = 0, processor: int = DEFAULT) -> None:
        """Ends a payment as the dispatcher does; one that is completed is in the books, under ``requested_ms``."""
        made, now_ms = self.made, wall_ms()
        requested_ms = requested_ms or now_ms
        number, found = next(
            (number, one) for number, ring in enumerate(made.rings) if (one := ring.find(*parse_id(identity)))
        )
        at = made.rings[number].offset(found.position)
        made.writer.begin(now_ms)
        if state == layout.COMPLETED:
            cents = found.cents if reason != layout.REASON_AMOUNT else found.cents + 1
            made.writer.settle(processor, requested_ms, cents)
            made.writer.put(number + 1, at + layout.SLOT_FIRST_MS, cents)
        made.writer.put(number + 1, at + layout.SLOT_REQUESTED_MS, requested_ms)
        made.writer.put(number + 1, at + layout.SLOT_SETTLED, layout.pack_settled(now_ms, reason))
        word = layout.pack_progress(found.position, state, processor, 1)
        made.writer.put(number + 1, at + layout.SLOT_PROGRESS, word)
        made.writer.commit()

    def push_out(self, client: httpx.Client, payments: int = SLOTS) -> None:
        """So many payments come and are settled that older ones lose their slots."""
        for _ in range(payments):
            identity = new_id()
            assert pay(client, identity).status_code == 202
            self.end(identity, layout.COMPLETED)

    def purge(self) -> None:
        """Forgets everything, as the dispatcher does."""
        self.made.writer.begin(wall_ms())
        for number, ring in enumerate(self.made.rings):
            self.made.writer.put(number + 1, layout.RING_FORGOTTEN_AT, ring.head)
        self.made.writer.forget()
        self.made.writer.commit()


@contextlib.contextmanager
def world_of(run_dir: Path, url: str, *indices: int, **environment: str) -> Iterator[World]:
    with (
        engine(str(run_dir), ENGINE_LEDGER="best", ENGINE_LEDGER_URL=url, **environment) as made,
        contextlib.ExitStack() as held,
    ):
        world = World(made)
        for index in indices or (0,):
            held.enter_context(patient.api(made, index))
        yield world
        if world.database is not None:
            world.database.close()


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[World]:
    with world_of(tmp_path, url) as made:
        yield made


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    with world.made.client(0) as client:
        yield client


def status(client: httpx.Client, identity: str) -> httpx.Response:
    return client.get(f"/payments/{identity}/status")


def paid(client: httpx.Client, amount: float = 19.9) -> str:
    identity = new_id()
    assert pay(client, identity, amount).status_code == 202
    return identity


def waits(response: httpx.Response) -> bool:
    return response.status_code == 503 and response.headers["retry-after"] == "1"


ENDS = {
    "completed": (layout.COMPLETED, layout.REASON_NONE),
    "unconfirmed": (layout.COMPLETED, layout.REASON_UNCONFIRMED),
    "too old": (layout.FAILED, layout.REASON_TOO_OLD),
    "refused": (layout.FAILED, layout.REASON_REFUSED),
    "charged before": (layout.CHARGED_BEFORE, layout.REASON_NONE),
}


def test_the_status_of_a_payment_is_the_same_when_memory_has_forgotten_it(world: World, client: httpx.Client) -> None:
    ids = {name: paid(client) for name in ENDS}
    differs = paid(client)
    for name, (state, reason) in ENDS.items():
        world.end(ids[name], state, reason=reason)
    world.end(differs, layout.COMPLETED, reason=layout.REASON_AMOUNT)
    before = {name: status(client, identity).json() for name, identity in ids.items()}
    of_differs = status(client, differs).json()
    world.carry()
    world.push_out(client)
    world.carry()
    for name, identity in ids.items():
        assert world.made.rings[0].find(*parse_id(identity)) is None
        assert status(client, identity).json() == before[name]
    assert of_differs["settledAmount"] == 19.91
    assert status(client, differs).json() == of_differs | {"amount": None}  # which the ledger does not keep


def test_an_id_that_was_never_accepted_is_certainly_not_there_without_a_ledger_too(client: httpx.Client) -> None:
    found = status(client, new_id())  # nobody has made the database, and nothing has left memory
    assert found.status_code == 404 and found.json()["certain"] is True


def test_nothing_is_said_of_an_id_while_the_ledger_is_away_or_behind(world: World, client: httpx.Client) -> None:
    identity = paid(client)
    world.end(identity, layout.COMPLETED)
    world.push_out(client)
    assert waits(status(client, identity)) and waits(status(client, new_id()))
    world.begin()
    assert waits(status(client, identity)) and waits(status(client, new_id()))
    in_memory = paid(client)
    assert status(client, in_memory).json()["status"] == "queued"


def test_a_payment_is_never_404_whether_the_ledger_has_it_or_not_yet(world: World, client: httpx.Client) -> None:
    ids = []
    for number in range(3 * SLOTS):
        ids.append(paid(client))
        world.end(ids[-1], layout.COMPLETED)
        if number % 20 == 0:
            world.carry()
    found = [status(client, identity).status_code for identity in ids]
    assert set(found) <= {200, 503} and found[0] == 200
    world.carry()
    assert {status(client, identity).status_code for identity in ids} == {200}
    missing = status(client, new_id())
    assert missing.status_code == 404 and missing.json()["certain"] is True


def test_after_a_gap_404_is_not_certain(world: World, client: httpx.Client) -> None:
    world.carry()
    lost = paid(client)
    world.end(lost, layout.COMPLETED)
    world.push_out(client, 2 * SLOTS)
    world.carry()
    for identity in (lost, new_id()):
        found = status(client, identity)
        assert found.status_code == 404 and found.json()["certain"] is False


def test_what_retention_has_taken_may_have_been_there(world: World, client: httpx.Client) -> None:
    world.push_out(client, 2)
    world.carry()
    world.push_out(client, SLOTS - 1)
    assert status(client, new_id()).json()["certain"] is True
    assert world.database is not None
    with world.database.transaction() as connection:
        values = f"('payment', {wall_ms() + 1000}, 0)"
        connection.exec_driver_sql(f"INSERT INTO reach (name, from_ms, updated_ms) VALUES {values}")
    assert status(client, new_id()).json()["certain"] is False


def test_a_payment_whose_end_was_not_recorded_is_unknown(world: World, client: httpx.Client) -> None:
    identity = paid(client)
    world.carry()
    world.end(identity, layout.COMPLETED)
    world.push_out(client)
    for _ in range(2):  # before the ledger notices it, and after
        found = status(client, identity).json()
        assert (found["status"], found["processor"], found["settledAt"]) == ("unknown", None, None)
        assert (found["amount"], found["chargedBefore"]) == (19.9, False)
        world.carry()


def test_a_purge_counts_before_the_ledger_has_noticed_it(world: World, client: httpx.Client) -> None:
    identity = paid(client)
    world.end(identity, layout.COMPLETED)
    world.carry()
    world.push_out(client)
    assert status(client, identity).status_code == 200
    world.purge()
    found = status(client, identity)
    assert found.status_code == 404 and found.json()["certain"] is True
    world.push_out(client, SLOTS + 1)
    assert waits(status(client, identity))
    world.carry()
    assert status(client, identity).status_code == 404


def test_head_is_answered_like_get_without_a_body(world: World, client: httpx.Client) -> None:
    identity = paid(client)
    world.end(identity, layout.COMPLETED)
    world.carry()
    world.push_out(client)
    path = f"/payments/{identity}/status"
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))
    assert client.get("/healthcheck").status_code == 200  # on the same connection


# --- attempts --------------------------------------------------------------------------------------------------------


def test_the_attempts_of_a_payment_are_told(world: World, client: httpx.Client) -> None:
    identity = paid(client)
    world.end(identity, layout.COMPLETED)
    raw, at_ms = bytes.fromhex(identity.replace("-", "")), wall_ms()
    first = AttemptRow(1, 1, raw, 1, 0, False, at_ms, at_ms + 40, 5, None, "timed out", 40_123, at_ms)
    second = AttemptRow(2, 1, raw, 1, 1, True, at_ms + 41, at_ms + 50, 6, 200, None, 9_000, at_ms)
    open_one = AttemptRow(3, 1, raw, 2, 0, False, at_ms + 60)
    world.carry(attempts=(first, second, open_one))
    for _ in range(2):  # while memory has it, and later
        found = client.get(f"/payments/{identity}/attempts").json()
        assert found["correlationId"] == identity
        assert [one["kind"] for one in found["attempts"]] == ["request", "lookup", "request"]
        assert [one["processor"] for one in found["attempts"]] == ["default", "fallback", "default"]
        assert [one["outcome"] for one in found["attempts"]] == ["unknown", "found", None]
        assert [one["latencyMs"] for one in found["attempts"]] == [40.123, 9.0, None]
        assert [one["error"] for one in found["attempts"]] == ["timed out", None, None]
        assert [one["status"] for one in found["attempts"]] == [None, 200, None]
        assert found["attempts"][2]["endedAt"] is None and found["whole"] is True
        assert found["completeUntil"] is None  # there is no journal here
        world.push_out(client)
        world.carry()


def test_no_more_attempts_are_told_than_fit_into_an_answer(world: World, client: httpx.Client) -> None:
    identity = paid(client)
    world.end(identity, layout.COMPLETED)
    raw, at_ms = bytes.fromhex(identity.replace("-", "")), wall_ms()
    rows = [AttemptRow(one, 1, raw, one + 1, 0, False, at_ms + one, at_ms + one, 3, 500) for one in range(101)]
    world.carry(attempts=tuple(rows))
    found = client.get(f"/payments/{identity}/attempts")
    assert [one["number"] for one in found.json()["attempts"]] == list(range(2, 102))
    assert found.json()["whole"] is False and len(found.content) < 32_000


def test_attempts_of_a_payment_that_the_ledger_has_not_carried_yet(world: World, client: httpx.Client) -> None:
    identity = paid(client)
    path = f"/payments/{identity}/attempts"
    assert waits(client.get(path))  # there is no database
    missing = client.get(f"/payments/{new_id()}/attempts")
    assert missing.status_code == 404 and missing.json()["certain"] is True
    world.begin()
    assert client.get(path).json() == {
        "correlationId": identity, "attempts": [], "completeUntil": None, "whole": True,
    }  # fmt: skip


# --- windows ---------------------------------------------------------------------------------------------------------


class Settled(NamedTuple):
    requested_ms: int
    processor: int
    cents: int


def settle_old(world: World, client: httpx.Client, ages_ms: list[int]) -> list[Settled]:
    """Payments that were sent so long ago."""
    settled = []
    for number, age_ms in enumerate(ages_ms):
        cents, processor = 100 + number, number % 2
        identity = paid(client, cents / 100)
        at_ms = wall_ms() - age_ms
        world.end(identity, layout.COMPLETED, at_ms, processor=processor)
        settled.append(Settled(at_ms, processor, cents))
    return settled


def text(ms: int) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(ms // 1000))}.{ms % 1000:03d}Z"


def ask(client: httpx.Client, from_ms: int | None, to_ms: int | None) -> tuple[list[Sum], str | None]:
    """The sums of a window, and how exact they are said to be."""
    bounds = {"from": from_ms, "to": to_ms}
    answer = client.get("/payments-summary", params={name: text(ms) for name, ms in bounds.items() if ms is not None})
    assert answer.status_code == 200
    sums = [Sum(one["totalRequests"], round(one["totalAmount"] * 100)) for one in answer.json().values()]
    return sums, answer.headers.get("Summary-Resolution")


def sums_of(settled: list[Settled], from_ms: int | None, to_ms: int | None) -> list[Sum]:
    sums = []
    for processor in (DEFAULT, FALLBACK):
        cents = [
            one.cents
            for one in settled
            if one.processor == processor
            and (from_ms is None or one.requested_ms >= from_ms)
            and (to_ms is None or one.requested_ms <= to_ms)
        ]
        sums.append(Sum(len(cents), sum(cents)))
    return sums


def windows(settled: list[Settled], count: int, seed: int) -> Iterator[tuple[int | None, int | None]]:
    """Windows whose bounds lie on payments, beside them, and anywhere; at one end there may be none."""
    random_ = random.Random(seed)
    for _ in range(count):
        low, high = sorted(random_.choice(settled).requested_ms + random_.randrange(-2, 3) for _ in range(2))
        yield random_.choice((low, low, None)), random_.choice((high, high, None))


AGES_MS = [*range(0, 3000, 200), *range(35_000, 41_000, 130)]


def test_a_window_that_is_too_old_for_milliseconds_is_exact(world: World, client: httpx.Client) -> None:
    settled = settle_old(world, client, AGES_MS[:60])
    world.carry()
    told = [(ask(client, *one), sums_of(settled, *one)) for one in windows(settled, 150, 1)]
    assert [found for (found, _), _ in told] == [wanted for _, wanted in told]
    assert {resolution for (_, resolution), _ in told} == {None}


def test_a_window_is_exact_beyond_the_books_horizon(world: World, client: httpx.Client) -> None:
    world.carry()
    ages_ms = [0, 500, *range(40_000, 41_000, 100), *range(HOUR_MS - 3000, HOUR_MS, 500)]
    settled = settle_old(world, client, [*ages_ms, *range(2 * HOUR_MS, 2 * HOUR_MS + 4000, 300)])
    world.carry()
    told = [(ask(client, *one), sums_of(settled, *one)) for one in windows(settled, 150, 2)]
    # There is no journal here, so the ledger cannot be sure that it is not behind: what nothing confirms is not told.
    assert {resolution for (_, resolution), _ in told} == {None, "none"}
    assert all(found == wanted for (found, resolution), wanted in told if resolution is None)


def test_a_window_in_whose_second_the_ledger_lacks_a_payment_is_told_as_the_books_know_it(
    world: World, client: httpx.Client
) -> None:
    settled = settle_old(world, client, [60_000, 60_100, 60_200])
    at_ms = settled[0].requested_ms
    with_row = ask(client, at_ms, None)
    assert with_row[1] == ("1s" if at_ms % 1000 else None)  # nobody has made the database
    world.carry()
    assert ask(client, at_ms, None) == (sums_of(settled, at_ms, None), None)
    more = settle_old(world, client, [wall_ms() - at_ms // 1000 * 1000 - 500])  # in that second, and not carried
    assert ask(client, at_ms, None)[1] == ("1s" if at_ms % 1000 else None)
    world.carry()
    assert ask(client, at_ms, None) == (sums_of(settled + more, at_ms, None), None)


# --- paying again ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sync"])
def remembering(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> Iterator[World]:
    environment = {"ENGINE_ID_MEMORY": IDS, "ENGINE_DURABILITY": request.param}
    with world_of(tmp_path, url, 0, 1, **environment) as made:
        yield made


def test_a_payment_that_comes_again_after_its_slot_was_given_away_is_recognised(remembering: World) -> None:
    world, ring = remembering, remembering.made.rings[0]
    with world.made.client(0) as client:
        ids = {name: paid(client) for name in ENDS}
        lost = paid(client)
        for name, (state, reason) in ENDS.items():
            world.end(ids[name], state, reason=reason)
        world.carry()
        world.end(lost, layout.COMPLETED)
        world.push_out(client)
        world.carry()
        head = ring.head
        again = {name: pay(client, identity) for name, identity in ids.items()}
        other = {name: pay(client, identity, 19.91) for name, identity in ids.items()}
        assert {name: one.status_code for name, one in again.items()} == {
            "completed": 202, "unconfirmed": 202, "too old": 409, "refused": 409, "charged before": 202,
        }  # fmt: skip
        assert {one.status_code for one in other.values()} == {409}
        assert "no processor has taken it" in again["too old"].text and "refused it" in again["refused"].text
        assert all("with another amount" in one.text for one in other.values())
        assert ring.head == head
        # Nobody knows what became of it, so it is accepted, and the processors are asked.
        assert pay(client, lost, 19.91).status_code == 409 and pay(client, lost).status_code == 202
        found = ring.find(*parse_id(lost))
        assert found is not None and found.is_seen


def test_without_an_answer_of_the_ledger_it_is_accepted_and_looked_up(remembering: World) -> None:
    world = remembering
    with world.made.client(0) as client:
        identity = paid(client)
        world.end(identity, layout.FAILED)
        world.push_out(client)
        assert pay(client, identity).status_code == 202  # there is no database
        found = world.made.rings[0].find(*parse_id(identity))
        assert found is not None and found.is_seen


def test_it_is_accepted_once_when_it_comes_again_everywhere_at_once(remembering: World) -> None:
    world = remembering
    with world.made.client(0) as client:
        ids = [paid(client) for _ in range(20)]
        for identity in ids:
            world.end(identity, layout.COMPLETED)
        world.push_out(client)
        heads = sum(ring.head for ring in world.made.rings)
    statuses, start = list[int](), threading.Barrier(4)

    def hand_in(index: int) -> None:
        with world.made.client(index % 2) as client:
            start.wait()
            statuses.extend(pay(client, identity).status_code for identity in ids)

    threads = [threading.Thread(target=hand_in, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [202] * 80
    assert sum(ring.head for ring in world.made.rings) == heads + 20


def test_what_was_purged_is_accepted_anew(remembering: World) -> None:
    world = remembering
    with world.made.client(0) as client:
        identity = paid(client)
        world.end(identity, layout.FAILED)
        world.carry()
        world.push_out(client)
        assert pay(client, identity).status_code == 409
        world.purge()
        assert pay(client, identity).status_code == 202


# --- a database that stands still or dies ----------------------------------------------------------------------------


def test_a_server_that_dies_keeps_nobody_waiting(tmp_path: Path) -> None:
    with running() as server:
        url = server.new_database("mine")
        with world_of(tmp_path, url, ENGINE_ID_MEMORY=IDS) as world, world.made.client(0) as client:
            identity, other = paid(client), paid(client)
            world.end(identity, layout.COMPLETED)
            world.end(other, layout.COMPLETED)
            world.carry()
            world.push_out(client)
            assert status(client, identity).status_code == 200
            server.stop()
            for _ in range(20):
                assert waits(status(client, identity)) and waits(client.get(f"/payments/{identity}/attempts"))
            assert pay(client, identity).status_code == 202  # and the processors are asked
            assert status(client, identity).json()["status"] == "queued"
            assert waits(status(client, other))
            server.start()
            wait_until(lambda: status(client, other).status_code == 200, "the ledger is back")
