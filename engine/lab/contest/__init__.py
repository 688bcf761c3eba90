"""The contest: load, stages, audits and score of the Rinha de Backend 2025, run on this machine.

``scenario`` (what is done to the engine), ``score`` and ``audit`` (what comes of it) are pure and know no clock, so
that a replay in virtual time can use them too. ``run`` is the contest itself; ``report`` and ``picture`` tell what
happened.
"""
