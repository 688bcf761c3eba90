"""Secrets are taken out of all text that a process writes. The one place where that is done. Pure.

What is secret: the values of the variables that hold one, passwords in addresses, and what stands behind a word that
announces a secret, whoever has written it: a library, a database, a client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, unquote

MASKED = "***"
PUBLIC = frozenset({"123"})  # the token of the contest's processors
_SHORT = 6  # a secret with fewer characters may be a part of a word, and is masked only where it stands alone
_NAME = re.compile(r"^(ENGINE_|PG|POSTGRES_).*(TOKEN|PASSWORD|SECRET|KEY(?!S_FILE))")
_IN_ADDRESS = re.compile(r"(?<=://)[^\s/@'\"]*:([^\s/'\"]+)(?=@)|[?&]password=([^&\s'\"]+)")
_ANNOUNCED = re.compile(
    r"""(?ix)
    (?P<before> ://[^\s/@:'"]*: ) [^\s/'"]+ (?=@)
    | (?P<name> \b(?:proxy-)?authorization | (?<![a-z])[a-z]*[-_]?(?:token|password|passwd|secret|api[-_]?key) )
      (?P<is> \\?["']? \s*[:=]\s* )
      (?: (?:bearer|basic|digest)\s+ )?
      (?: \\"[^"\\]*\\" | "[^"]*" | '[^']*' | [^\s,;&"'})\]]+ )
    | (?P<scheme> \bbearer\s+ ) [\w.~+/=-]+
    | (?P<basic> \bbasic\s+ ) [A-Za-z0-9+/]{8,}={0,2}
    """
)

Mask = Callable[[str], str]


def is_secret(name: str) -> bool:
    """Whether the variable ``name`` holds a secret and nothing else."""
    return _NAME.match(name) is not None


def mask_of(environment: Mapping[str, str]) -> Mask:
    """The function that takes secrets out of a text: those of ``environment``, and those that are announced."""
    forms = sorted({form for secret in _secrets(environment) for form in _forms(secret)}, key=len, reverse=True)
    known = re.compile("|".join(map(_pattern, forms))) if forms else None

    def mask(text: str) -> str:
        if known is not None:
            text = known.sub(MASKED, text)
        return _ANNOUNCED.sub(_masked, text)

    return mask


def _masked(match: re.Match[str]) -> str:
    if match["name"]:
        return f"{match['name']}{match['is']}{MASKED}"
    return (match["before"] or match["scheme"] or match["basic"]) + MASKED


def _secrets(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if is_secret(name):
            yield value
        elif name.startswith(("ENGINE_", "PAYMENT_PROCESSOR_", "DATABASE_")):
            yield from (found[1] or found[2] for found in _IN_ADDRESS.finditer(value))


def _forms(secret: str) -> Iterator[str]:
    """A secret as it stands in messages: plain, with escapes of Python or JSON, or as in an address."""
    if secret.strip() and secret not in PUBLIC:
        once = [secret, *_escaped(secret), quote(secret, safe=""), unquote(secret)]
        yield from once
        for form in once:
            yield from _escaped(form)


def _escaped(text: str) -> Iterator[str]:
    """As Python shows a text, and as JSON does."""
    yield from (repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])


def _pattern(form: str) -> str:
    return re.escape(form) if len(form) >= _SHORT else rf"(?<![0-9A-Za-z]){re.escape(form)}(?![0-9A-Za-z])"
