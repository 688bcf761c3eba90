"""A limit for a conversation over a socket whose other end may stand still: nothing that a server promises ends it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def watched(descriptor: int, seconds: float) -> Iterator[None]:
    """Shuts the socket ``descriptor`` down if the block has not ended after ``seconds``.

    Who waits for it gets an error then. The descriptor must stay open until then.
    """
    lock, is_over = threading.Lock(), False

    def bark() -> None:
        with lock:
            if not is_over:
                with socket.socket(fileno=os.dup(descriptor)) as other, contextlib.suppress(OSError):
                    other.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, bark)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            is_over = True
        timer.cancel()
