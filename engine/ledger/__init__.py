"""The ledger: every payment and attempt in SQL, exactly once, beside the way of a payment.

This room knows SQL and nothing else of the engine does. Rows come in batches with a cursor (:mod:`engine.ledger.rows`);
:func:`engine.ledger.database.open_ledger` opens a database, in SQLite or PostgreSQL.
"""
