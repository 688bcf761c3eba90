"""Chaos: a contest on the real processes, during which everything fails that can, and the check that no payment
suffers.

``plan`` (what is done when, from a seed) and ``checks`` (what must hold afterwards) are pure. ``driver`` carries a plan
out on a ``world``: engine, processors, and a ``proxy`` on the way between them.
"""
