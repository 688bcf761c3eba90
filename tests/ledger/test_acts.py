"""What is promised of operators' acts in SQL: they are there before anything is asked for, and rows are only added."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter, lay_out_journal
from engine.ledger import acts, queries, schema
from engine.ledger.acts import ActionRow, ItemRow
from engine.ledger.carry import carry
from engine.ledger.database import Database, open_ledger
from engine.ledger.errors import LedgerError
from engine.ledger.history import Records
from engine.ledger.rows import PURGED, ActRow, Batch
from engine.memory import journal_layout, layout
from engine.memory.acts_layout import Act, Carried, Command, Result, pack_result
from engine.memory.words import zeros
from tests.ledger import making

ACTION = bytes(range(16, 32))


def action(act: Act = Act.RETRY) -> ActionRow:
    return ActionRow(ACTION, act, None, "Ada", "the processor is back", "", "--state failed")


def retried(number: int, at_ms: int, result: Result = Result.DONE) -> ActRow:
    row = making.payment(number)
    return ActRow(ACTION, row.id, Act.RETRY, 0, result, layout.FAILED, layout.REASON_TOO_OLD, layout.QUEUED, 0, at_ms)


def failed(number: int, settled_ms: int) -> Batch:
    row = making.payment(
        number, state=layout.FAILED, processor=None, settled_ms=settled_ms, reason=layout.REASON_TOO_OLD
    )
    return Batch(making.cursor(), making.cursor(1), (row,))


def test_an_action_and_its_items_are_there_at_once_and_an_id_is_used_once(ledger: Database, ledger_url: str) -> None:
    row = making.payment(1)
    operator = open_ledger(ledger_url, name="engine", adds=True)
    acts.record(operator, action(), [ItemRow(row.id, layout.FAILED, layout.REASON_TOO_OLD, 0, 2, 1990)])
    (seen,) = acts.of_payment(ledger, row.id)
    assert (seen.action, seen.act, seen.who, seen.result) == (ACTION, Act.RETRY, "Ada", None)
    with pytest.raises(LedgerError):
        acts.record(operator, action(), [ItemRow(making.payment(2).id, layout.FAILED, 1, 0, 2, 1990)])
    assert acts.of_payment(ledger, making.payment(2).id) == []  # not even a part of it
    operator.close()


def test_an_operators_command_makes_no_ledger(url: str) -> None:
    with pytest.raises(LedgerError):
        open_ledger(url, name="engine", adds=True)


def test_a_result_is_carried_once_though_it_is_told_again(ledger: Database) -> None:
    at_ms = making.NOW_MS + 500
    carry(ledger, failed(1, making.NOW_MS + 20))
    acts.record(ledger, action(), [ItemRow(making.payment(1).id, layout.FAILED, layout.REASON_TOO_OLD, 0, 2, 1990)])
    carry(ledger, Batch(making.cursor(1), making.cursor(2), acts=(retried(1, at_ms),)))
    carry(ledger, Batch(making.cursor(2), making.cursor(3), acts=(retried(1, at_ms + 9), retried(1, at_ms + 10))))
    with ledger.transaction() as connection:
        (row,) = connection.execute(sa.select(acts.result)).all()
    assert (row.result, row.at_ms) == (Result.DONE, at_ms)
    assert acts.of_payment(ledger, making.payment(1).id)[0].result == Result.DONE


def test_what_is_tried_again_is_open_and_then_what_it_becomes_in_the_same_row(ledger: Database) -> None:
    row = making.payment(1)
    carry(ledger, failed(1, making.NOW_MS + 20))
    waiting = row._replace(state=layout.QUEUED, processor=None, settled_ms=None)
    # Its place may have been looked at before its act was read.
    carry(ledger, Batch(making.cursor(1), making.cursor(2), (waiting,)))
    found = queries.find(ledger, row.id)
    assert found is not None and found.state == layout.FAILED
    carry(ledger, Batch(making.cursor(2), making.cursor(3), acts=(retried(1, making.NOW_MS + 500),)))
    found = queries.find(ledger, row.id)
    assert found is not None and (found.state, found.reason, found.settled_ms) == (layout.QUEUED, 0, None)
    carry(ledger, Batch(making.cursor(3), making.cursor(4), (row,)))
    found = queries.find(ledger, row.id)
    assert found is not None and found.state == layout.COMPLETED


@pytest.mark.parametrize("is_later", [True, False])
def test_a_payment_that_has_failed_again_stays_failed_whichever_comes_first(ledger: Database, is_later: bool) -> None:
    carry(ledger, failed(1, making.NOW_MS + 20))
    act = retried(1, making.NOW_MS + 500)
    again = failed(1, making.NOW_MS + 900).payments
    if is_later:  # the act comes in the batch after it
        carry(ledger, Batch(making.cursor(1), making.cursor(2), again))
        carry(ledger, Batch(making.cursor(2), making.cursor(3), acts=(act,)))
    else:
        carry(ledger, Batch(making.cursor(1), making.cursor(3), again, acts=(act,)))
    found = queries.find(ledger, making.payment(1).id)
    assert found is not None and (found.state, found.settled_ms) == (layout.FAILED, making.NOW_MS + 900)


def test_what_is_tried_again_after_the_clock_was_set_back_is_open(ledger: Database) -> None:
    carry(ledger, failed(1, making.NOW_MS + 20_000))
    waiting = making.payment(1, state=layout.PROCESSING, settled_ms=None)
    act = retried(1, making.NOW_MS + 500)
    carry(ledger, Batch(making.cursor(1), making.cursor(2), (waiting,), acts=(act,)))
    found = queries.find(ledger, waiting.id)
    assert found is not None and (found.state, found.settled_ms) == (layout.PROCESSING, None)


def test_what_was_tried_again_and_then_purged_is_purged(ledger: Database) -> None:
    carry(ledger, failed(1, making.NOW_MS + 20))
    purged = making.payment(1, state=PURGED, settled_ms=None)
    after = making.cursor(2)._replace(era=2, purges=1)
    carry(ledger, Batch(making.cursor(1), after, (purged,), acts=(retried(1, making.NOW_MS + 500),)))
    with ledger.transaction() as connection:
        assert connection.execute(sa.select(schema.payment.c.state)).scalar_one() == PURGED


def test_an_act_that_was_refused_opens_nothing(ledger: Database) -> None:
    carry(ledger, failed(1, making.NOW_MS + 20))
    act = retried(1, making.NOW_MS + 500, Result.CHANGED)
    carry(ledger, Batch(making.cursor(1), making.cursor(2), acts=(act,)))
    found = queries.find(ledger, making.payment(1).id)
    assert found is not None and found.state == layout.FAILED


def test_the_journal_carries_a_whole_result() -> None:
    from engine.dispatch.attempt import Now
    from engine.dispatch.history import History

    words = zeros(journal_layout.journal_words(1024))
    lay_out_journal(words, 1024, 1, 1, 1)
    history = History(JournalWriter(words))
    carried = Carried(Result.DONE, layout.PROCESSING, layout.REASON_CLOCK, layout.FAILED, layout.REASON_CANCELLED)
    top = (1 << 64) - 1
    history.acted(Now(5, 6), Command(Act.CANCEL, top, 2, 3, top, 0, 1), pack_result(carried))
    history.sent(Now(5, 6), [], [])
    records = Records(lambda *_: 1)
    records.take(JournalReader(words).read(0, 10).records)
    high, low = (top).to_bytes(8, "big"), (2).to_bytes(8, "big")
    payment = (3).to_bytes(8, "big") + high
    assert records.acts == [ActRow(high + low, payment, Act.CANCEL, 1, *carried, 6)]
