"""What was believed of processors, and what they said of themselves, in a stretch of time: the newest first.

Times are ms since 1970 UTC, both ends of a stretch included. All raise LedgerError.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from engine.ledger import schema
from engine.ledger.database import Database
from engine.ledger.rows import ProcessorStateRow

ANSWERS_MAX: Final = 20_000  # answers about health that are looked through: half a day of two processors


class Said(NamedTuple):
    """What a processor said of its health from ``from_ms`` to ``to_ms``, in as many equal answers in a row.

    ``failing`` is None when none of them could be read.
    """

    processor: int
    from_ms: int
    to_ms: int
    failing: bool | None
    min_response_ms: int | None
    status: int | None
    answers: int


def states(database: Database, from_ms: int, to_ms: int, limit: int) -> list[ProcessorStateRow]:
    """Changes of what is believed of processors."""
    own = schema.processor_state.c
    query = _newest(own, [own[name] for name in ProcessorStateRow._fields], from_ms, to_ms).limit(limit)
    with database.transaction() as connection:
        return [ProcessorStateRow(*row) for row in connection.execute(query)]


def health(database: Database, from_ms: int, to_ms: int, limit: int) -> list[Said]:
    """What processors said, equal answers as one, of the last ANSWERS_MAX answers."""
    own = schema.processor_health.c
    columns = [own.processor, own.at_ms, own.failing, own.min_response_ms, own.status]
    last, found = dict[int, int](), list[Said]()
    with database.transaction() as connection:
        for number, at_ms, failing, least_ms, status in connection.execute(
            _newest(own, columns, from_ms, to_ms).limit(ANSWERS_MAX)
        ):
            place = last.get(number)
            if place is not None and found[place][3:6] == (failing, least_ms, status):
                found[place] = found[place]._replace(from_ms=at_ms, answers=found[place].answers + 1)
            elif len(found) < limit:
                last[number] = len(found)
                found.append(Said(number, at_ms, at_ms, failing, least_ms, status, 1))
            else:
                break
    return [one if one.failing is None else one._replace(failing=bool(one.failing)) for one in found]


def _newest(own: Any, columns: list[Any], from_ms: int, to_ms: int) -> sa.Select[Any]:
    return sa.select(*columns).where(own.at_ms.between(from_ms, to_ms)).order_by(own.at_ms.desc(), own.sequence.desc())
