"""What a simulated processor has charged outlives it, however it ended."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from engine.lab.services.processor import Processor
from engine.lab.simulate.kept import HEADER, KeptError, KeptStore
from engine.lab.simulate.wire import Payment
from tests.lab.simulate.payments import payment_body
from tests.lab.simulate.processes import start, stop, wait_listening
from tests.lab.simulate.test_command import refused


def payments(count: int, first: int = 0) -> list[Payment]:
    return [
        Payment(uuid.UUID(int=number).bytes, 1990 + number, 7_000 * number) for number in range(first, first + count)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept"


def held(path: Path) -> list[Payment]:
    """What somebody who opens the file finds."""
    with closing(KeptStore(str(path))) as store:
        return store.page(0, 1_000_000)


def test_what_was_charged_is_there_again_in_order_and_summed(path: Path) -> None:
    with closing(KeptStore(str(path))) as store:
        assert all(map(store.insert, payments(100)))
        assert not store.insert(payments(1)[0])
        before = store.totals(), store.totals(7_000, 70_000)
    with closing(KeptStore(str(path))) as store:
        assert store.page(0, 1000) == payments(100)
        assert (store.totals(), store.totals(7_000, 70_000)) == before
        assert not store.insert(payments(1)[0]), "it was charged before"
        assert store.insert(payments(1, 100)[0])
    assert held(path) == payments(101)


@pytest.mark.parametrize("cut", range(33))
def test_a_file_that_ends_within_a_payment_or_within_its_header_is_gone_on_with(path: Path, cut: int) -> None:
    with closing(KeptStore(str(path))) as store:
        assert all(map(store.insert, payments(3)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - cut])
    left = payments(3 if not cut else 2)
    with closing(KeptStore(str(path))) as store:
        assert store.page(0, 10) == left
        assert store.insert(payments(1, 7)[0])
    assert held(path) == left + payments(1, 7)
    path.write_bytes(HEADER[: len(HEADER) - cut])
    with closing(KeptStore(str(path))) as store:
        assert len(store) == 0 and store.insert(payments(1)[0])
    assert held(path) == payments(1)


def test_a_purge_is_kept_too(path: Path) -> None:
    with closing(KeptStore(str(path))) as store:
        assert all(map(store.insert, payments(3)))
        store.clear()
        assert len(store) == 0 and store.totals().amount_cents == 0
        assert store.insert(payments(1, 1)[0])
    assert held(path) == payments(1, 1)


def test_files_that_cannot_be_used_are_refused_in_words(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"something else that is longer than a header is")
    with pytest.raises(KeptError, match="it is no file of a simulated processor"):
        KeptStore(str(path))
    assert path.read_bytes().startswith(b"something else"), "it is left as it is"
    with pytest.raises(KeptError, match="No such file or directory"):
        KeptStore(f"{tmp_path}/gone/kept")
    own = str(tmp_path / "own")
    with closing(KeptStore(own)), pytest.raises(KeptError, match="another simulated processor"):
        KeptStore(own)
    KeptStore(own).close()


def test_the_command_says_why_it_cannot_keep(tmp_path: Path) -> None:
    done = refused("--only", "default", "--port", "0", "--keep", f"{tmp_path}/gone/kept")
    assert done.returncode == 1
    assert f"default processor: {tmp_path}/gone/kept-default: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def one(path: Path, *options: str) -> Iterator[tuple[Processor, psutil.Process]]:
    """A processor that keeps its payments, and the process that serves it."""
    process = start("--processor", "north=0", "--keep", str(path), *options)
    try:
        url = wait_listening(process, 1)["north"]
        with closing(Processor("north", url)) as north:
            yield north, psutil.Process(process.pid).children()[0]
    finally:
        stop(process)


def test_a_killed_processor_knows_all_that_it_has_answered(path: Path) -> None:
    with one(path) as (north, serving):
        for number in range(50):
            assert pay(north, number) == 200
        os.kill(serving.pid, signal.SIGKILL)
    with one(path) as (north, _):
        assert north.summary().count == 50
        assert pay(north, 0) == 422
        north.purge()
    with one(path) as (north, _):
        assert north.summary().count == 0


def test_one_at_an_address_of_ipv6_serves_and_says_where(path: Path) -> None:
    with one(path, "--host", "::1") as (north, _):
        assert "[::1]" in north.base_url
        assert pay(north, 1) == 200


def pay(processor: Processor, number: int) -> int:
    """The status of the answer."""
    return processor.request("POST", "/payments", payment_body(number))[0]
