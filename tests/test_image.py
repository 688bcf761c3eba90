"""The image holds the product and the simulated processors: all that these import, and nothing else."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "engine"
# What only the ledger and the console need.
OPS = (
    "alembic", "argon2", "itsdangerous", "prometheus_client", "psycopg", "pysqlite3", "sqlalchemy", "starlette",
    "structlog", "uvicorn",
)  # fmt: skip
OPS_ROOMS = ("ledger", "console", "operate", "reconcile", "cluster")
IMPORTED_AS = {"argon2-cffi": "argon2"}
IF_THERE = ("logs/writing.py",)  # takes what only those rooms need, and does without
# Outside of them these know the ledger: each imports it only when there is one.
ASKERS = ("intake/recorded.py", "doctor/command.py")


def rules() -> Iterator[tuple[bool, re.Pattern[str]]]:
    """The lines of .dockerignore: whether each takes a path in again, and the paths that it is about."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            words = re.split(r"(\*\*/|\*)", line.removeprefix("!"))
            pattern = "".join({"**/": "(?:.*/)?", "*": "[^/]*"}.get(word, re.escape(word)) for word in words)
            yield line.startswith("!"), re.compile(f"{pattern}(?:/.*)?")


RULES = list(rules())


@cache
def ships(path: Path) -> bool:
    """Whether a file goes into the image: the last rule about it or a directory above it counts."""
    taken = True
    for takes_in, pattern in RULES:
        if pattern.fullmatch(str(path.relative_to(ROOT))):
            taken = takes_in
    return taken


SHIPPED = sorted(path for path in ENGINE.rglob("*") if path.is_file() and ships(path))
MODULES = [path for path in SHIPPED if path.suffix == ".py"]


@cache
def imported(path: Path) -> set[str]:
    """All modules that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def packages(lock: str = "requirements.lock") -> set[str]:
    """What a lock file installs, as it is imported: by default what is installed in the image."""
    names = re.findall(r"^([a-z0-9_-]+)==", (ROOT / lock).read_text(), re.MULTILINE)
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


def file_of(module: str) -> Path | None:
    """The file of a module of the engine in this checkout; None when it is no module but something in one."""
    path = ROOT.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.exists()), None)


def name(path: Path) -> str:
    return str(path.relative_to(ENGINE))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what ships."""
    place = tmp_path_factory.mktemp("image")
    for path in SHIPPED:
        target = place / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return place


def run(image: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=image, capture_output=True, text=True, timeout=30, check=False)


def test_all_of_the_product_ships_and_of_the_laboratory_what_simulates_processors() -> None:
    assert {path for path in ENGINE.rglob("*.py") if "lab" not in path.relative_to(ENGINE).parts} <= set(MODULES)
    beside = {name(path) for path in SHIPPED if path.is_relative_to(ENGINE / "lab")}
    assert {one for one in beside if not one.startswith("lab/simulate/")} == {"lab/__init__.py", "lab/options.py"}
    assert not [path for path in SHIPPED if path.suffix in (".so", ".pyc")]


def test_beside_the_engine_only_the_locked_requirements_go_to_the_builder() -> None:
    assert {path.name for path in ROOT.iterdir() if ships(path)} == {
        "engine", "requirements.lock", "requirements-ops.lock", "requirements-build.lock",
    }  # fmt: skip


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_what_ships_imports_only_what_ships(path: Path) -> None:
    for module in imported(path):
        top = module.partition(".")[0]
        if top == "engine":
            file = file_of(module)
            assert file is None or ships(file), f"{module} is not in the image"
        else:
            is_ops = path.relative_to(ENGINE).parts[0] in OPS_ROOMS or name(path) in IF_THERE
            lock = "requirements-ops.lock" if is_ops else "requirements.lock"
            assert top in sys.stdlib_module_names or top in packages(lock), f"{top} is not in {lock}"


def test_the_image_has_the_three_packages_of_the_core_and_none_of_the_ledgers() -> None:
    assert {"socketify", "orjson", "pycurl"} <= packages()
    assert not packages() & set(OPS) and set(OPS) <= packages("requirements-ops.lock")


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[-2] not in OPS_ROOMS], ids=name)
def test_what_is_in_the_image_knows_no_ledger_but_where_it_asks_one(path: Path) -> None:
    # What the core would import is not in the image. Commands are imported when they are asked for.
    known = [module for module in imported(path) if module.startswith("engine.ledger")]
    assert bool(known) is (name(path) in ASKERS) or path.is_relative_to(ENGINE / "ledger")


def test_an_api_process_without_a_ledger_imports_nothing_of_it(image: Path) -> None:
    program = """
import sys
from engine.intake import command, server
from engine import settings
found = [name for name in sys.modules if name.startswith(("engine.ledger", *OPS)) or name == "engine.intake.recorded"]
assert not found, found
sys.modules.update(dict.fromkeys(OPS))
on = settings.read({"ENGINE_LEDGER": "best"})
assert command._records(on, None, (), None, None) is None
"""
    done = run(image, "-c", f"OPS = {OPS}\n{program}")
    assert done.returncode == 0, done.stderr
    assert "requirements-ops.lock" in done.stderr


@pytest.mark.parametrize("command", ["ledger", "report", "console", "dead-letters", "reconcile"])
def test_a_command_that_needs_more_packages_says_which(image: Path, command: str) -> None:
    program = "import sys; sys.modules.update(dict.fromkeys({})); from engine.__main__ import main; main([{!r}])"
    done = run(image, "-c", program.format(OPS, command))
    assert "requirements-ops.lock" in done.stderr and "Traceback" not in done.stderr


def test_the_simulated_processors_run_with_what_ships(image: Path) -> None:
    done = run(image, "-m", "engine", "simulate", "--help")
    assert done.returncode == 0 and "--processor" in done.stdout
    program = "import engine.lab.simulate.server as server; print(server.__file__)"
    done = run(image, "-c", program)
    assert done.stdout.startswith(str(image)), done.stderr


@pytest.mark.parametrize("command", ["contest", "dst", "soak"])
def test_a_command_that_does_not_ship_is_a_clear_sentence(image: Path, command: str) -> None:
    done = run(image, "-m", "engine", command, "--help")
    assert done.returncode == 2
    assert done.stderr.startswith(f"engine: {command} is not in this installation")
    assert "Traceback" not in done.stderr


def test_the_commands_are_listed_apart(image: Path) -> None:
    said = run(image, "-m", "engine", "--help").stdout
    product, laboratory = said.split("the laboratory")
    assert "  dispatch " in product and "  contest " in laboratory and "  simulate " in laboratory
