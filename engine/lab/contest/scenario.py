"""Scenarios: what a contest does to the engine, as small TOML files that are read into plain, checked values.

Pure apart from :func:`load`, which reads one file. Times are seconds since the load began.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "scenarios"

# Limits, so that a typing error does not occupy the machine for a day.
DURATION_S_MAX = 3600.0
VUS_MAX = 5000
DELAY_MS_MAX = 60_000
LIST_LENGTH_MAX = 200
AMOUNT_MAX = 1_000_000


class ScenarioError(Exception):
    """A scenario cannot be used; the text names the file, the key and what is wrong with it."""


@dataclass(frozen=True)
class Condition:
    """How a processor behaves: it waits ``delay_ms``, then answers, or fails with 500 if ``failing``."""

    delay_ms: int
    failing: bool

    def describe(self) -> str:
        """A few characters for a label: ``ok``, ``100 ms``, ``failing``, ``2000 ms failing``."""
        words = ([f"{self.delay_ms} ms"] if self.delay_ms else []) + (["failing"] if self.failing else [])
        return " ".join(words) or "ok"


@dataclass(frozen=True)
class Flaky(Condition):
    """It fails at random too: ``failing_share`` of its answers are a 500, 0.4 being 40 %."""

    failing_share: Decimal

    def describe(self) -> str:
        """As above, with ``fails 40 %``."""
        return f"{super().describe()}, fails {float(self.failing_share * 100):g} %"


HEALTHY = Condition(delay_ms=0, failing=False)


@dataclass(frozen=True)
class Stage:
    """From ``at_s`` on, until the next stage, the two processors behave like this."""

    at_s: float
    default: Condition
    fallback: Condition

    @property
    def conditions(self) -> dict[str, Condition]:
        """How each processor behaves, by name."""
        return {"default": self.default, "fallback": self.fallback}

    def describe(self) -> str:
        """``default 100 ms, fallback ok``: the stage in one line."""
        return ", ".join(f"{name} {condition.describe()}" for name, condition in self.conditions.items())


BEFORE_FIRST_STAGE = Stage(at_s=0.0, default=HEALTHY, fallback=HEALTHY)


@dataclass(frozen=True)
class Ramp:
    """The number of virtual users moves in a straight line to ``target`` within ``duration_s``."""

    duration_s: float
    target: int


@dataclass(frozen=True)
class Load:
    """Virtual users that each pay ``amount_cents``, wait for the answer, sleep ``sleep_s``, and start again.

    A request is abandoned after ``timeout_s``. ``start_vus`` users are there when the first ramp begins.
    """

    start_vus: int
    amount_cents: int
    sleep_s: float
    timeout_s: float
    ramps: tuple[Ramp, ...]

    @property
    def duration_s(self) -> float:
        """Length of the load in seconds, without the last iterations that are allowed to finish after it."""
        return sum(ramp.duration_s for ramp in self.ramps)

    def vus_at(self, time_s: float) -> int:
        """Virtual users at ``time_s`` seconds; none before the load and after it."""
        if not 0 <= time_s <= self.duration_s:
            return 0
        begin_s, vus = 0.0, self.start_vus
        for ramp in self.ramps:
            if time_s < begin_s + ramp.duration_s:
                return round(vus + (ramp.target - vus) * (time_s - begin_s) / ramp.duration_s)
            begin_s, vus = begin_s + ramp.duration_s, ramp.target
        return vus


@dataclass(frozen=True)
class Fees:
    """Share of an amount that each processor keeps, 0.05 being 5 %."""

    default: Decimal
    fallback: Decimal

    @property
    def by_name(self) -> dict[str, Decimal]:
        """The same by the name of the processor."""
        return {"default": self.default, "fallback": self.fallback}


@dataclass(frozen=True)
class AuditPlan:
    """Every ``every_s`` the books are compared from ``from_s`` to ``to_s`` seconds before the audit."""

    every_s: float
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Scenario:
    """Everything that is done to the engine in one run. ``stages`` are in order of time."""

    name: str
    title: str
    load: Load
    fees: Fees
    audit: AuditPlan
    stages: tuple[Stage, ...]

    def stage_at(self, time_s: float) -> Stage:
        """The stage that holds at ``time_s``; before the first, both processors are healthy."""
        current = BEFORE_FIRST_STAGE
        for stage in self.stages:
            if stage.at_s > time_s:
                break
            current = stage
        return current

    def stretched(self, duration_s: float) -> Scenario:
        """The same in ``duration_s`` seconds; the audits stay as they are."""
        factor = duration_s / self.load.duration_s
        ramps = tuple(replace(ramp, duration_s=ramp.duration_s * factor) for ramp in self.load.ramps)
        stages = tuple(replace(stage, at_s=stage.at_s * factor) for stage in self.stages)
        return replace(self, load=replace(self.load, ramps=ramps), stages=stages)

    def audit_times_s(self) -> tuple[float, ...]:
        """When audits are due: every ``audit.every_s``, the last no later than the end of the load."""
        count = int(self.load.duration_s / self.audit.every_s + 1e-9)
        return tuple(self.audit.every_s * number for number in range(1, count + 1))


class _Table:
    """A TOML table that is taken apart key by key; a key that is left at the end is a mistake in the file."""

    def __init__(self, content: Any, place: str) -> None:
        if not isinstance(content, dict):
            raise ScenarioError(f"{place}: must be a table, not {_shown(content)}")
        self._left = dict(content)
        self._place = place

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is None and self._left:
            raise ScenarioError(f"{self._place}: unknown key {self.left()}")

    def _take(self, key: str) -> tuple[Any, str]:
        if key not in self._left:
            raise ScenarioError(f"{self._place}: {key} is missing")
        return self._left.pop(key), f"{self._place}: {key}"

    def has(self, key: str) -> bool:
        return key in self._left

    def left(self) -> str:
        """The keys that have not been read, as a list for people; empty when there are none."""
        return ", ".join(sorted(self._left))

    def text(self, key: str) -> str:
        value, place = self._take(key)
        if not isinstance(value, str) or not value.strip():
            raise ScenarioError(f"{place}: must be a text, not {_shown(value)}")
        return value

    def flag(self, key: str) -> bool:
        value, place = self._take(key)
        if not isinstance(value, bool):
            raise ScenarioError(f"{place}: must be true or false, not {_shown(value)}")
        return value

    def whole(self, key: str, low: int, high: int) -> int:
        value, place = self._take(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ScenarioError(f"{place}: must be a whole number from {low} to {high}, not {_shown(value)}")
        return value

    def number(self, key: str, low: Decimal | int, high: Decimal | int | float) -> Decimal:
        value, place = self._take(key)
        if not _is_number(value) or not low <= value <= high:
            raise ScenarioError(f"{place}: must be a number from {low} to {high:g}, not {_shown(value)}")
        return Decimal(value)

    def cents(self, key: str) -> int:
        value, place = self._take(key)
        if not _is_number(value) or not 0 < value <= AMOUNT_MAX or value * 100 % 1:
            raise ScenarioError(f"{place}: must be an amount like 19.90, not {_shown(value)}")
        return int(value * 100)

    def table(self, key: str) -> _Table:
        value, place = self._take(key)
        return _Table(value, place)

    def tables(self, key: str) -> list[_Table]:
        value, place = self._take(key)
        if not isinstance(value, list) or not 1 <= len(value) <= LIST_LENGTH_MAX:
            expected = f"a list of 1 to {LIST_LENGTH_MAX} tables"
            raise ScenarioError(f"{place}: must be {expected}, not {_shown(value)}")
        return [_Table(entry, f"{place}[{index}]") for index, entry in enumerate(value)]


def _is_number(value: Any) -> bool:
    # tomllib makes a Decimal of every number with a point, of `nan` too, and comparing with that raises.
    return isinstance(value, Decimal | int) and not isinstance(value, bool) and Decimal(value).is_finite()


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _ramp(table: _Table) -> Ramp:
    with table:
        return Ramp(
            duration_s=float(table.number("duration_s", Decimal("0.1"), DURATION_S_MAX)),
            target=table.whole("target", 0, VUS_MAX),
        )


def _load(table: _Table) -> Load:
    with table:
        return Load(
            start_vus=table.whole("start_vus", 0, VUS_MAX),
            amount_cents=table.cents("amount"),
            sleep_s=float(table.number("sleep_s", Decimal("0.01"), 60)),
            timeout_s=float(table.number("timeout_s", Decimal("0.01"), 60)),
            ramps=tuple(_ramp(ramp) for ramp in table.tables("ramps")),
        )


def _fees(table: _Table, place: str) -> Fees:
    with table:
        fees = Fees(default=table.number("default", 0, 1), fallback=table.number("fallback", 0, 1))
        if more := table.left():
            raise ScenarioError(f"{place}: fees: a scenario is for default and fallback alone, and not for {more}")
    return fees


def _audit(table: _Table, place: str) -> AuditPlan:
    with table:
        plan = AuditPlan(
            every_s=float(table.number("every_s", Decimal("0.5"), DURATION_S_MAX)),
            from_s=float(table.number("from_s", 0, DURATION_S_MAX)),
            to_s=float(table.number("to_s", 0, DURATION_S_MAX)),
        )
    if plan.from_s <= plan.to_s:
        raise ScenarioError(f"{place}: audit: from_s must be longer ago than to_s")
    return plan


def _condition(table: _Table) -> Condition:
    with table:
        delay_ms, failing = table.whole("delay_ms", 0, DELAY_MS_MAX), table.flag("failing")
        if not table.has("failing_share"):
            return Condition(delay_ms, failing)
        return Flaky(delay_ms, failing, table.number("failing_share", 0, 1))


def _stage(table: _Table) -> Stage:
    with table:
        return Stage(
            at_s=float(table.number("at_s", 0, DURATION_S_MAX)),
            default=_condition(table.table("default")),
            fallback=_condition(table.table("fallback")),
        )


def parse(text: str, name: str, place: str) -> Scenario:
    """The scenario that ``text`` (TOML) describes; ``place`` is the file's name for messages.

    Raises ScenarioError that names file, key and reason.
    """
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{place}: not TOML: {error}") from None
    with _Table(content, place) as table:
        scenario = Scenario(
            name=name,
            title=table.text("title"),
            load=_load(table.table("load")),
            fees=_fees(table.table("fees"), place),
            audit=_audit(table.table("audit"), place),
            stages=tuple(_stage(stage) for stage in table.tables("stages")),
        )
    if scenario.load.duration_s > DURATION_S_MAX:
        raise ScenarioError(f"{place}: load: ramps: together longer than {DURATION_S_MAX:g} s")
    for index in range(1, len(scenario.stages)):
        if scenario.stages[index].at_s <= scenario.stages[index - 1].at_s:
            raise ScenarioError(f"{place}: stages[{index}]: at_s must be later than the stage before it")
    if scenario.stages[-1].at_s >= scenario.load.duration_s:
        raise ScenarioError(f"{place}: stages: the last begins after the load has ended")
    return scenario


def names() -> list[str]:
    """The scenarios that come with the engine."""
    return sorted(path.stem for path in DIRECTORY.glob("*.toml"))


def load(name_or_file: str) -> Scenario:
    """The scenario of that name, or in that file (anything with a slash or that ends in ``.toml``).

    Raises ScenarioError when there is none or it cannot be used.
    """
    is_file = "/" in name_or_file or name_or_file.endswith(".toml")
    path = Path(name_or_file) if is_file else DIRECTORY / f"{name_or_file}.toml"
    if not is_file and name_or_file not in names():
        known = ", ".join(names())
        raise ScenarioError(f"no scenario {name_or_file!r}; there are {known}, or name a .toml file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    return parse(text, path.stem, str(path))
