"""Tuning runs: which values of the ``ENGINE_`` variables serve best, found by contests that are really held.

``space`` (what is tried), ``plan`` (in which order, and which points go on) and ``objective`` (what counts as better)
are pure and know no clock. ``journal`` keeps every finished run on disk, ``run`` is the short loop around them,
``report`` and ``picture`` tell what was found.
"""
