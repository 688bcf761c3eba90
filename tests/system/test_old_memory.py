"""`up` on memory that an engine of an older layout has left: what waited is settled, what was settled is known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from engine.correlation import format_id
from engine.memory import clock, layout
from engine.memory.words import WORD_MAX
from engine.storage import old_layouts, recovery
from tests.lab.simulate import processes
from tests.storage import remembered
from tests.storage.places import REPOSITORY
from tests.system.client import Client, client, wait_until
from tests.system.running import SHARED_MEMORY, Place, engine_in, is_alive, place

FILLED_MS, FILLED_CLOCK_MS = 1_760_000_000_000, 5_000_000  # the time of the memory, by the wall clock and the engine's
SETTLED_SECONDS_MAX = 60.0
CLOCK_OFFSET_OF_LAYOUT_2 = 29
OPEN = (layout.QUEUED, layout.PROCESSING, layout.ALREADY)


@pytest.fixture(scope="module")
def simulated() -> Iterator[processes.Processors]:
    with processes.processors() as running:
        yield running


@pytest.fixture
def here(simulated: processes.Processors) -> Iterator[Place]:
    simulated.reset()
    with place(simulated.default.base_url, simulated.fallback.base_url, **remembered.SIZES) as made:
        yield made


def leave(here: Place, version: int) -> None:
    """Old memory as it would be, had it been written a minute ago in this boot of the machine."""
    old, later_ms = old_layouts.BY_VERSION[version], time.time_ns() // 1_000_000 - FILLED_MS - 60_000
    for part, words in remembered.segments(version, "filled").items():
        remembered.mark(version, part, words, recovery.boot(), layout.UNCLEAN)  # type: ignore[arg-type]
        if part != "books":
            for at in range(layout.slot_offset(64, 0), len(words), old.slot_words):
                _make_later(old, words, at, later_ms)
        elif version == 2:
            words[CLOCK_OFFSET_OF_LAYOUT_2] = FILLED_CLOCK_MS + 60_000 - clock.boot_ms() & WORD_MAX
        (SHARED_MEMORY / f"{here.name}-{part}").write_bytes(words)


def _make_later(old: old_layouts.OldLayout, words: memoryview[int], at: int, later_ms: int) -> None:
    def place_of(field: int) -> int:
        then = old.slot[field]
        assert then is not None
        return at + then

    words[place_of(layout.SLOT_ACCEPTED_MS)] += later_ms
    words[place_of(layout.SLOT_REQUESTED_MS)] += later_ms
    words[place_of(layout.SLOT_CHECK)] = layout.slot_check(
        words[place_of(layout.SLOT_SEQUENCE)] - 1,
        words[place_of(layout.SLOT_ID_HIGH)],
        words[place_of(layout.SLOT_ID_LOW)],
        words[place_of(layout.SLOT_CENTS)],
        words[place_of(layout.SLOT_ACCEPTED_MS)],
        0 if old.version == 1 else words[place_of(layout.SLOT_ORIGIN)],
    )


def run(here: Place, *words: str) -> tuple[int, str]:
    """The exit code and the words of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "engine", *words],
        cwd=REPOSITORY, env=os.environ | here.settings, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def by_state(told: Any) -> dict[int, list[str]]:
    """The ids of the payments in the rings, by their state."""
    found: dict[int, list[str]] = {}
    for row in told["payments"]:
        values = dict(zip(told["fields"], row, strict=True))
        found.setdefault(values["state"], []).append(format_id(values["id_high"], values["id_low"]))
    return found


def statuses(shop: Client, ids: list[str]) -> set[str]:
    return {shop.request("GET", f"/payments/{one}/status").json()["status"] for one in ids}


@pytest.mark.parametrize("version", [1, 2])
def test_up_settles_what_an_older_engine_had_accepted(
    here: Place, simulated: processes.Processors, version: int
) -> None:
    leave(here, version)
    told = remembered.expected(version, "filled")
    code, said = run(here, "reset")
    assert code == 1 and "payments are unfinished" in said
    if version == 2:
        # Its books know another address of default, and payments are unresolved there.
        code, said = here.refused()
        assert code == 1 and "`./engine.sh moved default`" in said
        assert run(here, "moved", "default")[0] == 0
    ids, waited = by_state(told), (layout.QUEUED, layout.PROCESSING)
    waiting = [one for state in waited for one in ids[state]]
    assert len(waiting) > 15
    with engine_in(here) as engine, client(engine.port) as shop:
        wait_until(lambda: statuses(shop, waiting) == {"completed"}, SETTLED_SECONDS_MAX, "all that waited is settled")
        assert statuses(shop, ids[layout.COMPLETED]) == {"completed"}
        assert statuses(shop, ids[layout.FAILED]) == {"failed"}
        summary = shop.summary()
        settled = sum(count for count, _ in told["totals"][:2])
        charged = simulated.default.summary().count + simulated.fallback.summary().count
        assert summary.count == settled + charged
        assert charged >= len(waiting)
        health = shop.request("GET", "/health").json()
        assert health["queues"]["failed"] == told["totals"][2][0]
    names = sorted(path.name for path in SHARED_MEMORY.glob(f"{here.name}-*"))
    assert names == [f"{here.name}-{part}" for part in ("books", "metrics", "ring-0", "ring-1")]


@pytest.mark.parametrize("version", [1, 2])
def test_an_api_process_that_comes_first_takes_the_memory_over_too(here: Place, version: int) -> None:
    leave(here, version)
    told = remembered.expected(version, "filled")
    states = [row[told["fields"].index("state")] for kind in ("payments", "parked") for row in told[kind]]
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "api", "--index", "0"],
        cwd=REPOSITORY, env=os.environ | here.settings, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: is_alive(here.api_socket(0)), 20, "the API process answers")
        with client(here.api_socket(0)) as shop:
            health = shop.request("GET", "/health").json()
    finally:
        process.terminate()
        process.wait(20)
    assert list(health["processors"]) == ["default", "fallback"]
    assert "dispatcher is down" in health["reasons"]
    assert health["queues"]["pending"] == sum(state in OPEN for state in states)
    assert health["queues"]["failed"] == told["totals"][2][0]
