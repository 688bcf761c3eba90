"""What is sent back for a request, or done to its connection instead."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import orjson


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; ``headers`` come on top of ``content_type`` and the length."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Cut(Enum):
    """An end without an answer."""

    CLOSE = "close"  # the connection is closed in order (FIN)
    RESET = "reset"  # the connection is reset (RST)


Ending = Reply | Cut


def reply_json(status: int, content: object) -> Reply:
    """``content`` as a JSON answer."""
    return Reply(status, orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS))  # an enum may be a key


def reply_message(status: int, message: str) -> Reply:
    """``{"message": message}``."""
    return reply_json(status, {"message": message})
