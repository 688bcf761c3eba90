"""What the processors are taken to keep, as far as anybody has said. Pure."""

from __future__ import annotations

PPM = 1_000_000
ASSUMED_PPM = (50_000, 150_000)  # what nobody has said; tuning.md has what a wrong guess costs


def believed_ppm(default_ppm: int, fallback_ppm: int) -> tuple[int, int]:
    """The fees of default and fallback in millionths of an amount; -1 stands for one that is not known.

    Only their difference decides where payments go. So one that is not known is as far from the other as the assumed
    ones are from each other: without any word to the contrary fallback is the dearer one.
    """
    apart_ppm = ASSUMED_PPM[1] - ASSUMED_PPM[0]
    if default_ppm < 0 and fallback_ppm < 0:
        return ASSUMED_PPM
    if default_ppm < 0:
        return max(fallback_ppm - apart_ppm, 0), fallback_ppm
    if fallback_ppm < 0:
        return default_ppm, min(default_ppm + apart_ppm, PPM)
    return default_ppm, fallback_ppm
