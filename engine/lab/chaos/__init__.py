"""Chaos: a contest during which the world does its worst, on the real processes, and the check that no payment suffers.

``plan`` (what is done when, from a seed) and ``checks`` (what must hold afterwards) are pure. ``driver`` carries a plan
out on a ``world``: engine, processors, and a ``proxy`` on the way between them.
"""
