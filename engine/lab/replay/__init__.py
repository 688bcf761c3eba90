"""A contest in virtual time: the engine's own routing against modelled processors and load, and against the best that
was possible with knowledge of the future.
"""
