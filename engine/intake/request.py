"""What a handler may read of a request: socketify's native functions."""

from __future__ import annotations

from typing import Any

from socketify.native import ffi, lib

from engine.intake import paths

Pointer = Any  # a native request (valid while its handler runs) or response (until it is answered or aborted)


class Request:
    """What a handler may read of the request that is being handled. One object is used for all requests in turn."""

    def __init__(self) -> None:
        self.pointer: Pointer = ffi.NULL
        self.parameters: tuple[str, ...] = ()  # of a path that the native router has not taken apart
        self._text = ffi.new("char**")

    def header(self, name: bytes) -> bytes:
        """The value of the header ``name`` (lower case), ``b""`` if it is absent."""
        return self._unpack(lib.uws_req_get_header(self.pointer, name, len(name), self._text))

    def parameter(self, index: int) -> str:
        """The part of the path that stands for the ``index``-th ``:name`` of the route; only what need not be escaped
        is not."""
        if self.parameters:
            return self.parameters[index]
        return paths.plain(self._unpack(lib.uws_req_get_parameter(self.pointer, index, self._text)).decode("latin-1"))

    def path(self) -> str:
        """What stands before the ``?``, still escaped."""
        return self._unpack(lib.uws_req_get_url(self.pointer, self._text)).decode("latin-1")

    def method(self) -> str:
        """In upper case, as it came."""
        return self._unpack(lib.uws_req_get_case_sensitive_method(self.pointer, self._text)).decode("latin-1")

    def query(self) -> str:
        """What follows the ``?``, still escaped."""
        url = self._unpack(lib.uws_req_get_full_url(self.pointer, self._text))
        return url.partition(b"?")[2].decode("latin-1")

    def is_head(self) -> bool:
        """Whether the answer must come without its body."""
        return self.method() == "HEAD"

    def _unpack(self, length: int) -> bytes:
        # If it is absent, the length is 0 and the pointer is NULL.
        return bytes(ffi.unpack(self._text[0], length)) if length else b""
