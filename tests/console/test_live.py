"""One producer for all viewers, and none while nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.console import live as module
from engine.console.live import FullError, Live


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.01)


class Made:
    """Counts documents; the second one fails."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> dict[str, Any]:
        self.count += 1
        if self.count == 2:
            raise OSError("no memory")
        return {"number": self.count}


async def events(viewer: AsyncIterator[bytes], count: int) -> list[bytes]:
    return [await asyncio.wait_for(anext(viewer), 10) for _ in range(count)]


def test_all_viewers_get_the_same_bytes_and_a_failure_is_passed_over() -> None:
    async def look() -> None:
        made = Made()
        live = Live(made)
        viewers = [live.events() for _ in range(20)]
        found = await asyncio.gather(*(events(viewer, 4) for viewer in viewers))
        assert live.viewers == 20
        assert all(one[0] == b"retry: 1000\n\n" for one in found)
        assert all(one[1].startswith(b"id: ") and b"\nevent: overview\ndata: {" in one[1] for one in found)
        assert {event for one in found for event in one[1:]} <= {
            b'id: %d\nevent: overview\ndata: {"number":%d}\n\n' % (number, number + (number > 1))
            for number in range(1, 99)
        }
        for viewer in viewers:
            await viewer.aclose()  # type: ignore[attr-defined]
        assert live.viewers == 0
        async with asyncio.timeout(10):
            while live._task is not None:  # it ends after its document, whenever that is
                await asyncio.sleep(0.01)
        count = made.count
        await asyncio.sleep(0.1)
        assert made.count == count  # nobody looks
        again = live.events()
        assert (await events(again, 2))[1].startswith(b"id: ")
        await again.aclose()  # type: ignore[attr-defined]

    asyncio.run(look())


def test_who_comes_when_all_places_are_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VIEWERS_MAX", 1)

    async def look() -> None:
        live = Live(dict)
        first = live.events()
        await anext(first)
        with pytest.raises(FullError):
            await anext(live.events())
        monkeypatch.setattr(module, "VIEWERS_MAX", 9)
        monkeypatch.setattr(module, "OF_KEY_MAX", 1)
        with pytest.raises(FullError):
            await anext(live.events())
        other = live.events("somebody else")
        await anext(other)
        assert live.viewers == 2
        await other.aclose()  # type: ignore[attr-defined]
        await first.aclose()  # type: ignore[attr-defined]

    asyncio.run(look())


def test_a_silent_producer_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(module, "EVERY_S", 60.0)

    async def look() -> None:
        live = Live(dict)
        viewer = live.events()
        assert b": still here\n\n" in await events(viewer, 4)
        await viewer.aclose()  # type: ignore[attr-defined]

    asyncio.run(look())
