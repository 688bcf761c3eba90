"""The picture is drawn from a recorded result, whatever is missing in it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from engine.lab.contest import picture


def recorded() -> dict[str, Any]:
    seconds = range(12)
    return {
        "title": "A run", "passed": False, "interrupted": False, "score": 1234.5, "p99_ms": 1.9,
        "accepted": 1200, "settled": 1180, "lag": 20, "audits_differed": 1, "duration_s": 10.0,
        "stages": [
            {"at_s": 1, "default": {"delay_ms": 0, "failing": False}, "fallback": {"delay_ms": 0, "failing": False}},
            {"at_s": 5, "default": {"delay_ms": 2000, "failing": True}, "fallback": {"delay_ms": 0, "failing": True}},
        ],
        "audits": [
            {"kind": "periodic", "at_s": 5.0, "outcome": "ok"},
            {"kind": "periodic", "at_s": 10.0, "outcome": "differed"},
            {"kind": "everything", "at_s": 12.0, "outcome": "ok"},
        ],
        "series": {
            "requests": [
                {"second": s, "accepted": 100, "others": s % 2, "p50_ms": 0.7, "p99_ms": 2.0, "max_ms": 9.0}
                for s in seconds
            ],
            "ticks": [
                {"at_s": s + 1, "on_default": 70 * s, "on_fallback": 30 * s, "pending": 5, "failed": s // 6,
                 "cores": {"engine": 0.5, "k6": 0.2, "contest": 0.01}}
                for s in seconds
            ],
        },
    }  # fmt: skip


def blind() -> dict[str, Any]:
    """A run in which nothing answered and nothing was accepted."""
    run = recorded()
    run["p99_ms"] = None
    for tick in run["series"]["ticks"]:
        tick.update(on_default=None, on_fallback=None, pending=None, failed=None, cores={})
    for second in run["series"]["requests"]:
        second.update(accepted=0, p50_ms=None, p99_ms=None, max_ms=None)
    return run


def empty() -> dict[str, Any]:
    """A run that was interrupted at once."""
    return recorded() | {"series": {"requests": [], "ticks": []}, "audits": [], "interrupted": True}


def of_three() -> dict[str, Any]:
    """A run with one more processor."""
    run = recorded()
    for stage in run["stages"]:
        stage["third"] = {"delay_ms": 20, "failing": False}
    for tick in run["series"]["ticks"]:
        tick["on_third"] = 10 * tick["at_s"]
    return run


@pytest.mark.parametrize("make", [recorded, blind, empty, of_three])
def test_a_recorded_run_becomes_a_png(make: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "contest.png"
    picture.draw(make(), path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    assert (width, height) == (1430, 1100)
    assert 20_000 < len(content) < 1_000_000


def waiting() -> dict[str, Any]:
    """Default fails from the 3rd second on. Fallback gets nothing of 100 payments a second until the 8th, then all."""
    run = recorded()
    well, fails = {"delay_ms": 0, "failing": False}, {"delay_ms": 0, "failing": True}
    run["stages"] = [{"at_s": 0, "default": well, "fallback": well}, {"at_s": 3, "default": fails, "fallback": well}]
    for tick in run["series"]["ticks"]:
        s = tick["at_s"]
        on_default, on_fallback = 100 * min(s, 3), 100 * max(s - 8, 0)
        tick.update(on_default=on_default, on_fallback=on_fallback, pending=100 * s - on_default - on_fallback)
    return run


def test_where_payments_wait_for_the_cheaper_processor_by_choice_is_known() -> None:
    assert picture.choices(waiting()) == [(3, 8)]


def test_where_there_is_no_choice_none_is_told() -> None:
    run = waiting()
    run["stages"][1]["fallback"] = run["stages"][1]["default"]  # both fail
    assert picture.choices(run) == []
    run = waiting()
    run["stages"][1]["default"] = run["stages"][0]["default"]  # both are healthy: it is not by choice that they wait
    assert picture.choices(run) == []
    assert picture.choices(recorded()) == picture.choices(blind()) == picture.choices(empty()) == []


def test_the_picture_says_where_payments_wait_by_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    picture.draw(waiting(), tmp_path / "run.png")
    picture.draw(recorded(), tmp_path / "run.png")
    with_choice, without = (" ".join(text.get_text() for text in figure.findobj(Text)) for figure in drawn)
    assert "payments wait for default,\nby choice" in with_choice and picture.CHOICE in with_choice
    assert "by choice" not in without.lower()
