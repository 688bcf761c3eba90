"""What may be set, and what happens when it is set wrongly."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from engine import settings
from engine.settings import Settings, SettingsError, Variable

ROOT = Path(__file__).parent.parent


def test_without_an_environment_every_variable_has_its_default() -> None:
    values = settings.read({})
    assert all(getattr(values, variable.field) == variable.default for variable in settings.VARIABLES)
    assert [field.name for field in fields(Settings)] == [variable.field for variable in settings.VARIABLES]


def test_defaults_are_within_their_own_bounds() -> None:
    environment = settings.as_environment(settings.read({}))
    assert settings.read(environment) == settings.read({})


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings.read({"ENGINE_RING_SLOT": "4", "ENGINE_RING_SLOTS": "100", "ENGINE_PORT": "x", "PATH": "/bin"})
    assert caught.value.problems == [
        "ENGINE_RING_SLOT: unknown; tuning.md lists the variables",
        "ENGINE_PORT='x': must be a whole number",
        "ENGINE_RING_SLOTS='100': must be a power of two",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENGINE_PORT", "0"),
        ("ENGINE_PORT", "65536"),
        ("ENGINE_PORT", "1_000"),
        ("ENGINE_PORT", ""),
        ("ENGINE_PURGE", "yes"),
        ("ENGINE_NAME", "a/b"),
        ("ENGINE_NAME", ""),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "localhost:8001"),
        ("PAYMENT_PROCESSOR_URL_DEFAULT", "http://"),
        ("PAYMENT_PROCESSOR_URL_FALLBACK", "http://host:8002/payments"),
        ("PAYMENT_PROCESSOR_URL_FALLBACK", "http://host:port"),
        ("PAYMENT_PROCESSOR_URL_FALLBACK", "http://[::x]:1"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings.read({name: value})


@pytest.mark.parametrize("durability", ["disk", "sync"])
@pytest.mark.parametrize(
    "directory", [{}, {"ENGINE_DATA_DIR": ""}, {"ENGINE_DATA_DIR": "data"}], ids=["none", "empty", "relative"]
)
def test_what_must_survive_has_no_default_directory(durability: str, directory: dict[str, str]) -> None:
    with pytest.raises(
        SettingsError, match=f"ENGINE_DATA_DIR=.*: ENGINE_DURABILITY={durability} needs the absolute path"
    ):
        settings.read({"ENGINE_DURABILITY": durability} | directory)
    assert settings.read({"ENGINE_DURABILITY": durability, "ENGINE_DATA_DIR": "/data"}).data_dir == "/data"


@pytest.mark.parametrize(
    ("default", "fallback"),
    [("http://host:80", "http://HOST/"), ("http://a@host:1", "http://b@host:1"), ("http://[::1]:1", "http://[0::1]:1")],
)
def test_two_processors_that_are_one_are_refused(default: str, fallback: str) -> None:
    environment = dict(zip(settings.PROCESSOR_URL_NAMES, (default, fallback), strict=True))
    with pytest.raises(
        SettingsError, match=r"_DEFAULT and PAYMENT_PROCESSOR_URL_FALLBACK are one and the same: http://"
    ):
        settings.read(environment)


def test_an_origin_may_end_with_a_slash() -> None:
    values = settings.read({"PAYMENT_PROCESSOR_URL_DEFAULT": "http://payment-processor-default:8080/"})
    assert values.processor_urls[0] == "http://payment-processor-default:8080"


def test_tuning_md_shows_exactly_the_variables_that_there_are() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", (ROOT / "tuning.md").read_text(), re.M)

    def row(variable: Variable) -> tuple[str, str, str, str, str]:
        default = str(int(variable.default)) if isinstance(variable.default, bool) else str(variable.default)
        return variable.name, f"`{default}`" if default else "", variable.unit, variable.bounds, variable.effect

    assert rows == [row(variable) for variable in settings.VARIABLES]
