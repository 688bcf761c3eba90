"""A PostgreSQL that was made without a locale keeps bytes, and the ledger reads text from it all the same."""

from __future__ import annotations

from contextlib import closing

import psycopg

from engine.lab.ledger.server import Server
from engine.ledger import queries
from engine.ledger.carry import carry
from engine.ledger.database import open_ledger, write_cursor
from tests.ledger import making


def test_a_database_without_an_encoding_is_a_ledger_like_any_other(postgresql: Server) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as server:
        server.execute("CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII'")
    names = ("default", "fállback")
    url = postgresql.url_of("bytes")
    with closing(open_ledger(url, name="engine", engine=making.ENGINE, processors=names)) as ledger:
        with ledger.transaction() as connection:
            write_cursor(connection, making.cursor(), making.NOW_MS)
        assert carry(ledger, making.batch(0, 3)) == 0
        assert tuple(queries.processor_names(ledger).values()) == names
