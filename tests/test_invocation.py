"""One way to start a command that works everywhere, and is the one that messages name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine import invocation

ROOT = Path(__file__).parent.parent
OLD_PYTHONS = sorted(path for name in ("python3.8", "python3.9", "python3.10") if (path := shutil.which(name)))


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself, in ``cwd``."""
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_script_runs_from_another_directory_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("raise RuntimeError('this is another engine')\n")
    (tmp_path / "link").symlink_to(ROOT / "engine.sh")
    for script in (ROOT / "engine.sh", tmp_path / "link", "./link"):
        ended = run(script, "settings", cwd=tmp_path, ENGINE_PORT="1234")
        assert ended.returncode == 0, ended.stderr
        assert "* ENGINE_PORT" in ended.stdout


def test_the_script_without_a_venv_says_what_makes_one(tmp_path: Path) -> None:
    shutil.copy(ROOT / "engine.sh", tmp_path)
    ended = run(tmp_path / "engine.sh", "up")
    assert ended.returncode == 1
    assert (
        ended.stderr == f"engine: {tmp_path}/.venv/bin/python is missing; install it with: make -C {tmp_path} setup\n"
    )


def test_a_message_names_the_command_as_it_can_be_started_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert invocation.command("reset", "--force") == "./engine.sh reset --force"
    assert invocation.command() == "./engine.sh"
    assert invocation.command("tune", "--resume", "a directory") == "./engine.sh tune --resume 'a directory'"
    monkeypatch.chdir(tmp_path)
    assert invocation.command("up") == f"{ROOT}/engine.sh up"
    monkeypatch.setattr(invocation, "SCRIPT", tmp_path / "engine.sh")  # the image has none
    assert invocation.command("up") == "python -m engine up"


@pytest.mark.parametrize("words", [("up",), ("api", "--index", "0"), ("contest", "--start"), ("status",)])
def test_a_python_without_the_packages_gets_a_sentence(words: tuple[str, ...]) -> None:
    ended = run(sys.executable, "-S", "-m", "engine", *words)  # -S: nothing that was installed
    assert ended.returncode == 2
    assert ended.stderr == (
        f"engine: this Python ({sys.executable}) has no socketify, orjson, pycurl. `./engine.sh {' '.join(words)}` "
        "takes the one in .venv, which `make setup` makes\n"
    )


@pytest.mark.skipif(not OLD_PYTHONS, reason="there is no Python older than 3.11 here")
def test_an_old_python_gets_a_sentence() -> None:
    for python in OLD_PYTHONS:
        ended = run(python, "-m", "engine", "up")
        if ended.returncode == 127:
            continue  # pyenv's stand-in for a version that is switched off
        assert ended.returncode == 2 and "is older than 3.11" in ended.stderr, ended.stderr
