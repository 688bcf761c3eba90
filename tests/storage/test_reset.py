"""`reset` removes memory without unfinished payments; `moved` says that a processor has a new address."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator

import pytest

from engine import settings as settings_module
from engine.addresses import fingerprint
from engine.books import parked
from engine.books.writer import BooksWriter
from engine.memory import layout
from engine.processors import DEFAULT
from engine.ring.ring import RingReader, RingWriter
from engine.settings import Settings
from engine.storage import mapping
from tests.storage.filled import CLOCK_MS, NOW_MS
from tests.storage.places import REPOSITORY, on_disk

SMALL = {"ENGINE_RING_SLOTS": "64", "ENGINE_BOOKS_RECENT_SECONDS": "30", "ENGINE_BOOKS_HORIZON_HOURS": "1"}


@pytest.fixture(params=["memory", "disk"])
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Of an engine that has memory."""
    with on_disk() as directory:
        made = {
            "ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}",
            "ENGINE_DURABILITY": request.param,
            "ENGINE_DATA_DIR": str(directory / "data"),
            "ENGINE_RUN_DIR": str(directory),
        }
        mapping.open_books(read(made | SMALL)).close()
        yield made
        mapping.remove_all(read(made))


def read(environment: dict[str, str]) -> Settings:
    return settings_module.read(environment)


def run(command: str, environment: dict[str, str], *options: str) -> tuple[int, str]:
    """The exit code and the words of a command, in a shell that has none of the engine's sizes."""
    others = {name: text for name, text in os.environ.items() if not name.startswith("ENGINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "engine", command, *options],
        cwd=REPOSITORY, env=others | environment, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def names_of(environment: dict[str, str]) -> list[str]:
    name = environment["ENGINE_NAME"]
    return [found for found in mapping.store(read(environment)).names() if found.startswith(name)]


def accept(environment: dict[str, str], count: int) -> None:
    """``count`` payments with a 202."""
    (first, *_), _ = mapping.open_rings(read(environment | SMALL)), None
    for number in range(count):
        assert RingWriter(first.words).put(3, number, 1990, NOW_MS, CLOCK_MS)
    first.close()


def test_memory_that_holds_nothing_unfinished_is_removed_whatever_its_sizes(environment: dict[str, str]) -> None:
    code, said = run("reset", environment)
    name = environment["ENGINE_NAME"]
    assert code == 0
    assert [f"removed {name}-{part}" in said for part in ("books", "ring-0", "ring-1")] == [True] * 3
    assert names_of(environment) == []
    assert run("reset", environment) == (0, f"there is no memory of an engine called {name}\n")


def test_unfinished_payments_are_kept_and_counted_until_it_is_forced(environment: dict[str, str]) -> None:
    accept(environment, 3)
    settings = read(environment | SMALL)
    rings, books = mapping.open_rings(settings), mapping.open_books(settings)
    writer = BooksWriter(books.words, mapping.books_shape(settings), [ring.words for ring in rings])
    payment = RingReader(rings[0].words).read(0)
    assert payment is not None
    writer.begin(NOW_MS)
    parked.put(writer, mapping.books_shape(settings), payment._replace(state=layout.PROCESSING))
    at = layout.slot_offset(64, 0) + layout.SLOT_PROGRESS
    writer.put(1, at, layout.pack_progress(0, layout.PARKED, DEFAULT, 1))
    writer.commit()
    before = names_of(environment)
    code, said = run("reset", environment)
    assert code == 1
    assert "3 payments are unfinished (1 of them parked)" in said and "--force" in said
    assert names_of(environment) == before
    assert run("reset", environment, "--force")[0] == 0
    assert names_of(environment) == []


def test_a_running_engine_is_noticed_by_what_it_holds(environment: dict[str, str]) -> None:
    settings = read(environment | SMALL)
    books, rings = mapping.open_books(settings), mapping.open_rings(settings)
    for held in (books, rings[1]):
        assert held.lock()
        code, said = run("reset", environment)
        assert code == 1
        assert f"a process holds {held.name}" in said
        assert run("moved", environment, "default")[0] == (1 if held is books else 0)
        held.unlock()
    with mapping.supervising(settings):
        code, said = run("reset", environment)
        assert (code, "under `engine up`" in said) == (1, True)
    assert run("reset", environment)[0] == 0
    assert not books.is_current()


def test_no_other_engines_memory_goes(environment: dict[str, str]) -> None:
    others = []
    for suffix in ("-books", "-ring-0", "shop", "x"):
        others.append(environment | {"ENGINE_NAME": environment["ENGINE_NAME"] + suffix})
        mapping.open_books(read(others[-1] | SMALL)).close()
    try:
        own = [f"{environment['ENGINE_NAME']}{part}" for part in ("-books", "-ring-0", "-ring-1", ".lock")]
        before = names_of(environment)
        assert run("reset", environment, "--force")[0] == 0
        assert names_of(environment) == [name for name in before if name not in own]
        for other in others:
            assert run("reset", other)[0] == 0
    finally:
        for other in others:
            mapping.remove_all(read(other))


def test_memory_that_cannot_be_read_is_removed_by_force_only(environment: dict[str, str]) -> None:
    books = mapping.open_books(read(environment | SMALL))
    books.words[layout.BOOKS_LAYOUT_AT] = 4
    code, said = run("reset", environment)
    assert code == 1
    assert "it cannot be told whether payments are unfinished" in said and "layout version 4" in said
    assert run("reset", environment, "--force")[0] == 0
    assert names_of(environment) == []


def test_who_says_that_a_processor_has_moved_may_start_with_its_new_address(environment: dict[str, str]) -> None:
    settings = read(environment | SMALL)
    books, rings = mapping.open_books(settings), mapping.open_rings(settings)
    mapping.keep_processors(settings, books, rings)
    accept(environment, 1)
    rings[0].words[layout.slot_offset(64, 0) + layout.SLOT_PROGRESS] = layout.pack_progress(
        0, layout.PROCESSING, DEFAULT, 1
    )
    moved = environment | {"PAYMENT_PROCESSOR_URL_DEFAULT": "http://elsewhere:8080"}
    with pytest.raises(Exception, match="1 payments were sent to another default"):
        mapping.keep_processors(read(moved | SMALL), books, rings)
    code, said = run("moved", moved, "default")
    assert (code, said) == (0, "default is at http://elsewhere:8080 from now on\n")
    mapping.keep_processors(read(moved | SMALL), books, rings)
    assert books.words[layout.BOOKS_FINGERPRINTS_AT] == fingerprint("http://elsewhere:8080")


def test_only_a_processor_of_the_list_can_have_moved(environment: dict[str, str]) -> None:
    code, said = run("moved", environment, "nobody")
    assert (code, said) == (2, "there is no processor 'nobody', but default, fallback\n")
    others = environment | {"ENGINE_PROCESSORS": "near=http://near:1,far=http://far:1"}
    code, said = run("moved", others, "far")
    assert code == 1
    assert "counts for default, fallback, in this order, and ENGINE_PROCESSORS names near, far" in said
