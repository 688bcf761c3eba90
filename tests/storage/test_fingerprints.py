"""A payment that is unresolved at a processor is looked up only there, whatever address the next start has."""

from __future__ import annotations

import random

import pytest

from engine.addresses import fingerprint, normalized
from engine.memory import layout
from engine.processors import DEFAULT, FALLBACK
from engine.ring.ring import RingWriter
from engine.storage import fingerprints
from engine.storage.migration import Memory
from tests.storage.filled import CLOCK_MS, NOW_MS, fill, see
from tests.storage.test_migration import PLAIN, empty

OLD = ("http://default:8080", "http://fallback:8080")
NEW = ("http://other:8080", "http://fallback:8080")


def memory() -> Memory:
    made = empty(PLAIN, random.Random(1))
    fingerprints.keep(OLD, made.books)
    return made


def put(made: Memory, state: int, processor: int = DEFAULT) -> None:
    """A payment of ring 0 in a state."""
    ring = RingWriter(made.rings[0])
    assert ring.put(1, ring.head, 100, NOW_MS, CLOCK_MS)
    position = ring.head - 1
    at = ring.offset(position) + layout.SLOT_PROGRESS
    made.rings[0][at] = layout.pack_progress(position, state, processor, 1)


@pytest.mark.parametrize("state", [layout.PROCESSING, layout.ALREADY])
def test_another_address_is_refused_while_payments_are_open_there_and_the_way_out_is_said(state: int) -> None:
    made = memory()
    put(made, state)
    put(made, state)
    complaint = fingerprints.complaint(NEW, made)
    assert "2 payments were sent to another default than http://other:8080" in complaint
    assert "`./engine.sh moved default`" in complaint
    assert fingerprints.complaint(OLD, made) == ""
    assert fingerprints.complaint(("http://DEFAULT:8080/", OLD[1]), made) == ""


@pytest.mark.parametrize(
    "state", [layout.QUEUED, layout.COMPLETED, layout.FAILED, layout.CHARGED_BEFORE, layout.PARKED]
)
def test_another_address_is_taken_when_nothing_is_open_there(state: int) -> None:
    made = memory()
    put(made, state)
    put(made, layout.PROCESSING, FALLBACK)
    assert fingerprints.complaint(NEW, made) == ""


def test_what_is_parked_counts_too() -> None:
    made = memory()
    fill(made, random.Random(2), 0, parked=20)
    fingerprints.keep(OLD, made.books)
    expected = [
        sum(
            one.payment.state != layout.QUEUED and one.payment.processor == processor
            for one in see(made).parked.values()
        )
        for processor in (DEFAULT, FALLBACK)
    ]
    assert fingerprints.unresolved(made) == expected and min(expected) > 0
    assert f"{expected[0]} payments were sent to another default" in fingerprints.complaint(NEW, made)


def test_two_that_were_swapped_are_both_named() -> None:
    made = memory()
    put(made, layout.PROCESSING, DEFAULT)
    put(made, layout.PROCESSING, FALLBACK)
    complaint = fingerprints.complaint(OLD[::-1], made)
    assert "another default" in complaint and "another fallback" in complaint


def test_memory_that_knows_no_processor_takes_any() -> None:
    made = empty(PLAIN, random.Random(1))
    put(made, layout.PROCESSING)
    assert fingerprints.complaint(NEW, made) == ""


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("http://host", "http://host:80/", True),
        ("https://host", "https://host:443", True),
        ("http://HOST.", "http://host", True),
        ("http://user:secret@host", "http://host", True),
        ("http://[::1]:8080", "http://[0:0::1]:8080", True),
        ("http://host:80", "https://host:80", False),
        ("http://host:8001", "http://host:8002", False),
        ("http://host", "http://host2", False),
        ("http://host/base", "http://host/base/", True),
        ("http://host/b%61se-%c3", "http://host/base%2D%C3", True),
        ("http://host/base", "http://host", False),
        ("http://host/base", "http://host/Base", False),
    ],
)
def test_an_address_is_the_same_however_it_is_written(one: str, other: str, is_same: bool) -> None:
    assert (normalized(one) == normalized(other)) == is_same
    assert (fingerprint(one) == fingerprint(other)) == is_same
    assert fingerprint(one) != 0
    assert "secret" not in normalized(one)
