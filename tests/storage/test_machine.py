"""On which machines an engine's memory may be used."""

from __future__ import annotations

import platform

import pytest

from engine import settings as settings_module
from engine.memory import ordering
from engine.memory.errors import SegmentError
from engine.storage import mapping


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "armv7l", "riscv64", "ppc64le", "s390x", "i686"])
def test_a_machine_that_may_reorder_stores_is_refused_with_a_sentence(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    settings = settings_module.read({"ENGINE_NAME": "test-machine"})
    for use in (mapping.open_books, mapping.open_rings):
        with pytest.raises(SegmentError, match=f"this machine is {machine}.*Run the engine on x86-64"):
            use(settings)
    with pytest.raises(SegmentError, match="this machine is"), mapping.supervising(settings):
        pass


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "amd64"])
def test_x86_64_is_taken_whatever_it_is_called(machine: str) -> None:
    assert ordering.complaint(machine) == ""
