"""A process that carries until everything is carried: ``python -m tests.ledger.carrier URL PAYMENTS``.

It goes on from the cursor, says each batch's end, and tries again when the database is away.
"""

from __future__ import annotations

import random
import sys
import time

from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import AwayError
from tests.ledger import making


def main(url: str, payments: int) -> None:
    """Carries payments of the numbers 0 to ``payments``, in batches of random sizes."""
    while True:
        try:
            database = open_ledger(url, name="engine", engine=making.ENGINE, limit_s=5)
            carry_all(database, payments)
            return
        except AwayError as error:
            print("away", error, flush=True)
            time.sleep(0.1)


def carry_all(database: Database, payments: int) -> None:
    """Carries from the cursor on; says where it is."""
    cursor = database.cursor()
    while (carried := cursor.journal // 2) < payments:
        batch = making.batch(carried, min(random.randrange(1, 120), payments - carried))._replace(expected=cursor)
        carry(database, batch)
        cursor = batch.cursor
        print(cursor.journal, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
