"""Where everything is that a laboratory talks to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TOKEN = "123"  # what the processors take when they are told nothing else


@dataclass(frozen=True)
class Addresses:
    """Origins like ``http://127.0.0.1:9999``, without a slash at the end.

    Parameters:
      engine: of the engine.
      processors: of each processor by name, in the order in which they are shown.
      token: the processors' admin token.
    """

    engine: str
    processors: Mapping[str, str]
    token: str = TOKEN
