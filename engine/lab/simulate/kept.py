"""A store whose payments outlive its process: each is appended to a file before it is answered.

A kill of the process loses nothing that was answered, since the kernel has it. A loss of power may lose the last ones.
"""

from __future__ import annotations

import fcntl
import os
import struct

from engine.lab.simulate.store import PaymentStore
from engine.lab.simulate.wire import Payment

HEADER = b"charged payments, version 1\n".ljust(32)
_RECORD = struct.Struct("<16sqq")  # the id, the amount in cents, and when it was requested in ms since 1970
READ_RECORDS = 65_536  # at a time


class KeptError(OSError):
    """The file cannot be used. Holds a sentence."""

    def __str__(self) -> str:
        return str(self.args[0])


class KeptStore(PaymentStore):
    """What the file ``path`` holds, which is made if it is not there, and what is charged from now on.

    Raises KeptError when it cannot be opened, is another kind of file, or another process uses it.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeptError(f"{path}: {error.strerror}") from error
        try:
            self._take()
        except BaseException:
            os.close(self._file)
            raise

    def insert(self, payment: Payment) -> bool:
        """See `PaymentStore`. Raises OSError when it cannot be kept: then the process must end without an answer."""
        if not super().insert(payment):
            return False
        self._append(_RECORD.pack(*payment))
        return True

    def clear(self) -> None:
        """See `PaymentStore`."""
        super().clear()
        os.ftruncate(self._file, len(HEADER))

    def close(self) -> None:
        """Closes the file; nothing can be inserted any more."""
        os.close(self._file)

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KeptError(f"{self._path}: another simulated processor keeps its payments there") from None
        header = os.read(self._file, len(HEADER))
        if not HEADER.startswith(header):
            raise KeptError(f"{self._path}: it is no file of a simulated processor, or one of another version")
        if len(header) < len(HEADER):  # a new file, or one whose maker was killed
            os.ftruncate(self._file, 0)
            self._append(HEADER)
            return
        self._load()

    def _load(self) -> None:
        """Reads all payments. A last one that is not whole was never answered, and is cut off."""
        rest = b""
        while chunk := os.read(self._file, READ_RECORDS * _RECORD.size):
            rest += chunk
            whole = len(rest) - len(rest) % _RECORD.size
            for record in _RECORD.iter_unpack(rest[:whole]):
                super().insert(Payment(*record))
            rest = rest[whole:]
        if rest:
            os.ftruncate(self._file, os.fstat(self._file).st_size - len(rest))

    def _append(self, data: bytes) -> None:
        if os.write(self._file, data) < len(data):
            raise KeptError(f"{self._path}: there is no room for more")
