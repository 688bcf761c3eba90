"""How far SQL is behind is what memory has and the database has not, whatever the ledger process says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.connectors import answers
from engine.journal.reader import JournalReader
from engine.lab.ledger.gauge import Gauge
from engine.ledger.carrier import Carrier
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger
from engine.ledger.view import View
from engine.storage import mapping
from tests.dispatch.recorded import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, ENGINE_LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db")
    yield made
    mapping.remove_all(made.settings)


def look_and_carry(place: Place, database: Database) -> None:
    view = View(
        place.books.words, mapping.books_shape(place.settings), [place.ring.words], JournalReader(place.journal.words)
    )
    carrier = Carrier(view, database.cursor(), [None, None], place.now.wall_ms)
    carry(database, carrier.look(place.now.wall_ms))


def test_lag_is_the_age_of_the_oldest_payment_or_record_that_sql_has_not(place: Place) -> None:
    settings = place.settings
    with closing(Gauge(settings)) as gauge:
        assert gauge.look(place.now.wall_ms / 1000) is None, "there is no database yet"
        with closing(open_ledger(settings.ledger_url, name=settings.host.name, is_full=False)) as database:
            look_and_carry(place, database)
            place.accept(1)
            accepted_ms = place.now.wall_ms
            (attempt,) = place.step()
            seen = gauge.look(accepted_ms / 1000 + 7)
            assert seen is not None and (seen.payments, seen.is_away, seen.is_nothing) == (1, False, False)
            assert 7000 <= seen.lag_ms < 8000
            look_and_carry(place, database)
            seen = gauge.look(accepted_ms / 1000 + 7)
            assert seen is not None and (seen.payments, seen.open, seen.is_nothing) == (0, 1, False)
            place.network.end(attempt, answers.CHARGED)
            place.step()
            settled_ms = place.now.wall_ms
            seen = gauge.look(settled_ms / 1000 + 3)
            assert seen is not None and seen.records >= 1 and 3000 <= seen.lag_ms < 4000
            look_and_carry(place, database)
            seen = gauge.look(settled_ms / 1000 + 3)
            assert seen is not None and seen.is_nothing and seen.lag_ms == 0


def test_a_database_that_went_away_leaves_what_it_had_when_it_last_answered(place: Place, tmp_path: Path) -> None:
    settings = place.settings
    with closing(Gauge(settings)) as gauge:
        with closing(open_ledger(settings.ledger_url, name=settings.host.name, is_full=False)) as database:
            look_and_carry(place, database)
        seen = gauge.look(place.now.wall_ms / 1000)
        assert seen is not None and not seen.is_away
        (tmp_path / "ledger.db").write_bytes(b"no database" * 1000)
        place.accept(1)
        seen = gauge.look(place.now.wall_ms / 1000 + 9)
        assert seen is not None and seen.is_away and seen.payments == 1 and seen.lag_ms >= 9000
