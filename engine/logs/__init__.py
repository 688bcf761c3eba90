"""What the engine's processes write for people and for machines: one schema, limited in rate, without secrets."""
