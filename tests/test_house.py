"""The order of the house: which room may know of which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import engine

ENGINE = Path(engine.__file__).parent
LINES_MAX = 350
# What stands at the top of `engine/` is known to every room, and of the rooms it knows the layout of memory at most.
# `settings_table` is a command, as `__main__` is.
ROOMS = {
    "logs": set[str](),
    "memory": set[str](),
    "ring": {"memory"},
    "books": {"memory"},
    "journal": {"memory"},
    "acts": {"memory"},
    "link": {"memory"},
    "metrics": {"memory"},
    "storage": {"memory", "ring", "books", "journal", "acts"},
    "ledger": {"memory", "ring", "books", "journal", "metrics", "storage"},
    "operate": {"memory", "books", "acts", "storage", "ledger"},
    "connectors": set[str](),
    "reconcile": {"memory", "books", "metrics", "storage", "ledger", "connectors"},
    "routing": set[str](),
    "dispatch": {"memory", "ring", "books", "journal", "acts", "link", "metrics", "storage", "connectors", "routing"},
    "intake": {"memory", "ring", "books", "metrics", "storage", "ledger", "cluster"},
    "console": {
        "memory",
        "ring",
        "books",
        "journal",
        "acts",
        "metrics",
        "storage",
        "routing",
        "ledger",
        "operate",
        "reconcile",
    },
    "supervise": {"memory", "storage"},
    "client": set(),
    "cluster": {"memory", "ring", "link", "storage", "connectors"},
    "doctor": {"memory", "ring", "storage", "connectors", "supervise", "client", "ledger"},
}
TOP = {"memory", "logs"}
# Every room writes lines.
OF_ALL = {"logs"}
# A connector is handed plain values: of what stands at the top it knows this alone.
CONNECTORS_KNOW = {"connectors", "correlation"}


def room(path: Path) -> str:
    """The room of a module, "" for what stands at the top."""
    parts = path.relative_to(ENGINE).parts
    return parts[0] if len(parts) > 1 else ""


@cache
def imports(path: Path) -> list[str]:
    """The modules of the engine that a module imports, as ``room.module...`` or ``module``."""
    return [*found_in(ast.parse(path.read_text()))]


def found_in(module: ast.AST) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.removeprefix("engine.") for name in names if name.startswith("engine."))


PRODUCT = sorted(path for path in ENGINE.rglob("*.py") if room(path) != "lab" and path.name != "__main__.py")


def name(path: Path) -> str:
    return str(path.relative_to(ENGINE))


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(path) for path in PRODUCT} - {""} == ROOMS.keys()


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_the_product_knows_nothing_of_the_laboratory(path: Path) -> None:
    assert not [one for one in imports(path) if one.split(".")[0] == "lab"]


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_no_room_knows_one_behind_it(path: Path) -> None:
    here = room(path)
    allowed = ROOMS[here] | OF_ALL | {here} if here else TOP
    known = {one.split(".")[0] for one in imports(path)} & ROOMS.keys()
    assert known <= allowed, f"{name(path)} must not know {', '.join(sorted(known - allowed))}"


@pytest.mark.parametrize("path", [path for path in PRODUCT if room(path) == "connectors"], ids=name)
def test_a_connector_knows_nothing_but_ids(path: Path) -> None:
    assert {one.split(".")[0] for one in imports(path)} <= CONNECTORS_KNOW


def test_no_modules_of_the_product_know_each_other_in_a_circle() -> None:
    modules = {str(path.relative_to(ENGINE).with_suffix("")).replace("/", "."): path for path in PRODUCT}
    known = {
        module: {other for one in imports(path) for other in (one, one.rpartition(".")[0]) if other in modules}
        for module, path in modules.items()
    }
    while free := [module for module, others in known.items() if not others]:
        for module in free:
            del known[module]
        known = {module: others - set(free) for module, others in known.items()}
    assert not known, f"these know each other, or one that does: {', '.join(sorted(known))}"


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_no_file_of_the_product_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_MAX
