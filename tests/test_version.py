"""The engine has one version, wherever it is read."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.__main__ import main
from engine.intake import openapi
from engine.version import VERSION

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_command_description_and_project_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"engine {VERSION}\n"
    assert openapi.document(settings_module.read({}))["info"]["version"] == VERSION
    assert tomllib.loads(PROJECT.read_text())["project"]["version"] == VERSION
