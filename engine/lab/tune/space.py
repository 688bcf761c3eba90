"""What a tuning run tries: variables with their values, read from ``NAME=VALUES`` and checked as a start checks them.

Beside the ``ENGINE_`` variables there is one that no engine reads: :data:`SPLIT`, the CPU that each service may use.
Pure: the environment is handed in.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine import settings
from engine.settings import VARIABLES, SettingsError
from engine.variables import PREFIX, Variable

VALUES_MAX = 64
POINTS_MAX = 1024
# Every run has its own, or the variable does not change what is measured; tokens must not be written into results.
RESERVED = frozenset(
    (
        *settings.PROCESSOR_URL_NAMES,
        "ENGINE_NAME",
        "ENGINE_RUN_DIR",
        "ENGINE_RUN_GROUP",
        "ENGINE_DATA_DIR",
        "ENGINE_PORT",
        "ENGINE_PURGE",
        "ENGINE_ADMIN_TOKEN",
        "ENGINE_PROCESSOR_TOKEN",
    )
)
# Cores for nginx, for each API process, and for the dispatcher, like 0.40/0.35/0.40.
SPLIT = "CPU_SPLIT"
CPUS_MAX = 64
_CPUS = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2})?")
_RANGE = re.compile(r"(?P<low>[0-9]{1,18})\.\.(?P<high>[0-9]{1,18})(?::(?P<how>[x+])(?P<step>[0-9]{1,9}))?")


class SpaceError(Exception):
    """What is to be tried cannot be run; the text has a line for each reason."""


@dataclass(frozen=True)
class Axis:
    """A variable and the values that it takes, as texts in the order they were given, none twice."""

    name: str
    values: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name without the prefix that all share."""
        return self.name.removeprefix(PREFIX)


# A value for each axis, in their order.
Point = tuple[str, ...]


def parse_axis(text: str) -> Axis:
    """The axis that ``NAME=VALUE,VALUE,...`` describes.

    A value is taken literally, or is a range of whole numbers: ``1..4`` (every one), ``0..20:+5`` (in steps of 5),
    ``2..32:x2`` (each twice the one before). A range ends with the last number that is not above its upper end.
    Raises SpaceError.
    """
    name, sign, listed = text.partition("=")
    if not sign or not listed:
        raise SpaceError(f"{text!r}: must be like ENGINE_DISPATCH_PAUSE_MS=2,4,8 or =2..32:x2")
    if name in RESERVED:
        raise SpaceError(f"{name}: cannot be varied, every run has its own")
    values: list[str] = []
    for word in listed.split(","):
        values.extend(value for value in _values_of(name, word) if value not in values)
        if len(values) > VALUES_MAX:
            raise SpaceError(f"{name}: more than {VALUES_MAX} values")
    return Axis(name, tuple(values))


def cpus(split: str) -> tuple[Decimal, Decimal, Decimal]:
    """Cores for nginx, for each API process, and for the dispatcher. Raises ValueError with a reason."""
    words = split.split("/")
    if len(words) != 3 or not all(_CPUS.fullmatch(word) and 0 < Decimal(word) <= CPUS_MAX for word in words):
        raise ValueError("must be like 0.40/0.35/0.40: cores for nginx, each API process and the dispatcher")
    front, api, dispatcher = map(Decimal, words)
    return front, api, dispatcher


def _values_of(name: str, word: str) -> list[str]:
    if name == SPLIT:
        try:
            return ["/".join(f"{cores:.2f}" for cores in cpus(word))]
        except ValueError as error:
            raise SpaceError(f"{name}={word}: {error}") from None
    variable = {variable.name: variable for variable in VARIABLES}.get(name)
    if variable is None:
        raise SpaceError(f"{name}: unknown.{settings.nearest(name)} tuning.md lists the variables")
    return _values(variable, word)


def _values(variable: Variable, word: str) -> list[str]:
    """The values that one word between commas stands for, each written as the settings write it."""
    span = _RANGE.fullmatch(word)
    texts = [word] if span is None or isinstance(variable.default, str) else _range(variable.name, word, span)
    try:
        return [_text(variable.parse(text)) for text in texts]
    except ValueError as error:
        raise SpaceError(f"{variable.name}={word}: {error}") from None


def _range(name: str, word: str, span: re.Match[str]) -> list[str]:
    low, high, step = int(span["low"]), int(span["high"]), int(span["step"] or 1)
    if low > high:
        raise SpaceError(f"{name}={word}: begins above its end")
    if span["how"] == "x" and (low < 1 or step < 2):
        raise SpaceError(f"{name}={word}: multiplying must begin at 1 or above, by 2 or more")
    if step < 1:
        raise SpaceError(f"{name}={word}: the step must be 1 or more")
    numbers = [low]
    while (following := numbers[-1] * step if span["how"] == "x" else numbers[-1] + step) <= high:
        numbers.append(following)
        if len(numbers) > VALUES_MAX:
            raise SpaceError(f"{name}={word}: more than {VALUES_MAX} values")
    return [str(number) for number in numbers]


def parse_axes(texts: Sequence[str]) -> tuple[Axis, ...]:
    """The axes of all ``texts``; a name may be given once. Raises SpaceError."""
    axes = tuple(parse_axis(text) for text in texts)
    names = [axis.name for axis in axes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpaceError(f"{', '.join(twice)}: varied twice; put all values into one list")
    return axes


def points(axes: Sequence[Axis]) -> tuple[Point, ...]:
    """Every combination, the last axis moving fastest. Raises SpaceError beyond :data:`POINTS_MAX`."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > POINTS_MAX:
        raise SpaceError(f"{count} combinations are more than {POINTS_MAX}: fewer values, or fewer variables at a time")
    return tuple(itertools.product(*(axis.values for axis in axes)))


def fixed(environment: Mapping[str, str], axes: Sequence[Axis]) -> dict[str, str]:
    """The ``ENGINE_`` settings of ``environment`` that hold for every run.

    Raises SpaceError for those that no engine would start with, and for one that is varied as well.
    """
    varied = {axis.name for axis in axes}
    ours = {name: value for name, value in sorted(environment.items()) if name.startswith(PREFIX)}
    both = sorted(varied & ours.keys())
    if both:
        raise SpaceError(f"{', '.join(both)}: varied, but set in the environment too; unset it there")
    try:
        settings.read(ours)
    except SettingsError as error:
        raise SpaceError(str(error)) from None
    return {name: value for name, value in ours.items() if name not in RESERVED}


def assignment(axes: Sequence[Axis], point: Point) -> dict[str, str]:
    """The value of every axis at ``point``, by name."""
    return {axis.name: value for axis, value in zip(axes, point, strict=True)}


def describe(axes: Sequence[Axis], point: Point) -> str:
    """``DISPATCH_PAUSE_MS=4 DISPATCH_BATCH=64``: the point in a line."""
    return " ".join(f"{axis.label}={value}" for axis, value in zip(axes, point, strict=True))


def is_default(axes: Sequence[Axis], point: Point) -> bool:
    """Whether ``point`` has the values of an engine without settings. No split of the CPU is a default."""
    return all(default_of(axis) == value for axis, value in zip(axes, point, strict=True))


def default_of(axis: Axis) -> str | None:
    """The default of a variable, among the axis' values or not; None for the split of the CPU, which has none."""
    return {variable.name: _text(variable.default) for variable in VARIABLES}.get(axis.name)


def _text(value: int | str | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
