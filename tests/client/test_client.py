"""``pay`` and ``status``: what people at a terminal are told of a real engine, and of one that is not there."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.__main__ import main
from engine.client import status
from engine.client.api import Api
from engine.client.pay import Result, words
from engine.lab.launch import free_ports
from tests.lab.simulate import processes
from tests.system import running
from tests.system.checks import World
from tests.system.client import wait_until


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with processes.processors() as simulated, running.engine(simulated) as engine:
        yield World(engine, simulated)


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The engine, found by the variables of this process."""
    world.empty()
    for name, value in world.engine.place.settings.items():
        monkeypatch.setenv(name, value)
    return world


def test_payments_are_told_where_they_were_settled(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pay", "30", "--amount", "2.50", "--wait", "60"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("30 accepted, 2.50 each\n")
    counted = {place: int(count) for place, count in re.findall(r"settled at (\w+) +(\d+) ", told)}
    with Api(here.engine.port) as api:
        summary = api.summary()
    assert counted == {name: one["totalRequests"] for name, one in summary.items() if one["totalRequests"]}
    assert sum(one["totalAmount"] for one in summary.values()) == Decimal("75.00")
    assert sum(counted.values()) == 30

    assert main(["status"]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"The engine on http://127.0.0.1:{here.engine.port} is ok.\n")
    for name, count in counted.items():
        assert re.search(rf"^{name} +{count} settled, {count * Decimal('2.50')} in all; takes payments", told, re.M)


def test_payments_that_wait_are_told_with_the_reason(here: World, capsys: pytest.CaptureFixture[str]) -> None:
    here.processors.default.set_failing(True)
    here.processors.fallback.set_failing(True)
    try:
        assert main(["pay", "20", "--wait", "1"]) == 0
        with Api(here.engine.port) as api:
            wait_until(lambda: bool(api.health()["reasons"]), 60, "the engine has seen that the processors fail")
        capsys.readouterr()
        assert main(["pay", "2", "--wait", "0"]) == 0
        told = capsys.readouterr().out
        assert re.search(r"^    (default|fallback) is failing|^    breaker of", told, re.M), told
        assert re.search(r"^  (waiting|sent to \w+, no answer) +[12] ", told, re.M), told
        assert "`./engine.sh status` shows how many wait" in told
        assert main(["status"]) == 0
        told = capsys.readouterr().out
        assert "is in trouble.\n  ! " in told
        assert re.search(r"^waiting +[1-9]\d* accepted and not yet settled", told, re.M)
    finally:
        here.processors.default.set_failing(False)
        here.processors.fallback.set_failing(False)


@pytest.mark.parametrize("words", [["status"], ["pay", "3"]])
def test_without_an_engine_one_is_told_how_to_start_it(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("ENGINE_PORT", str(port))
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.err == (
        f"engine: no engine on http://127.0.0.1:{port} (ENGINE_PORT): start one with `make run` or `./engine.sh up`\n"
    )
    assert not said.out


@pytest.mark.parametrize(
    "words", [["pay", "0"], ["pay", "x"], ["pay", "--amount", "0.00"], ["pay", "--amount", "1.999"]]
)
def test_what_cannot_be_paid_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "must be" in capsys.readouterr().err


def test_settings_that_cannot_be_used_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_PROT", "1")
    assert main(["status"]) == main(["pay"]) == 2
    assert "Did you mean ENGINE_PORT?" in capsys.readouterr().err


def test_what_was_not_accepted_and_what_failed_is_told() -> None:
    result = Result(
        Decimal("10.00"),
        {
            "a": {"status": "completed", "processor": "default"},
            "b": {"status": "failed", "processor": None, "reason": "too old"},
            "c": {"status": "queued", "processor": None},
            "d": {"status": "processing", "processor": "fallback"},
        },
        Counter({"503: All rings are full.": 2}),
    )
    told = [re.sub(" +", " ", line) for line in words(result, ["default is failing"])]
    assert told[:7] == [
        "4 accepted, 10.00 each",
        "2 not accepted: 503: All rings are full.",
        " failed: too old 1 10.00",
        " sent to fallback, no answer 1 10.00",
        " settled at default 1 10.00",
        " waiting 1 10.00",
        " default is failing",
    ]


class Closing(BaseHTTPRequestHandler):
    """Answers 202 and then closes without a word, as nginx does with a connection that is old."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True

    def log_message(self, format: str, *_: object) -> None:
        """Nothing."""


def test_how_the_ledger_is_has_words() -> None:
    health: dict[str, Any] = {
        "status": "ok", "reasons": [], "processors": {},
        "queues": {"pending": 0, "failed": 0, "parked": 0, "deadLetters": 0},
    }  # fmt: skip

    def told(state: str, lag_ms: int | None) -> str:
        lines = status.words("http://here", health | {"ledger": {"state": state, "lagMs": lag_ms}}, {})
        return next(line.partition(" ")[2].strip() for line in lines if line.startswith("ledger"))

    assert told("carrying", 1234) == "carrying: SQL has what happened up to 1.2 s ago"
    assert told("away", 61_000) == "away: SQL has what happened up to 61.0 s ago"
    assert (told("starting", None), told("carrying", None)) == ("starting", "begins")
    assert not [line for line in status.words("http://here", health, {}) if line.startswith("ledger")]


def test_a_connection_that_was_closed_in_between_is_made_anew() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Closing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Api(server.server_port) as api:
            assert [api.pay("an id", "1.00") for _ in range(3)] == [(202, "")] * 3
        server.shutdown()


def test_every_state_of_a_processor_has_words() -> None:
    queues = {"pending": 5, "failed": 1, "parked": 2, "deadLetters": 1, "declared": 3}
    calm = {"state": "healthy", "failing": False, "breaker": "closed", "inFlight": 0, "expectedMs": 7, "unresolved": 0}
    processors = {
        "one": calm | {"breaker": "open", "unresolved": 3},
        "two": calm | {"failing": True, "inFlight": 4},
        "three": calm,
        "four": calm | {"state": "silent", "expectedMs": 89, "inFlight": 2},
        "five": calm | {"state": "paused"},
    }
    health = {
        "status": "degraded",
        "reasons": ["why"],
        "payments": "What happens now.",
        "processors": processors,
        "queues": queues,
    }
    told = "\n".join(status.words("http://here", health, {}))
    assert "is in trouble.\n  ! why\nWhat happens now.\n" in told
    assert "takes nothing just now: only probes are sent, 3 with an unknown outcome" in told
    assert "says that it fails, 4 in flight" in told
    assert "takes payments, in about 7 ms" in told
    assert "does not answer, 2 in flight" in told
    assert "5 accepted and not yet settled, 2 of them parked" in told
    assert "1 whose outcome only a person can find out" in told
    assert "3 whose outcome a person has declared" in told and "is paused by an operator" in told
