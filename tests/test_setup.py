"""The set-up installs what a target needs and no more, and says what it cannot install."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = ("requirements.lock", "requirements-ops.lock", "requirements-contest.lock", "requirements-dev.lock")
LEVELS = ("run", "lab", "dev")


def pinned(lock: str | Path) -> dict[str, str]:
    """The requirements of a lock file: each with its hashes, by name and version."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    return dict(re.findall(r"^(\S+==\S+).*((?:\n +--hash.*)+)", text, re.MULTILINE))


def test_each_level_has_what_the_one_before_has() -> None:
    image, run, lab, dev = map(pinned, LOCKS)
    assert image.items() <= run.items() <= lab.items() <= dev.items()
    assert {name.split("==")[0] for name in lab} >= {"k6", "matplotlib", "rich", "pyyaml"}
    assert len(image) < 10 < len(run) < len(lab) < len(dev)


def test_what_runs_the_engine_installs_no_laboratory() -> None:
    makefile = (ROOT / "Makefile").read_text()
    needs = dict(re.findall(r"^([a-z-]+): (setup\S*) ", makefile, re.MULTILINE))
    assert {name for name, level in needs.items() if level == "setup-run"} == {"run", "status", "pay", "reset"}
    assert {"check", "test"} <= {name for name, level in needs.items() if level == "setup-dev"}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A directory of programs for a PATH: what the scripts call, an ordinary user, and nothing that is installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "env", "cat", "grep", "dirname", "apt-get"):
        found = shutil.which(name)
        if found:
            (programs / name).symlink_to(found)
    (programs / "id").write_text("#!/bin/sh\necho 1000\n")
    (programs / "python").write_text("#!/bin/sh\nexit 1\n")  # without libuv and venv
    for name in ("id", "python"):
        (programs / name).chmod(0o755)
    return programs


def missing(programs: Path, level: str) -> subprocess.CompletedProcess[str]:
    """What scripts/system-packages.sh says where PATH has ``programs`` only."""
    # The script adds /usr/sbin, where nginx may be: a copy does not.
    script = programs / "system-packages.sh"
    text = (ROOT / "scripts" / "system-packages.sh").read_text()
    script.write_text(re.sub(r"^PATH=.*$", "", text, flags=re.MULTILINE))
    environment = {"PATH": str(programs), "PYTHON": "python", "CC": "no-compiler"}
    return subprocess.run(
        [str(programs / "bash"), str(script), level],
        env=environment, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("level", "packages"),
    [
        ("run", "nginx gcc libc6-dev libuv1 python3-venv"),
        ("lab", "nginx gcc libc6-dev libuv1 python3-venv wrk"),
        ("dev", "nginx gcc libc6-dev libuv1 python3-venv wrk valgrind chromium fonts-dejavu-core prometheus"),
    ],
)
@pytest.mark.parametrize("sudo", ["none", "wants a password", "no apt-get"])
def test_an_ordinary_user_is_told_what_to_install(bare: Path, level: str, packages: str, sudo: str) -> None:
    if sudo == "wants a password":
        (bare / "sudo").write_text("#!/bin/sh\nexit 1\n")
        (bare / "sudo").chmod(0o755)
    if sudo == "no apt-get":
        (bare / "apt-get").unlink()
    elif not (bare / "apt-get").exists():
        pytest.skip("this system has no apt-get")
    ended = missing(bare, level)
    assert ended.returncode == 1 and not ended.stdout
    first, command = ended.stderr.splitlines()
    assert first.startswith(f"setup: {packages} (Debian's names) must be installed, and ")
    assert {"none": "there is no sudo", "wants a password": "sudo wants a password", "no apt-get": "no apt-get"}[
        sudo
    ] in first
    assert command == f"    apt-get install {packages}"


def place(directory: Path) -> dict[str, str]:
    """A checkout's lock files and scripts with a .venv whose Python notes that it was called, and the environment."""
    for lock in (*LOCKS, "requirements-build.lock"):
        shutil.copy(ROOT / lock, directory)
    shutil.copytree(ROOT / "scripts", directory / "scripts")
    python = directory / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$*" >>{directory}/called\n')
    python.chmod(0o755)
    return os.environ | {"PYTHON": sys.executable}


def calls(directory: Path, level: str, environment: dict[str, str]) -> list[str]:
    """What scripts/python-packages.sh has pip do, each call as the lock file that it installs."""
    called = directory / "called"
    called.unlink(missing_ok=True)
    subprocess.run(["scripts/python-packages.sh", level], cwd=directory, env=environment, check=True, timeout=60)
    return re.findall(r"-m pip .* install .*-r (\S+)", called.read_text())


def test_a_level_is_installed_once_and_has_the_lower_ones_in_it(tmp_path: Path) -> None:
    environment = place(tmp_path)
    # Wheels and what is built are installed at the same time, and together they are what is locked.
    assert sorted(calls(tmp_path, "run", environment)) == [
        ".venv/wheels.lock", "requirements-build.lock", "requirements.lock",
    ]  # fmt: skip
    wheels, built = pinned(tmp_path / ".venv" / "wheels.lock"), pinned("requirements.lock")
    assert wheels and not wheels.keys() & built.keys()
    assert wheels | built == pinned("requirements-ops.lock")
    assert calls(tmp_path, "run", environment) == []
    assert calls(tmp_path, "dev", environment) == ["requirements-build.lock", "requirements-dev.lock"]
    for level in LEVELS:
        assert calls(tmp_path, level, environment) == []


def test_another_lock_is_installed_anew(tmp_path: Path) -> None:
    environment = place(tmp_path)
    calls(tmp_path, "lab", environment)
    with (tmp_path / "requirements-contest.lock").open("a") as lock:
        lock.write("# newer\n")
    assert "requirements.lock" in calls(tmp_path, "run", environment)
    assert calls(tmp_path, "lab", environment)[-1] == "requirements-contest.lock"
    assert calls(tmp_path, "lab", environment) == []


def test_only_socketify_may_come_as_source(tmp_path: Path) -> None:
    environment = place(tmp_path)
    calls(tmp_path, "dev", environment)
    line = next(line for line in (tmp_path / "called").read_text().splitlines() if "requirements-dev.lock" in line)
    assert "--require-hashes" in line and "--no-build-isolation" in line
    (wheels,) = re.findall(r"--only-binary (\S+)", line)
    assert {*wheels.split(","), "socketify"} == {name.split("==")[0] for name in pinned("requirements-dev.lock")}
