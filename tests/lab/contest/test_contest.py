"""The contest against a stand-in backend and the real simulated processors: it sees what is wrong, and only that."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.__main__ import main
from engine.lab.contest.scenario import Condition, Flaky
from engine.lab.services.processor import Processor
from tests.lab.contest.standin import StandIn, Vice
from tests.lab.simulate import processes

TINY = """
title = "Tiny"
[fees]
default = 0.05
fallback = 0.15
[load]
start_vus = 2
amount = 19.90
sleep_s = 0.1
timeout_s = 1.5
ramps = [{ duration_s = 0.5, target = 5 }, { duration_s = 2.2, target = 5 }]
[audit]
every_s = 1.2
from_s = 2
to_s = 0.5
[[stages]]
at_s = 0.2
default = { delay_ms = 5, failing = false }
fallback = { delay_ms = 0, failing = false }
[[stages]]
at_s = 1
default = { delay_ms = 0, failing = true }
fallback = { delay_ms = 0, failing = false }
[[stages]]
at_s = 2
default = { delay_ms = 0, failing = false }
fallback = { delay_ms = 0, failing = false }
"""


@pytest.fixture(scope="module")
def processors() -> Iterator[processes.Processors]:
    with processes.processors() as running:
        yield running


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file


def options(backend: str, processors: processes.Processors, scenario: Path, *more: str) -> list[str]:
    where = ["--base-url", backend, "--default-url", processors.default.base_url]
    where += ["--fallback-url", processors.fallback.base_url, "--output", str(scenario.parent / "out")]
    return ["contest", "--scenario", str(scenario), *where, *more]


def result(scenario: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((scenario.parent / "out" / "result.json").read_text())
    return content


def hold(vice: Vice, processors: processes.Processors, scenario: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Exit code and result of the contest against a stand-in with ``vice``, without a picture."""
    with StandIn(processors.default.base_url, processors.fallback.base_url, vice) as backend:
        code = main(options(backend.origin, processors, scenario, "--no-picture", "--drain-seconds", "1", *more))
    return code, result(scenario)


def test_an_honest_backend_passes_and_all_is_told(processors: processes.Processors, tiny: Path) -> None:
    with StandIn(processors.default.base_url, processors.fallback.base_url) as backend:
        code = main(options(backend.origin, processors, tiny, "--engine-pid", str(os.getpid())))
    seen = result(tiny)
    assert (code, seen["broken"], seen["passed"]) == (0, [], True)
    assert seen["accepted"] == seen["requested"] == seen["settled_after_drain"] > 50
    assert seen["settled"] + seen["lag"] == seen["accepted"]
    assert (seen["lag_after_drain"], seen["refused"], seen["unanswered"]) == (0, 0, 0)
    assert seen["on_default"] > 0 < seen["on_fallback"]
    assert (seen["charged_twice"], seen["charged_twice_by"]) == (0, "listing")
    assert (seen["inconsistency"], seen["fine"]) == (0, 0)
    assert [audit["kind"] for audit in seen["audits"]] == ["periodic", "periodic", "everything", "whole run"]
    assert seen["audits"][1]["processors"]["fallback"]["count"] > 0, "an audit of nothing proves nothing"
    net = seen["on_default"] * 19.90 * 0.95 + seen["on_fallback"] * 19.90 * 0.85
    assert seen["net"] == pytest.approx(net, abs=0.01)
    assert seen["score"] == pytest.approx(net * (1 + seen["bonus"]), rel=1e-4)
    assert seen["p99_ms"] == seen["latency_ms"]["p99"] >= seen["latency_ms"]["p50"] > 0
    set_s = seen["stages_set_s"]
    assert all(late_s >= 0 for late_s in map(float.__sub__, set_s, [0.2, 1.0, 2.0]))
    began_to_fail, recovered = seen["changes"]
    assert (began_to_fail["kind"], began_to_fail["processor"], recovered["kind"]) == ("onset", "default", "recovery")
    # Each was between the moment when its stage was due and the one when it was set, on a busy machine too.
    assert began_to_fail["at_s"] >= 1.0 and recovered["at_s"] >= 2.0
    assert 2.0 - set_s[1] - 0.01 < recovered["at_s"] - began_to_fail["at_s"] < set_s[2] - 1.0 + 0.01
    assert began_to_fail["sent_soon"] > 0, "the stand-in tries default first, whatever happens"
    assert recovered["first_ms"] > 0
    assert seen["changes_medians"]["first_ms"] == pytest.approx(recovered["first_ms"], abs=0.001)
    assert seen["fees"] == {"default": 0.05, "fallback": 0.15}
    assert seen["resources"]["engine"]["pss_peak_mb"] > 10
    assert seen["resources"]["k6"]["cpu_s"] > 0
    assert sum(second["accepted"] for second in seen["series"]["requests"]) == seen["accepted"]
    assert (tiny.parent / "out" / "contest.png").read_bytes().startswith(b"\x89PNG")


def test_books_that_differ_are_fined(processors: processes.Processors, tiny: Path) -> None:
    code, seen = hold("lies in summaries", processors, tiny)
    assert code == 1
    assert seen["fine"] == 0.35
    assert seen["inconsistency"] == sum(audit["payments"] for audit in seen["audits"]) >= 3
    assert seen["lag_after_drain"] == 0


def test_a_lost_payment_is_missed(processors: processes.Processors, tiny: Path) -> None:
    code, seen = hold("loses payments", processors, tiny)
    assert code == 1
    assert seen["lag_after_drain"] == seen["accepted"] // 3 > 0
    assert seen["drain_s"] is None
    assert seen["inconsistency"] == 0


def test_a_payment_charged_at_both_is_found_and_a_slow_p99_too(processors: processes.Processors, tiny: Path) -> None:
    code, seen = hold("charges twice", processors, tiny, "--max-p99-ms", "0.001")
    assert code == 1
    assert (seen["charged_twice"], seen["lag_after_drain"]) == (1, -1)
    assert "p99 is above 0.001 ms" in seen["broken"]


def test_a_charge_that_the_engine_does_not_know_is_named(processors: processes.Processors, tiny: Path) -> None:
    stranger = str(uuid.uuid4())
    body = {"correlationId": stranger, "amount": 19.9, "requestedAt": "2026-01-01T00:00:00.000Z"}

    def pay() -> None:
        processors.fallback.request("POST", "/payments", json.dumps(body).encode())

    somebody = threading.Timer(2.0, pay)
    somebody.start()
    code, seen = hold("none", processors, tiny)
    somebody.join()
    assert code == 1
    assert (seen["charged_twice"], seen["lag_after_drain"]) == (0, -1)
    assert any(stranger in note and "fallback" in note for note in seen["notes"])


def test_ctrl_c_ends_k6_and_leaves_a_result(processors: processes.Processors, tiny: Path) -> None:
    tiny.write_text(TINY.replace("duration_s = 2.2", "duration_s = 600"))
    with StandIn(processors.default.base_url, processors.fallback.base_url) as backend:
        words = options(backend.origin, processors, tiny, "--no-picture")
        process = subprocess.Popen([sys.executable, "-m", "engine", *words], stdout=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 20
            log = tiny.parent / "out" / "k6.log"
            while not (log.exists() and log.read_text().count("\n") > 20):
                assert time.monotonic() < until, "k6 does not begin"
                time.sleep(0.05)
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGINT)
            assert process.wait(15) == 130
        finally:
            process.kill()
            process.wait()
    seen = result(tiny)
    assert children
    assert not any(child.is_running() for child in children)
    assert seen["interrupted"]
    assert not seen["passed"]
    assert seen["accepted"] > 0


def test_a_backend_that_cannot_be_purged_is_told_apart(
    processors: processes.Processors, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn(processors.default.base_url, processors.fallback.base_url, "does not purge") as backend:
        assert main(options(backend.origin, processors, tiny)) == 2
    assert "Start the engine with ENGINE_PURGE=1" in capsys.readouterr().err


def test_what_does_not_answer_is_named_with_the_way_to_start_it(
    processors: processes.Processors, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    assert main(options(nobody, processors, tiny)) == 2
    assert f"engine at {nobody}: [Errno 111]" in capsys.readouterr().err
    assert main(options(nobody, processors, tiny, "--default-url", nobody)) == 2
    said = capsys.readouterr().err
    assert f"default processor at {nobody}" in said
    assert "./engine.sh simulate" in said


def test_start_does_not_take_a_place_that_is_taken(
    processors: processes.Processors, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options("http://127.0.0.1:1", processors, tiny, "--start")) == 2
    said = capsys.readouterr().err
    assert "something listens already at" in said
    assert processors.fallback.base_url in said


def test_start_runs_the_real_engine_and_leaves_nothing_behind(tiny: Path) -> None:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [probe.getsockname()[1] for probe in probes]
    engine, default, fallback = (f"http://127.0.0.1:{port}" for port in ports)
    words = ["--start", "--base-url", engine, "--default-url", default, "--fallback-url", fallback]
    output = tiny.parent / "out"
    before = set(psutil.Process().children())
    code = main(["contest", "--scenario", str(tiny), *words, "--output", str(output), "--no-picture"])
    assert code == 0
    seen = result(tiny)
    assert seen["resources"]["engine"]["roles"].keys() >= {"up", "api", "dispatch", "nginx"}
    assert not set(psutil.Process().children()) - before
    assert not list(Path("/dev/shm").glob(f"*contest-{os.getpid()}-{ports[0]}*"))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]))


def test_an_unknown_scenario_is_a_plain_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contest", "--scenario", "nope"]) == 2
    assert capsys.readouterr().err.startswith("contest: no scenario 'nope'; there are changes, ending, final, preview")


def test_the_simulated_processors_fail_at_random_when_a_stage_says_so(processors: processes.Processors) -> None:
    admin = processors.default
    client = Processor("default", admin.base_url)
    try:
        client.set(Flaky(10, False, Decimal("0.4")))
        assert admin.fault_chances() == {"error_before_insert": 0.4}
        client.set(Condition(10, False))
        assert admin.fault_chances() in ({}, {"error_before_insert": 0.0})
        client.set(Flaky(0, False, Decimal("0.2")))
    finally:
        client.close()  # it leaves nothing behind that another contest would not expect
        left = admin.fault_chances()
        admin.reset()
    assert left in ({}, {"error_before_insert": 0.0})
