"""A curl handle that is used again and again. The transport has one for each request in flight."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pycurl

from engine.connectors.answers import Query
from engine.connectors.connector import Connector, Request
from engine.dispatch.attempt import Attempt


class Carrier:
    """A handle of ``connector`` for processor number ``processor``, with the request that it carries now."""

    __slots__ = (
        "attempt",
        "body",
        "connector",
        "getinfo",
        "handle",
        "lookup",
        "processor",
        "query",
        "sending",
        "sending_bytes",
    )

    def __init__(self, processor: int, connector: Connector, lookup: bool) -> None:
        self.handle: Any = pycurl.Curl()
        self.getinfo = self.handle.getinfo
        self.processor = processor
        self.connector = connector
        self.lookup = lookup
        self.attempt: Attempt | None = None  # None: it carries a query
        self.query = Query.HEALTH
        self.sending = BytesIO()  # what is still to be sent of the request's body
        self.sending_bytes = -1  # the length of the body that was set on the handle
        self.body = bytearray()

    def load(self, url: str, request: Request, unsaid: Sequence[str] = ()) -> None:
        """Sets path, headers and method, which stay set, and the body; ``unsaid``: headers that libcurl must omit."""
        handle = self.handle
        handle.setopt(pycurl.URL, f"{url}{request.path}")
        handle.unsetopt(pycurl.HTTPHEADER)  # an empty list would leave those of the last request
        handle.setopt(pycurl.HTTPHEADER, [*(f"{name}: {value}" for name, value in request.headers), *unsaid])
        if request.method == "GET":
            handle.setopt(pycurl.HTTPGET, 1)
        else:
            handle.setopt(pycurl.POST, 1)
            self.fill(request.body)
        handle.unsetopt(pycurl.CUSTOMREQUEST)
        if request.method not in ("GET", "POST"):
            handle.setopt(pycurl.CUSTOMREQUEST, request.method)

    def fill(self, body: bytes) -> None:
        """Sets the body that is sent."""
        size = len(body)
        if size != self.sending_bytes:  # nearly every body is as long as the last one
            self.handle.setopt(pycurl.POSTFIELDSIZE, size)
            self.sending_bytes = size
        self.sending.__init__(body)  # type: ignore[misc]  # filled anew: its read() is the handle's READFUNCTION
