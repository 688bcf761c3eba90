"""What an option of a command accepts, and what it says of anything else."""

from __future__ import annotations

import argparse

import pytest

from engine.lab import options


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), ("1", 1.0), ("1e2", 100.0), ("100", 100.0)])
def test_a_number_within_its_bounds_is_taken(text: str, value: float) -> None:
    assert options.number(0.5, 100)(text) == value


@pytest.mark.parametrize("text", ["0.49", "100.1", "-1", "nan", "inf", "-inf", "", "two", "1,5"])
def test_any_other_number_is_refused_with_its_bounds(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        options.number(0.5, 100)(text)
    assert str(caught.value) == f"{text!r} is not a number from 0.5 to 100"


def test_bounds_are_told_in_full() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"from 0\.001 to 2147483647$"):
        options.number(0.001, 2**31 - 1)("0")


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("007", 7), ("65535", 65_535)])
def test_a_whole_number_within_its_bounds_is_taken(text: str, value: int) -> None:
    assert options.whole(1, 65_535)(text) == value


@pytest.mark.parametrize(
    "text", ["0", "65536", "-1", "+1", "1.0", "1e2", "1_0", " 1", "\u0661", "\u00b2", "", "9" * 5000]
)
def test_any_other_whole_number_is_refused_with_its_bounds(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        options.whole(1, 65_535)(text)
    assert str(caught.value) == f"{text!r} is not a whole number from 1 to 65535"


def test_zero_is_taken_where_it_may_be() -> None:
    assert options.whole(0, 1)("0") == 0
    with pytest.raises(argparse.ArgumentTypeError):
        options.whole(0, 1)("-0")


def test_a_command_ends_with_the_options_name_and_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="engine")
    parser.add_argument("--kills", type=options.whole(0, 1000))
    parser.add_argument("--hang", type=options.number(0, 1))
    assert vars(parser.parse_args(["--kills", "3", "--hang", "0.25"])) == {"kills": 3, "hang": 0.25}
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--kills", "many"])
    assert caught.value.code == 2
    assert "argument --kills: 'many' is not a whole number from 0 to 1000" in capsys.readouterr().err


def test_several_are_known_ones_each_once() -> None:
    read = options.several(("off", "sqlite", "postgresql"))
    assert read("sqlite,off") == ["sqlite", "off"]
    for text in ("", "sqlite,", "sqlite,sqlite", "mysql", "off sqlite"):
        with pytest.raises(argparse.ArgumentTypeError, match="some of off, sqlite, postgresql"):
            read(text)
