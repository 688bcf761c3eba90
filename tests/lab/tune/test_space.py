"""What is to be tried is read as it was meant, or refused with the reason that a start of the engine would give."""

from __future__ import annotations

import pytest

from engine.lab.tune import space
from engine.lab.tune.space import Axis, SpaceError
from engine.settings import VARIABLES
from engine.variables import Variable

PAUSE = "ENGINE_DISPATCH_PAUSE_MS"


@pytest.mark.parametrize(
    ("listed", "values"),
    [
        ("4", "4"),
        ("4,2,8", "4 2 8"),
        ("2..32:x2", "2 4 8 16 32"),
        ("3..20:x3", "3 9"),
        ("0..20:+5", "0 5 10 15 20"),
        ("0..9:+4", "0 4 8"),
        ("1..4", "1 2 3 4"),
        ("7..7", "7"),
        ("0,1..4:x2,4,4,007", "0 1 2 4 7"),
    ],
)
def test_values_and_ranges_become_values_in_their_order_none_twice(listed: str, values: str) -> None:
    assert space.parse_axis(f"{PAUSE}={listed}") == Axis(PAUSE, tuple(values.split()))


def test_texts_and_flags_can_be_varied_too() -> None:
    assert space.parse_axis("ENGINE_DURABILITY=memory,disk").values == ("memory", "disk")
    assert space.parse_axis("CPU_SPLIT=0.4/0.35/1,0.40/0.35/1.00").values == ("0.40/0.35/1.00",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ENGINE_DISPATCH_PAUSES=1", "unknown"),
        ("DISPATCH_PAUSE_MS=1", "unknown"),
        (PAUSE, "must be like"),
        (f"{PAUSE}=", "must be like"),
        (f"{PAUSE}=1,,2", "must be a whole number"),
        (f"{PAUSE}=1001", "must be 0 to 1000"),
        (f"{PAUSE}=1..1001:+1000", "must be 0 to 1000"),
        (f"{PAUSE}=9..2", "begins above its end"),
        (f"{PAUSE}=0..8:x2", "must begin at 1"),
        (f"{PAUSE}=1..8:x1", "by 2 or more"),
        (f"{PAUSE}=1..8:+0", "the step must be 1 or more"),
        (f"{PAUSE}=1..8:x0.5", "must be a whole number"),
        (f"{PAUSE}=0..1000", "more than 64 values"),
        (f"{PAUSE}={','.join(map(str, range(65)))}", "more than 64 values"),
        ("ENGINE_RING_SLOTS=1000", "power of two"),
        ("ENGINE_DURABILITY=memory,tape", "must be one of memory, disk, sync"),
        ("ENGINE_PORT=9000", "every run has its own"),
        ("ENGINE_ADMIN_TOKEN=secret", "every run has its own"),
        ("CPU_SPLIT=0.4/0.4", "cores for nginx"),
        ("CPU_SPLIT=0/0.4/0.4", "cores for nginx"),
    ],
)
def test_what_no_engine_would_start_with_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(SpaceError, match=reason):
        space.parse_axis(text)


@pytest.mark.parametrize("variable", [v for v in VARIABLES if v.name not in space.RESERVED], ids=lambda v: v.name)
def test_every_variable_can_be_varied_at_its_default(variable: Variable) -> None:
    text = space._text(variable.default)
    if text:
        axis = space.parse_axis(f"{variable.name}={text}")
        assert space.is_default([axis], (text,))


def test_a_variable_is_varied_once() -> None:
    with pytest.raises(SpaceError, match="varied twice"):
        space.parse_axes([f"{PAUSE}=1", "ENGINE_DISPATCH_BATCH=1", f"{PAUSE}=2"])


def test_points_are_all_combinations_and_not_too_many() -> None:
    axes = space.parse_axes([f"{PAUSE}=1,2", "ENGINE_DURABILITY=memory,sync"])
    assert space.points(axes) == (("1", "memory"), ("1", "sync"), ("2", "memory"), ("2", "sync"))
    assert space.describe(axes, ("1", "sync")) == "DISPATCH_PAUSE_MS=1 DURABILITY=sync"
    with pytest.raises(SpaceError, match="1600 combinations are more than 1024"):
        space.points(space.parse_axes([f"{PAUSE}=1..40", "ENGINE_DISPATCH_BATCH=1..40"]))


def test_settings_of_the_environment_hold_for_every_run() -> None:
    axes = space.parse_axes([f"{PAUSE}=1,2"])
    environment = {"ENGINE_API_PROCESSES": "3", "ENGINE_PORT": "1234", "ENGINE_ADMIN_TOKEN": "secret", "HOME": "/"}
    assert space.fixed(environment, axes) == {"ENGINE_API_PROCESSES": "3"}
    with pytest.raises(SpaceError, match="varied, but set in the environment too"):
        space.fixed({PAUSE: "1"}, axes)
    with pytest.raises(SpaceError, match="ENGINE_API_PROCESSES='0': must be 1 to 16"):
        space.fixed({"ENGINE_API_PROCESSES": "0"}, axes)
