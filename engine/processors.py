"""The list of processors: the name, the address and the fee of each.

Memory, status and settings have a place for each processor, in the order of the list. A payment's processor is stored
as its number in the list. The contest's two are ``default`` and ``fallback``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.addresses import normalized

PROCESSORS_MIN = 2
PROCESSORS_MAX = 8
ROUTED_MAX = 2  # routing decides between at most this many; memory and API processes work with PROCESSORS_MAX
DEFAULT, FALLBACK = 0, 1  # numbers of the contest's two
CONTEST_NAMES = ("default", "fallback")
FEE_UNKNOWN_PPM = -1
PPM = 1_000_000
PORT_MAX = 65_535

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
# What an address may be, character by character (RFC 3986, and _ in a host, which containers' names have). It is held
# against the text itself, for urlsplit silently leaves out line ends and tabs that libcurl sees, and an empty ? or #.
_PART = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\]"
_ADDRESS = re.compile(rf"(?i:https?)://(?:{_PART}*@)?(?:{_HOST})(?::(?P<port>[0-9]{{1,5}}))?(?P<path>(?:/{_PART}+)*)/*")
_DOTS = re.compile(r"(?:\.|%2[Ee]){1,2}")  # libcurl takes such parts out of a path, and another one is asked


@dataclass(frozen=True)
class Processor:
    """One processor of the list.

    Parameters:
      name: its name for people and in summaries.
      url: its origin, and the base path of its routes if it has one; without a slash at the end.
      fee_ppm: its fee, in millionths of an amount; FEE_UNKNOWN_PPM if it is not known.
    """

    name: str
    url: str
    fee_ppm: int = FEE_UNKNOWN_PPM


def rounded(microcents: int) -> int:
    """Millionths of a cent as cents, half to even, as the processors round a sum of fees."""
    cents, rest = divmod(microcents, PPM)
    return cents + (2 * rest > PPM or (2 * rest == PPM and cents % 2))


def parse_pairs(text: str) -> dict[str, str]:
    """``name=value,name=value`` as a mapping in the same order; spaces around names and values are dropped.

    Raises ValueError with a reason.
    """
    pairs: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, separator, value = map(str.strip, part.partition("="))
        if not separator or not value:
            raise ValueError(f"{part!r} is not like name=value")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r}: a name begins with a letter and has up to 32 letters, digits, - and _")
        if name.lower() in map(str.lower, pairs):
            raise ValueError(f"{name!r} is there twice")
        pairs[name] = value
    return pairs


def parse_urls(text: str) -> dict[str, str]:
    """The names and addresses of ``ENGINE_PROCESSORS``. Raises ValueError with a reason."""
    urls = parse_pairs(text)
    if urls and not PROCESSORS_MIN <= len(urls) <= PROCESSORS_MAX:
        raise ValueError(f"must name {PROCESSORS_MIN} to {PROCESSORS_MAX} processors")
    for name, url in urls.items():
        try:
            check_url(url)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return urls


def parse_fees(text: str) -> dict[str, int]:
    """The names and fees (ppm) of ``ENGINE_FEES_PPM``. Raises ValueError with a reason."""
    fees = {}
    for name, value in parse_pairs(text).items():
        if not re.fullmatch(r"[0-9]{1,7}", value) or int(value) > PPM:
            raise ValueError(f"{name}: must be 0 to {PPM}")
        fees[name] = int(value)
    return fees


def check_url(text: str) -> None:
    """Raises ValueError unless ``text`` is an http(s) origin, with a base path or without, and not a character more."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError("must be like http://host:port or http://host:port/path, and nothing before or behind it")
    if match["port"] is not None and not 0 < int(match["port"]) <= PORT_MAX:
        raise ValueError(f"its port must be 1 to {PORT_MAX}")
    if any(map(_DOTS.fullmatch, match["path"].split("/"))):
        raise ValueError("its path must not have . or .. in it")
    normalized(text)  # raises ValueError when what is in brackets is no address


def one_and_the_same(processors: Sequence[Processor]) -> tuple[Processor, Processor] | None:
    """Two of them that are at the same address; None when each has its own."""
    known: dict[str, Processor] = {}
    for processor in processors:
        other = known.setdefault(normalized(processor.url), processor)
        if other is not processor:
            return other, processor
    return None
