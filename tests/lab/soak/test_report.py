"""The result of a soak as JSON, table and picture, and what is shown meanwhile."""

from __future__ import annotations

import io
import json
import random
import struct
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console

from engine.lab.services.service import iso_ms
from engine.lab.soak import picture, report
from engine.lab.soak.checks import Limits, all_checks
from engine.lab.soak.command import lengths
from engine.lab.soak.live import View, left_s
from engine.lab.soak.run import FINAL_WINDOWS, RECENT_MARGIN_S, final_windows
from tests.lab.soak.seen import MB, PLAN, recorded, recording


def test_the_result_is_json_and_says_whether_it_passed() -> None:
    seen = recording()
    checks = all_checks(seen, Limits())
    outcome = json.loads(json.dumps(report.result(seen, checks)))
    assert outcome["passed"] is True
    assert outcome["settled_per_s"] == pytest.approx(1000 / 10.5)
    # From the first window to the last: 900 ms for 900 payments.
    assert outcome["cpu_us_for_each"]["dispatcher"] == pytest.approx(1000)
    assert len(outcome["windows"]) == 10
    seen.interrupted = True
    assert report.result(seen, checks)["passed"] is False


@pytest.mark.parametrize("windows", [10, 1, 0])
def test_it_is_drawn_and_printed_however_little_was_seen(windows: int, tmp_path: Path) -> None:
    seen = recording()
    del seen.windows[windows:]
    checks = all_checks(seen, Limits())
    text = io.StringIO()
    report.print_tables(seen, checks, Console(file=text, width=120))
    assert ("FAILED" in text.getvalue()) == (windows < 10)
    path = tmp_path / "soak.png"
    picture.draw(json.loads(json.dumps(report.result(seen, checks))), path)
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert width > 1000 and height > 1000


def test_a_line_says_how_long_it_takes_yet() -> None:
    text = io.StringIO()
    seen = recording()
    seen.paid_s = None
    with View(Console(file=text, width=200)) as view:
        view.show(seen, 5.0)
    assert "0:05 left" in text.getvalue()
    assert "accepted 1,000" in text.getvalue()


def test_the_time_left_is_that_of_payments_or_minutes_whatever_ends_first() -> None:
    assert left_s(PLAN, 0, 4.0) == pytest.approx(6.0)
    assert left_s(PLAN, 10**9 // 2, 4.0) == pytest.approx(4.0)
    assert left_s(PLAN, 0, 0.0) is None


def test_payments_or_minutes_end_it() -> None:
    assert lengths(2.0, None) == (120.0, 120.0)
    assert lengths(None, None)[0] == 300.0
    seconds, expected_s = lengths(None, 5_000_000)
    assert seconds > 86_400 and 60 < expected_s < 3600
    assert lengths(1.0, 5_000_000) == (60.0, 60.0)


def test_windows_are_asked_for_as_exactly_as_the_books_are() -> None:
    begin_s, end_s, recent_s = 1_700_000_000.123, 1_700_001_000.456, 300.0
    asked = list(final_windows(begin_s, end_s, recent_s, random.Random(1)))
    assert len(asked) == FINAL_WINDOWS + 1
    exact_from = iso_ms(end_s - recent_s + RECENT_MARGIN_S)
    for from_, to in asked[1:]:
        assert from_ <= to
        assert from_ >= exact_from or datetime.fromisoformat(from_).microsecond == 0
        assert to >= exact_from or datetime.fromisoformat(to).microsecond == 999_000
    assert any(datetime.fromisoformat(from_).microsecond for from_, _ in asked[1:])


def test_a_process_that_grows_has_a_slope_and_the_server_of_the_ledger_too() -> None:
    seen = recording()
    assert report.growth_mb_per_minute(seen) == {"api 0": 0.0, "dispatcher": 0.0}
    for number, window in enumerate(seen.windows):
        processes = window.usage.processes
        grown = replace(processes["dispatcher"], anonymous=20 * MB + number * MB // 10)
        usage = replace(window.usage, processes=processes | {"dispatcher": grown})
        seen.windows[number] = replace(window, usage=usage, database_bytes=30 * MB - number * MB)
    growth = report.growth_mb_per_minute(seen)
    assert growth == {"api 0": 0.0, "dispatcher": pytest.approx(6.0), "database": pytest.approx(-60.0)}
    del seen.windows[3:]
    assert report.growth_mb_per_minute(seen) == {}


def test_a_ledger_is_told_with_its_lag_its_size_and_its_rows() -> None:
    seen = recording()
    seen.begin_epoch_s = 1.0
    seen.ledger = recorded()
    checks = all_checks(seen, Limits())
    told = json.loads(json.dumps(report.result(seen, checks)))["ledger"]
    assert (told["kind"], told["bytes_per_payment"], told["lag_s_last_minute"]) == ("sqlite", 300.0, 9.0)
    assert [one["at_s"] for one in told["lags"]] == [0.0, 8.0, 9.4]
    text = io.StringIO()
    report.print_tables(seen, checks, Console(file=text, width=120))
    assert "sqlite, 1,100 attempts" in text.getvalue()
