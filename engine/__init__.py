"""A payment engine: accepts payments in about a millisecond and settles each exactly once at one of two processors."""
