"""What can be wrong with a ledger's database. Each holds a sentence for people, without a password in it."""

from __future__ import annotations


class LedgerError(Exception):
    """Any of them."""


class AwayError(LedgerError):
    """The database cannot be reached, is locked, full or too slow: what was asked may be tried again as it is.

    *Warning*: when the connection broke while a transaction was committed, it may be in the database nevertheless. So
    whoever carries reads the cursor again before they carry on.
    """


class OtherEngineError(LedgerError):
    """The database belongs to another engine."""


class CursorMovedError(LedgerError):
    """The cursor in the database is not the one that the batch goes on from: somebody else has carried."""


class TooNewError(LedgerError):
    """The schema was made by a newer program."""


class UnusableError(LedgerError):
    """This program and this database do not go together, and trying again changes nothing: the sentence says why."""
