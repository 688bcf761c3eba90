"""Migrations of the schema: one module in `versions` for each released version. They are run by
:mod:`engine.ledger.migrate`. A migration knows nothing of :mod:`engine.ledger.schema`, which goes on changing."""
