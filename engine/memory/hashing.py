"""The mix of a correlationId, which chooses its places in memory: buckets, stripe, fingerprint. Pure.

It is a finaliser over both halves, after a multiplication by secret seeds: every input bit changes every bit of it, so
nobody outside can aim ids at one place. Sums and products alone do not do: whatever the seeds, ids ``(h, c - 3 h)``
have one sum ``3 h + l``, and of ``(i << 56, j << 56)`` no product has more than eight bits that differ.
engine/intake/fast_path.c does the same.
"""

from __future__ import annotations

from engine.memory import layout
from engine.memory.words import WORD_MAX


def mix(id_high: int, id_low: int, seed_high: int, seed_low: int) -> int:
    """64 bits of a correlationId that nobody foresees who does not know the seeds, odd numbers."""
    return _finalise(_finalise(id_high * seed_high & WORD_MAX) ^ id_low * seed_low & WORD_MAX)


def _finalise(word: int) -> int:
    """Spreads every bit of ``word`` over all of them: the last step of splitmix64 (Stafford's variant 13)."""
    word = (word ^ word >> 30) * layout.MIX_A & WORD_MAX
    word = (word ^ word >> 27) * layout.MIX_B & WORD_MAX
    return word ^ word >> 31
