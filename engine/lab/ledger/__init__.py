"""What the laboratory knows of a ledger: places for one to be in, how far it is behind, and what it has recorded."""
