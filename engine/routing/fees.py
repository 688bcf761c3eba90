"""What the processors are taken to keep, as far as anybody has said. Pure."""

from __future__ import annotations

PPM = 1_000_000
# What nobody has said, of the first and of each after it; tuning.md has what a wrong guess costs.
ASSUMED_PPM = (50_000, 150_000)


def believed_ppm(*fees_ppm: int) -> tuple[int, ...]:
    """The fees of the processors in millionths of an amount, in their order; -1 stands for one that is not known.

    Only their differences decide where payments go. So one that is not known is as far from the first known one as the
    assumed ones are from each other: without any word to the contrary the first is the cheapest.
    """
    assumed_ppm = [ASSUMED_PPM[min(processor, 1)] for processor in range(len(fees_ppm))]
    known = next((processor for processor, fee_ppm in enumerate(fees_ppm) if fee_ppm >= 0), None)
    apart_ppm = 0 if known is None else fees_ppm[known] - assumed_ppm[known]
    return tuple(
        fee_ppm if fee_ppm >= 0 else min(max(assumed + apart_ppm, 0), PPM)
        for fee_ppm, assumed in zip(fees_ppm, assumed_ppm, strict=True)
    )
