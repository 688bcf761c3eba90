"""Advice with evidence: what a ledger has recorded is replayed under other settings, and against the oracle."""
