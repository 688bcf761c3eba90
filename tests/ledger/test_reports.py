"""Reports say what the rows say, in both databases; tables fit a terminal, and CSV and JSON lose nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock
from xml.etree import ElementTree

import pytest

from engine.__main__ import main
from engine.ledger import advice, picture, report_text
from engine.ledger.advice import Advice, Change, Earned, Window
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger
from engine.ledger.latest import Latest, latest, latest_text
from engine.ledger.report_command import moment
from engine.ledger.reports import REPORTS, STEPS_MS, Column, Kind, Report, Stretch
from engine.ledger.rows import (
    AttemptRow,
    Batch,
    EraRow,
    FeeRow,
    HealthRow,
    PaymentRow,
    ProcessorStateRow,
    SampleRow,
    fee_cents,
)
from engine.memory import layout
from engine.processors import rounded
from tests.ledger import making
from tests.ledger.making import NOW_MS, attempt, payment

MINUTE = STEPS_MS["minute"]
NAMES = ("default", "fallback")
FEES_PPM = (50_000, 150_000)
FEES = tuple(FeeRow(number, 0, ppm) for number, ppm in enumerate(FEES_PPM))
OUTCOMES = {0: None, 2: 429, 3: 500, 5: None, 6: 200, 255: None}
STRETCH = Stretch(NOW_MS + MINUTE, NOW_MS + 5 * MINUTE, MINUTE)  # two minutes of the rows lie before it, and after it


class Rows:
    """Rows of six minutes."""

    def __init__(self) -> None:
        draw = random.Random(15)
        self.payments, self.attempts = list[PaymentRow](), list[AttemptRow]()
        for number in range(600):
            at_ms = NOW_MS + draw.randrange(6 * MINUTE)
            state = draw.choice((2, 2, 2, 2, 3, 0, 1, 5))
            processor = draw.randrange(2)
            latency = draw.randrange(1000, 10**6)
            outcome = draw.choice((0, 0, 0, *OUTCOMES))
            self.payments.append(
                payment(number, accepted_ms=at_ms, requested_ms=at_ms + 3, settled_ms=at_ms + draw.randrange(10**5),
                        state=state, processor=processor, fee_ppm=FEES_PPM[processor],
                        cents=draw.randrange(10**6), era=1 + number % 2)
            )  # fmt: skip
            self.attempts.append(
                attempt(number, number, processor=processor, began_ms=at_ms, latency_us=latency, outcome=outcome,
                        status=OUTCOMES[outcome], is_lookup=draw.random() < 0.2, number=draw.choice((1, 2)),
                        error="no answer" if outcome == 5 else None)
            )  # fmt: skip
            if number % 50 == 0:
                self.attempts[-1] = self.attempts[-1]._replace(ended_ms=None, outcome=None, latency_us=None)
        self.health = [HealthRow(n, n % 2, NOW_MS + n * 3000, n % 3 == 0, n, 200) for n in range(120)]
        self.states = [ProcessorStateRow(n, n % 2, NOW_MS + n * 3000, n % 4, 0, 0) for n in range(120)]
        self.samples = [SampleRow(NOW_MS + n * 1000, 1, n, 2 * n, 10 * n, 20 * n, None, n, 7 * n) for n in range(360)]

    def batch(self, database: Database) -> Batch:
        before = database.cursor()
        return Batch(
            before, before._replace(journal=10**4, era=2), tuple(self.payments), tuple(self.attempts),
            tuple(self.health), tuple(self.states), FEES, samples=tuple(self.samples),
            eras=(EraRow(1, 0, None, 1, ""),),
        )  # fmt: skip


ROWS = Rows()


@pytest.fixture
def filled(ledger: Database) -> Database:
    assert carry(ledger, ROWS.batch(ledger)) == 0
    return ledger


def made(database: Database, name: str, stretch: Stretch = STRETCH) -> list[dict[str, Any]]:
    report = REPORTS[name](database, stretch)
    names = [column.name for column in report.columns]
    return [dict(zip(names, row, strict=True)) for row in report.rows]


def steps(rows: list[Any], key: Callable[[Any], tuple[int, ...]], stretch: Stretch = STRETCH) -> dict[Any, list[Any]]:
    """Rows by step, and the rest of their key; only those of the stretch."""
    found: dict[Any, list[Any]] = {}
    for row in rows:
        at_ms, *rest = key(row)
        if stretch.from_ms <= at_ms < stretch.to_ms:
            found.setdefault((at_ms - at_ms % stretch.step_ms, *(NAMES[one] for one in rest)), []).append(row)
    return dict(sorted(found.items()))


@pytest.mark.parametrize("step", STEPS_MS)
def test_payments(filled: Database, step: str) -> None:
    stretch = STRETCH._replace(step_ms=STEPS_MS[step])
    expected = []
    for (at_ms,), rows in steps(ROWS.payments, lambda row: (row.accepted_ms,), stretch).items():
        states = Counter(row.state for row in rows)
        done = [row for row in rows if row.state == layout.COMPLETED]
        waits = [row.settled_ms - row.accepted_ms for row in done if row.settled_ms is not None]
        expected.append(
            {"time": at_ms, "accepted": len(rows), "amount_cents": sum(row.cents for row in rows),
             "completed": states[2], "failed": states[3], "open": states[0] + states[1], "charged_before": states[5],
             "fee_cents": sum(fee_cents(row.cents, row.fee_ppm or 0) for row in done),
             "waited_mean_ms": sum(waits) // len(waits), "waited_max_ms": max(waits)}
        )  # fmt: skip
    assert made(filled, "payments", stretch) == expected and expected


def test_the_newest_payments_come_with_their_attempts(ledger: Database) -> None:
    begun = making.batch(0, 7)
    repeated = [attempt(5, 20, number=2, processor=1, outcome=3, status=500), attempt(5, 21, number=3)]
    carry(ledger, begun._replace(attempts=(*begun.attempts, *repeated)))
    found = latest(ledger, Stretch(NOW_MS, NOW_MS + 7, MINUTE))
    assert [one.payment for one in found] == [payment(number) for number in (6, 5, 4, 3, 2)]
    assert [len(one.attempts) for one in found] == [1, 3, 1, 1, 1]
    head, *lines = latest_text(found, dict(enumerate(NAMES))).split("\n")
    assert (head, len(lines)) == ("newest payments", 5 + 7)
    assert lines[0].split() == [str(uuid.UUID(bytes=payment(6).id)), "19.90", "completed"]
    assert lines[1] == "    default charged in 15.0 ms" and lines[4] == "    fallback failed in 15.0 ms"


def test_of_many_attempts_the_last_are_shown() -> None:
    attempts = [attempt(0, n, number=n, outcome=3, latency_us=None) for n in range(5)]
    waiting = attempt(0, 9, outcome=None, latency_us=None)
    text = latest_text([Latest(payment(0, state=layout.PROCESSING), [*attempts, waiting])], {0: "a"})
    assert text.split("\n")[2:] == ["    3 earlier attempts", "    a failed", "    a failed", "    a under way"]


def test_attempts(filled: Database) -> None:
    expected = []
    for (at_ms, name), rows in steps(ROWS.attempts, lambda row: (row.began_ms, row.processor)).items():
        requests = [row for row in rows if not row.is_lookup]
        outcomes = Counter(row.outcome for row in rows)
        expected.append(
            {"time": at_ms, "processor": name, "requests": len(requests),
             "repeated": sum(row.number > 1 for row in requests), "lookups": len(rows) - len(requests),
             "charged": outcomes[0] + outcomes[6], "not_charged": outcomes[2] + outcomes[3], "unknown": outcomes[5],
             "unanswered": sum(row.ended_ms is None for row in rows)}
        )  # fmt: skip
    assert made(filled, "attempts") == expected and expected


def test_latency(filled: Database) -> None:
    expected = []
    answered = [row for row in ROWS.attempts if row.latency_us is not None and not row.is_lookup]
    for (at_ms, name), rows in steps(answered, lambda row: (row.began_ms, row.processor)).items():
        values = sorted(row.latency_us for row in rows)

        def quantile(percent: int, values: list[int] = values) -> int:
            return values[math.ceil(len(values) * percent / 100) - 1]

        expected.append(
            {"time": at_ms, "processor": name, "answered": len(values), "p50_us": quantile(50),
             "p90_us": quantile(90), "p99_us": quantile(99), "max_us": values[-1]}
        )  # fmt: skip
    assert made(filled, "latency") == expected and expected


def test_failures(filled: Database) -> None:
    names = {2: "rejected", 3: "failed", 5: "unknown", 255: "dropped"}
    expected = []
    bad = [row for row in ROWS.attempts if row.outcome in names]
    for (at_ms, name), rows in steps(bad, lambda row: (row.began_ms, row.processor)).items():
        for outcome, count in sorted(Counter(row.outcome for row in rows).items()):
            expected.append(
                {"time": at_ms, "processor": name, "outcome": names[outcome], "status": OUTCOMES[outcome],
                 "error": "no answer" if outcome == 5 else None, "attempts": count}
            )  # fmt: skip
    assert made(filled, "failures") == expected and expected


def test_processors(filled: Database) -> None:
    settled = [row for row in ROWS.payments if row.state == layout.COMPLETED]
    charged = steps(settled, lambda row: (row.requested_ms, row.processor))
    health = steps(ROWS.health, lambda row: (row.at_ms, row.processor))
    states = steps(ROWS.states, lambda row: (row.at_ms, row.processor))
    expected = [
        {"time": key[0], "processor": key[1], "settled": len(charged[key]),
         "amount_cents": sum(row.cents for row in charged[key]), "health_answers": len(health[key]),
         "failing": sum(row.failing for row in health[key]),
         "min_response_max_ms": max(row.min_response_ms for row in health[key]),
         "opened": sum(row.state == 3 for row in states[key])}
        for key in charged
    ]  # fmt: skip
    assert made(filled, "processors") == expected and expected


@pytest.mark.parametrize("step", STEPS_MS)
def test_money(filled: Database, step: str) -> None:
    stretch = STRETCH._replace(step_ms=STEPS_MS[step])
    settled = [row for row in ROWS.payments if row.state == layout.COMPLETED]
    by_processor = steps(settled, lambda row: (row.requested_ms, row.processor), stretch)
    in_all = steps(settled, lambda row: (row.requested_ms,), stretch)
    expected, before = [], dict[str, list[PaymentRow]]()
    for key, rows in sorted([*by_processor.items(), *(((*key, "~"), rows) for key, rows in in_all.items())]):
        gross = sum(row.cents for row in rows)
        exact = Decimal(sum(row.cents * row.fee_ppm for row in rows)) / 1_000_000
        fee = int(exact.to_integral_value(ROUND_HALF_EVEN))
        fee_so_far = Decimal(sum(row.cents * (row.fee_ppm or 0) for row in before.setdefault(key[1], []) + rows))
        before[key[1]] += rows
        net_so_far = sum(row.cents for row in before[key[1]]) - round(fee_so_far / 1_000_000)
        cheapest = (Decimal(gross) / 20).to_integral_value(ROUND_HALF_EVEN)
        expected.append(
            {"time": key[0], "processor": key[1].replace("~", "(all)"), "payments": len(rows), "gross_cents": gross,
             "fee_cents": fee, "net_cents": gross - fee, "net_so_far_cents": net_so_far,
             "cheapest_fee_cents": int(cheapest), "fee_not_known_gross_cents": 0}
        )  # fmt: skip
    assert made(filled, "money", stretch) == expected and expected


def test_money_beyond_63_bits_is_exact(ledger: Database) -> None:
    before = ledger.cursor()
    cents = 10**12
    rows = tuple(payment(number, cents=cents - number, fee_ppm=999_999) for number in range(200))
    carry(ledger, Batch(before, before._replace(journal=1), payments=rows, fees=(FeeRow(0, 0, 999_999),)))
    gross, exact = sum(row.cents for row in rows), sum(row.cents * 999_999 for row in rows)
    assert exact > 1 << 64
    (row, _) = made(ledger, "money", Stretch(NOW_MS, NOW_MS + MINUTE, MINUTE))
    assert (row["gross_cents"], row["fee_cents"]) == (gross, round(Fraction(exact, 1_000_000)))


def test_money_says_what_the_cheapest_of_the_time_would_have_cost(ledger: Database) -> None:
    before = ledger.cursor()
    rows = tuple(payment(number, requested_ms=NOW_MS + 10 * number, processor=1, fee_ppm=150_000, cents=10_000)
                 for number in range(4))  # fmt: skip
    fees = (FeeRow(0, 0, 50_000), FeeRow(1, 0, 150_000), FeeRow(0, NOW_MS + 20, 70_000))
    carry(ledger, Batch(before, before._replace(journal=1), payments=rows, fees=fees))
    (row, in_all) = made(ledger, "money", Stretch(NOW_MS, NOW_MS + MINUTE, MINUTE))
    assert (row["fee_cents"], row["cheapest_fee_cents"]) == (6000, 2 * 500 + 2 * 700)
    assert (in_all["processor"], in_all["cheapest_fee_cents"]) == ("(all)", 2400)


def test_money_of_which_the_fee_is_not_known_is_not_guessed(ledger: Database) -> None:
    before = ledger.cursor()
    rows = (payment(1, fee_ppm=None, cents=700), payment(2, processor=1, fee_ppm=50_000, cents=1000))
    carry(ledger, Batch(before, before._replace(journal=1), payments=rows))
    (unknown, known, in_all) = made(ledger, "money", Stretch(NOW_MS, NOW_MS + MINUTE, MINUTE))
    assert (unknown["fee_cents"], unknown["net_cents"], unknown["fee_not_known_gross_cents"]) == (None, None, 700)
    assert (known["fee_cents"], known["net_cents"]) == (50, 950)
    assert (in_all["gross_cents"], in_all["fee_cents"], in_all["net_so_far_cents"]) == (1700, None, None)


@pytest.mark.parametrize(("microcents", "cents"), [(0, 0), (500_000, 0), (500_001, 1), (1_500_000, 2), (2_500_000, 2),
                                                   (-500_000, 0), (-1_500_000, -2), (10**30 + 1, 10**24)])  # fmt: skip
def test_sums_are_rounded_half_to_even(microcents: int, cents: int) -> None:
    assert rounded(microcents) == cents


ADVISED = (
    Earned(900_00, 90_00, 40),
    Earned(905_00, 85_00, 41),
    Earned(950_00, 50_00, 2000),
    Earned(960_00, 40_00, None),
)


def advise(database: Database, *changes: Change) -> list[int]:
    was, replayed, advised, oracle = ADVISED
    window = Window(NOW_MS + 5, NOW_MS + MINUTE, 100, 1000_00, 3, was, replayed, oracle, 50, "ccba24d")
    return advice.record(
        database, window,
        [Advice(changes, advised, "wait longer"), Advice((), None, "nothing to advise: all of it is noise")],
    )  # fmt: skip


def test_advice_has_its_figures_and_what_follows_from_them(ledger: Database) -> None:
    pair = (Change("ENGINE_WAIT_MAX_MS", 500, 10_000), Change("ENGINE_SUSPECT_MS", 40, 80))
    assert advise(ledger, *pair) == [1, 2] and advise(ledger, *pair) == [3, 4]
    first, second, nothing, *others = made(ledger, "advice", Stretch(NOW_MS, NOW_MS + MINUTE, MINUTE))
    assert [row["number"] for row in others] == [3, 3, 4]
    for row, (name, now, value) in zip((first, second), pair, strict=True):
        assert (row["variable"], row["value_now"], row["value_advised"]) == (name, now, value)
        assert (row["time"], row["until"], row["number"]) == (NOW_MS + 5, NOW_MS + MINUTE, 1)
        assert (row["gain_cents"], row["error_cents"], row["advised_unsettled_cents"]) == (45_00, 5_00, 0)
    assert (nothing["variable"], nothing["gain_cents"], nothing["advised_unsettled_cents"]) == (None, None, None)
    for row in (first, nothing):
        assert (row["was_unsettled_cents"], row["replayed_unsettled_cents"], row["oracle_unsettled_cents"]) == (
            10_00, 10_00, 0,
        )  # fmt: skip
        assert (row["payments"], row["left_out"], row["replays"], row["program"]) == (100, 3, 50, "ccba24d")
    assert made(ledger, "advice", Stretch(NOW_MS + 6, NOW_MS + MINUTE, MINUTE)) == []


def test_no_advice_is_kept_without_its_figure(ledger: Database) -> None:
    was, replayed, _, oracle = ADVISED
    window = Window(NOW_MS, NOW_MS + MINUTE, 100, 1000_00, 3, was, replayed, oracle, 50, "ccba24d")
    with pytest.raises(AssertionError, match="figure"):
        advice.record(ledger, window, [Advice((Change("ENGINE_SUSPECT_MS", 40, 80),), None, "trust me")])
    assert made(ledger, "advice", Stretch(0, 2 * NOW_MS, MINUTE)) == []


def test_samples(filled: Database) -> None:
    expected = []
    for (at_ms,), rows in steps(ROWS.samples, lambda row: (row.at_ms,)).items():
        accepted = sum(row.accepted for row in rows)
        expected.append(
            {"time": at_ms, "accepted": accepted, "settled": 2 * accepted,
             "accept_p50_us": sum(row.accept_p50_us * row.accepted for row in rows) // accepted,
             "accept_p99_us": max(row.accept_p99_us for row in rows), "settle_p50_us": None,
             "settle_p99_us": max(row.settle_p99_us for row in rows), "backlog_max": max(row.backlog for row in rows)}
        )  # fmt: skip
    assert made(filled, "samples") == expected and expected


@pytest.mark.parametrize("name", REPORTS)
def test_a_time_in_which_nothing_happened_is_an_empty_report(filled: Database, name: str) -> None:
    report = REPORTS[name](filled, Stretch(5, 6, MINUTE))
    assert report.rows == []
    assert report_text.table(report, MINUTE) == "nothing in this time"
    assert json.loads(report_text.as_json(report)) == []
    assert "nothing in this time" in picture.svg(name, report, MINUTE)


# --- how they look ----------------------------------------------------------------------------------------------------

LARGE = {
    Kind.COUNT: 99_999,
    Kind.CENTS: 99_999_999_99,
    Kind.BALANCE: 99_999_999_99,
    Kind.MS: 9_999,
    Kind.US: 99_940_000,
    Kind.TEXT: "x" * 60,
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_table_fits_a_terminal_even_when_its_numbers_are_large(ledger: Database, name: str) -> None:
    report = REPORTS[name](ledger, STRETCH)
    words = {"processor": "default", "outcome": "rejected", "status": "429", "time": NOW_MS}
    row = tuple(words.get(one.name, LARGE.get(one.kind)) for one in report.columns)
    for line in report_text.table(report._replace(rows=[row]), MINUTE).splitlines():
        assert len(line) <= 80, line


SHOWN = Report(
    (Column("time", "time", Kind.TIME), Column("processor", "processor", Kind.TEXT), Column("a_cents", "a", Kind.CENTS),
     Column("b_us", "b", Kind.US), Column("c_ms", "c", Kind.MS), Column("d", "")),
    [(NOW_MS, "default", 123456, 1500, 12, 7), (NOW_MS, "fallback", -5, 12_340_000, None, 8),
     (NOW_MS + MINUTE, "it\x1b[2J\nbad, \"quoted\" and far too long for it", 0, 999, 99_999_999, 9)],
)  # fmt: skip


TABLE = """\
time         processor                           a        b         c
-----------  ----------------------------  -------  -------  --------
11-27 08:00  default                       1234.56  1.50 ms   12.0 ms
             fallback                        -0.05     12 s         -
11-27 08:01  it?[2J?bad, "quoted" and ...     0.00  1.00 ms  100000 s"""


def test_a_table_is_for_people() -> None:
    assert report_text.table(SHOWN, MINUTE) == TABLE


def test_csv_and_json_lose_nothing() -> None:
    rows = list(csv.DictReader(report_text.as_csv(SHOWN).splitlines(keepends=True)))
    assert rows[0] == {
        "time": "2026-11-27T08:00:00Z", "processor": "default", "a_cents": "123456", "b_us": "1500", "c_ms": "12",
        "d": "7",
    }  # fmt: skip
    assert (rows[1]["c_ms"], rows[2]["processor"]) == ("", SHOWN.rows[2][1])
    assert json.loads(report_text.as_json(SHOWN))[1] == {
        "time": "2026-11-27T08:00:00Z", "processor": "fallback", "a_cents": -5, "b_us": 12_340_000, "c_ms": None,
        "d": 8,
    }  # fmt: skip


def test_a_picture_has_a_panel_for_each_quantity_and_a_line_for_each_processor(filled: Database) -> None:
    for name in REPORTS.keys() - {"advice"}:  # which is words
        report = REPORTS[name](filled, STRETCH)
        drawn = ElementTree.fromstring(picture.svg(name, report, MINUTE))
        texts = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
        quantities = [column for column in report.columns if column.kind not in (Kind.TIME, Kind.TEXT)]
        assert texts[0] == name and {column.label for column in quantities} <= set(texts)
        lines = list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))
        is_split = report.columns[1].kind is Kind.TEXT
        known = sum(any(row[report.columns.index(one)] is not None for row in report.rows) for one in quantities)
        assert len(lines) == known * (len({row[1] for row in report.rows}) if is_split else 1)
        assert not is_split or set(NAMES) <= set(texts)


def test_a_name_cannot_break_a_picture() -> None:
    drawn = picture.svg("<b>&", SHOWN._replace(rows=[(NOW_MS, "<script>", 1, 1, 1, 1)]), MINUTE)
    assert "<script>" not in drawn
    ElementTree.fromstring(drawn)


@pytest.mark.parametrize(
    ("word", "ms"),
    [("2026-11-27", NOW_MS - 8 * 3_600_000), ("2026-11-27T08:00Z", NOW_MS), ("2026-11-27 08:00:00.005", NOW_MS + 5),
     ("2026-11-27T10:00+02:00", NOW_MS)],
)  # fmt: skip
def test_a_moment_is_read(word: str, ms: int) -> None:
    assert moment(word) == ms


@pytest.mark.parametrize("word", ["", "yesterday", "5", "-5m", "1e3s", "999999999d", "1960-01-01", "2026-13-01"])
def test_what_is_no_moment_is_refused(word: str) -> None:
    with pytest.raises(Exception, match=r"moment|1970"):
        moment(word)


# --- the commands -----------------------------------------------------------------------------------------------------


def engine(url: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``./engine.sh words...``: a report in this process, all else in one of its own, which sets up its log."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
    known |= {"ENGINE_LEDGER_URL": url} | environment
    if words[0] == "report":
        return reported(known, words)
    command = [sys.executable, "-m", "engine", *words]
    return subprocess.run(command, env=known, capture_output=True, text=True, timeout=60, check=False)


def reported(environment: dict[str, str], words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main([*words])
        except SystemExit as end:  # of argparse
            code = int(end.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a ledger in SQLite whose ledger process does not run."""
    address = f"sqlite:///{tmp_path}/ledger.db"
    database = open_ledger(address, name="engine", engine=making.ENGINE, processors=NAMES)
    carry(database, ROWS.batch(database))
    database.close()
    return address


def test_the_command_prints_a_report(url: str, tmp_path: Path) -> None:
    drawn = tmp_path / "report.svg"
    words = ("--from", "2026-11-27T08:00Z", "--to", "2026-11-27T09:00Z", "--by", "hour")
    done = engine(url, "report", "payments", *words, "--picture", str(drawn))
    assert done.returncode == 0, done.stderr
    assert "11-27 08:00" in done.stdout and " 600 " in done.stdout
    ElementTree.parse(drawn)
    assert json.loads(engine(url, "report", "payments", *words, "--format", "json").stdout)[0]["accepted"] == 600


def test_advice_is_told_in_every_form(url: str) -> None:
    database = open_ledger(url, name="engine", adds=True)
    advise(database, Change("ENGINE_WAIT_MAX_MS", 500, 10_000))
    database.close()
    words = ("report", "advice", "--from", "2026-11-27T08:00Z", "--to", "2026-11-27T09:00Z")
    done = engine(url, *words)
    assert done.returncode == 0, done.stderr
    for said in (
        "ENGINE_WAIT_MAX_MS", "10000", "45.00", "wait longer", "nothing to advise: all of it is noise",
        "with the advice:    earned 950.00, fees 50.00, not settled 0.00, mean wait 2000 ms",
        "the oracle:         earned 960.00, fees 40.00, not settled 0.00\n",
    ):  # fmt: skip
        assert said in done.stdout
    first, nothing = json.loads(engine(url, *words, "--format", "json").stdout)
    assert (first["gain_cents"], nothing["gain_cents"]) == (4500, None)
    (_, second) = csv.DictReader(engine(url, *words, "--format", "csv").stdout.splitlines())
    assert (second["variable"], second["error_cents"]) == ("", "500")


def test_a_ledger_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    for words in (("report", "payments"), ("ledger", "backup", str(tmp_path / "copy"))):
        done = engine(f"sqlite:///{tmp_path}/none.db", *words)
        assert done.returncode == 1
        assert done.stderr.startswith("engine: the ledger's database") and "Traceback" not in done.stderr


def test_bad_options_are_sentences(url: str, tmp_path: Path) -> None:
    for words in (
        ("report", "payments", "--from", "1h", "--to", "2h"), ("report", "payments", "--from", "soon"),
        ("report", "nothing"),
        ("report", "payments", "--from", "3000d", "--picture", str(tmp_path / "x.svg")),
        ("report", "advice", "--picture", str(tmp_path / "x.svg")),
        ("report", "payments", "--picture", str(tmp_path / "x.png")),
    ):  # fmt: skip
        done = engine(url, *words)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert not list(tmp_path.glob("x.*"))
    assert "does not end in .svg" in done.stderr
    done = engine("mysql://somewhere", "report", "payments")
    assert done.returncode == 2 and "ENGINE_LEDGER_URL" in done.stderr


def test_the_command_backs_up(url: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert engine(url, "ledger", "backup", str(copy)).returncode == 0
    again = engine(url, "ledger", "backup", str(copy))
    assert again.returncode == 1 and "is there already" in again.stderr
    words = ("report", "payments", "--from", "2026-11-27", "--to", "2026-11-28", "--by", "day", "--format", "csv")
    assert engine(f"sqlite:///{copy}", *words).stdout == engine(url, *words).stdout
