"""The fees of the processors: what is known, and what is assumed otherwise. Pure."""

from __future__ import annotations

PPM = 1_000_000
# Assumed when no fee is known: for the first processor, and for each after it. tuning.md has the cost of a wrong guess.
ASSUMED_PPM = (50_000, 150_000)


def believed_ppm(*fees_ppm: int) -> tuple[int, ...]:
    """The fees of the processors in millionths of an amount, in their order; -1 in ``fees_ppm``: the fee is not known.

    Only the differences between fees decide where payments go. So an unknown fee is as far from the first known fee as
    the assumed fees are from each other. If nothing else is known, the first processor is the cheapest.
    """
    assumed_ppm = [ASSUMED_PPM[min(processor, 1)] for processor in range(len(fees_ppm))]
    known = next((processor for processor, fee_ppm in enumerate(fees_ppm) if fee_ppm >= 0), None)
    apart_ppm = 0 if known is None else fees_ppm[known] - assumed_ppm[known]
    return tuple(
        fee_ppm if fee_ppm >= 0 else min(max(assumed + apart_ppm, 0), PPM)
        for fee_ppm, assumed in zip(fees_ppm, assumed_ppm, strict=True)
    )
