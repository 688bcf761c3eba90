"""Every answer to a payment is counted once, by the fast path and by Python, with the time that it took."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engine.intake import problem
from engine.intake.meter import BEGAN_MASK, Meter, now_us
from engine.memory import metrics_layout as layout
from engine.memory.words import Words, zeros
from engine.metrics import times
from engine.storage.viewing import seen
from tests.intake.engine import Engine, engine, new_id, pay, wait_until

REFUSED = {refusal.label: refusal.at for refusal in layout.REFUSALS}


@pytest.fixture(scope="module", params=["memory", "sync"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(str(tmp_path_factory.mktemp("m")), ENGINE_DURABILITY=request.param) as made:
        made.start()
        yield made


@pytest.fixture
def client(world: Engine) -> Iterator[httpx.Client]:
    with world.client() as made:
        yield made


class Page:
    """What the page of API process 0 has counted since it was made."""

    def __init__(self, world: Engine) -> None:
        self._settings = world.settings
        self._before = self._read()

    def _read(self) -> list[int]:
        with seen(self._settings) as memory:
            words = memory.metrics
            assert words is not None
            return [words[layout.API_AT + at] for at in range(layout.API_WORDS)]

    def since(self) -> list[int]:
        return [after - before for before, after in zip(self._before, self._read(), strict=True)]

    def accepted(self) -> tuple[int, int]:
        """Payments answered with 202, and the sum of what they took in us."""
        found = self.since()[layout.API_ACCEPTING :]
        return sum(found[: layout.TIMES_BUCKETS]), found[layout.TIMES_SUM]

    def refused(self) -> dict[str, int]:
        found = self.since()
        return {label: found[at] for label, at in REFUSED.items() if found[at]}


def test_an_accepted_payment_is_counted_with_its_time(world: Engine, client: httpx.Client) -> None:
    page, began = Page(world), time.monotonic_ns()
    assert pay(client, new_id()).status_code == 202
    wait_until(lambda: page.accepted()[0] == 1, "the count")
    assert 0 < page.accepted()[1] <= (time.monotonic_ns() - began) // 1000
    assert page.refused() == {}


def test_a_duplicate_is_counted_as_one_and_has_a_time_too(world: Engine, client: httpx.Client) -> None:
    page, identity = Page(world), new_id()
    assert [pay(client, identity).status_code for _ in range(3)] == [202] * 3
    wait_until(lambda: page.accepted()[0] == 3, "the counts")
    assert page.since()[layout.API_DUPLICATES] == 2


def test_refusals_are_counted_by_their_reason(world: Engine, client: httpx.Client) -> None:
    page, identity = Page(world), new_id()
    pay(client, identity)
    assert pay(client, identity, 20).status_code == 409
    assert client.post("/payments", content=b"{}").status_code == 400
    assert client.post("/payments", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.post("/payments", content=b" " * 5000).status_code == 413
    assert client.get("/nowhere").status_code == 404  # is no answer to a payment
    expected = {"conflict": 1, "invalid": 1, "content_type": 1, "too_large": 1}
    wait_until(lambda: page.refused() == expected, str(expected))
    assert page.accepted()[0] == 1


@pytest.mark.parametrize("pieces", [1, 2])  # two are not plain: Python takes the request over from the fast path
def test_the_time_begins_with_the_head_of_a_request_whose_body_comes_late(world: Engine, pieces: int) -> None:
    page, body = Page(world), b'{"correlationId":"%s","amount":1}' % new_id().encode()
    with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rb") as answer:
        connection.connect(world.settings.host.api_socket(0))
        connection.sendall(b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body))
        for part in (body,) if pieces == 1 else (body[:20], body[20:]):
            time.sleep(0.05)
            connection.sendall(part)
        assert answer.readline().startswith(b"HTTP/1.1 202 ")
    wait_until(lambda: page.accepted()[0] == 1, "the count")
    # Not the whole rest: the head is read a moment after it was sent.
    assert page.accepted()[1] > pieces * 50_000 - 25_000


def test_a_process_that_starts_again_goes_on_counting_and_says_what_it_uses(tmp_path: Path) -> None:
    with engine(str(tmp_path)) as world:
        for starts in (1, 2):
            process = world.start()
            with world.client() as client:
                pay(client, new_id())
            process.kill()
            process.wait()
            with seen(world.settings) as memory:
                words = memory.metrics
                assert words is not None
                at = layout.API_AT
                assert words[at + layout.PROCESS_STARTS] == starts
                assert sum(times.copy(words, at + layout.API_ACCEPTING)[: layout.TIMES_BUCKETS]) == starts
                assert words[at + layout.PROCESS_RESIDENT_BYTES] > 1 << 20
                assert words[at + layout.PROCESS_CPU_US] and words[at + layout.PROCESS_DESCRIPTORS] > 3


def test_with_metrics_off_nothing_is_counted_and_payments_are_accepted(tmp_path: Path) -> None:
    with engine(str(tmp_path), ENGINE_METRICS="0") as world:
        world.start()
        with world.client() as client, seen(world.settings) as memory:
            assert pay(client, new_id()).status_code == 202
            assert client.post("/payments", content=b"{}").status_code == 400
            assert memory.metrics is None


# --- without a process


def metered() -> tuple[Meter, Words]:
    words = zeros(layout.METRICS_WORDS)
    return Meter(words, layout.api_at(1)), words


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        (problem.BUSY, "busy"),
        (problem.STUCK, "stuck"),
        (problem.LOST, "lost"),
        (problem.STOPPING, "stopping"),
        (problem.BROKEN, "error"),
        (next(iter(problem.HAS_FAILED.values())), "failed"),
        (problem.bad_request("amount", "is missing"), "invalid"),
    ],
)
def test_each_refusal_has_its_word(answer: problem.Answer, label: str) -> None:
    meter, words = metered()
    meter.answered(answer, 0)
    assert [label for label, at in REFUSED.items() if words[layout.api_at(1) + at]] == [label]


def test_what_the_ring_counts_is_not_counted_again() -> None:
    meter, words = metered()
    meter.answered(problem.FULL, 0)
    assert not any(words[at] for at in range(layout.METRICS_WORDS))


def test_a_time_that_was_cut_off_at_the_top_is_still_measured() -> None:
    meter, words = metered()
    meter.answered(problem.ACCEPTED, now_us() - 3_000_000 & BEGAN_MASK)
    assert 3_000_000 <= words[layout.api_at(1) + layout.API_ACCEPTING + layout.TIMES_SUM] < 60_000_000
