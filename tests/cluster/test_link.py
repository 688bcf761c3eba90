"""Mail between a cell's processes, verdicts, and whose memory it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.link import mail, messages
from engine.link.mail import Receiver, Sender
from engine.link.messages import ToAgent
from engine.memory import cell_layout, layout
from engine.memory.errors import SegmentError
from engine.memory.words import zeros
from engine.ring.ring import RingWriter
from engine.settings import Settings, SettingsError
from engine.storage import cells, mapping


def test_mail_comes_once_and_in_its_order_however_much_waits() -> None:
    words = zeros(cell_layout.cell_words(1, 64))
    sender, receiver = Sender(*mail.to_agent(words)), Receiver(*mail.to_agent(words))
    sent = 2 * cell_layout.MAIL_SLOTS + 7
    for number in range(sent):
        sender.send(messages.head(ToAgent.PIN, 3), number)
    assert sender.waiting == sent
    heard: list[int] = []
    while receiver.has_some:
        heard += [message[1] for message in receiver.take(100)]
        sender.flush()
    assert heard == list(range(sent)) and sender.waiting == 0
    assert messages.split(messages.head(ToAgent.END, 1 << 40)) == (ToAgent.END, 1 << 40)


def test_the_two_ways_of_mail_and_the_verdicts_share_no_word() -> None:
    words = zeros(cell_layout.cell_words(2, 64))
    ways = (mail.to_agent(words), mail.to_dispatcher(words))
    for (_, at, *_), word in zip(ways, (1, 2), strict=True):
        for place in range(at, at + cell_layout.MAIL_WORDS):
            assert words[place] == 0
            words[place] = word
    for ring in range(2):
        for position in range(64):
            assert words[cell_layout.verdict_at(64, ring, position)] == 0


def test_a_verdict_counts_for_its_position_and_its_term_only() -> None:
    word = cell_layout.pack_verdict(70, 5, cell_layout.FAILED, layout.REASON_REFUSED)
    assert cell_layout.unpack_verdict(word, 70, 5) == (cell_layout.FAILED, layout.REASON_REFUSED)
    assert cell_layout.unpack_verdict(word, 70, 6) == (cell_layout.AWAY, 0)
    assert cell_layout.unpack_verdict(word, 6, 5) == (cell_layout.UNKNOWN, 0)
    assert cell_layout.unpack_verdict(0, 0, 0) == (cell_layout.UNKNOWN, 0)


def read(tmp_path: Path, **environment: str) -> Settings:
    return settings_module.read(
        {
            "ENGINE_NAME": f"test-link-{id(tmp_path)}", "ENGINE_RUN_DIR": str(tmp_path),
            "ENGINE_RING_SLOTS": "64", "ENGINE_API_PROCESSES": "1", **environment,
        }
    )  # fmt: skip


CELL = {"ENGINE_DURABILITY": "cluster", "ENGINE_CLUSTER_URL": "postgresql://nowhere", "ENGINE_CELL": "north"}


def test_neither_an_engine_without_a_store_nor_a_cell_goes_on_with_the_others_payments(tmp_path: Path) -> None:
    alone, cell = read(tmp_path), read(tmp_path, **CELL)
    books, (ring,) = mapping.open_books(alone), mapping.open_rings(alone)
    try:
        cells.check_whose(cell, books, [ring])
        RingWriter(ring.words).put(1, 1, 1990, 1, 1)
        with pytest.raises(SegmentError, match="payments of an engine without a store"):
            cells.check_whose(cell, books, [ring])
        cells.check_whose(alone, books, [ring])
        books.words[layout.BOOKS_EPOCH_AT] = 7  # its agent has joined
        cells.check_whose(cell, books, [ring])
        with pytest.raises(SegmentError, match="this is the memory of a cell"):
            cells.check_whose(alone, books, [ring])
        memory = cells.open_cell(cell, books)
        assert memory is not None and cells.open_cell(alone, books) is None
        memory.words[cell_layout.TERM_AT] = 9
        memory.close()
        again = cells.open_cell(cell, books)
        assert again is not None and again.words[cell_layout.TERM_AT] == 9
        again.close()
    finally:
        for segment in (books, ring):
            segment.close()
        mapping.remove_all(alone)
    assert not list(Path("/dev/shm").glob(f"{alone.host.name}*"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ENGINE_CLUSTER_URL": ""}, "needs ENGINE_CLUSTER_URL"),
        ({"ENGINE_CELL": ""}, "needs ENGINE_CELL"),
        ({"ENGINE_CELL": "two words"}, "may hold letters, digits"),
        ({"ENGINE_CLUSTER_URL": "redis://host"}, "must be like postgresql://"),
        ({"ENGINE_LEDGER": "best"}, "keeps no ledger yet"),
        ({"ENGINE_ID_MEMORY": "1000"}, "the store remembers ids"),
        ({"ENGINE_DURABILITY": "memory"}, "set ENGINE_DURABILITY=cluster as well"),
    ],
)
def test_what_makes_no_sense_on_a_cell_is_refused_with_a_sentence(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        read(tmp_path, **CELL | changes)


def test_a_password_of_the_store_is_in_no_complaint(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, **CELL | {"ENGINE_CLUSTER_URL": "mysql://me:hunter22@host/shop"})
    assert "hunter22" not in str(caught.value)
