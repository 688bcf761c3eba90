"""Sessions of browsers: a signed cookie that says which key it is of. Nothing of a session is kept by the console, so
that it may be started again, or another one take over, and nobody signs in anew.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Final

from itsdangerous import BadSignature, URLSafeTimedSerializer

from engine.console.keys import Key, Keys, KeysError

HOURS: Final = 12
# Browsers take the first only with Secure, of this very host and for all of it. Over plain HTTP on this machine itself
# there is no Secure.
SECURE_COOKIE: Final = "__Host-console"
LOOPBACK_COOKIE: Final = "console"
SECRET_BYTES: Final = 32


class Sessions:
    """Makes and reads cookies. The secret stands beside the file of the keys, for the console alone."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._signer: URLSafeTimedSerializer | None = None

    def made(self, key: Key) -> str:
        """A session of this key, as a cookie's value. Raises KeysError when the secret cannot be kept."""
        return str(self._signing().dumps([key.name, key.mark]))

    def key(self, value: str) -> Key | None:
        """Whose session this is; None: nobody's, or no longer. Raises KeysError."""
        try:
            name, mark = self._signing().loads(value, max_age=HOURS * 3600)
        except (BadSignature, ValueError, TypeError):
            return None
        key = self._keys.get(name)
        return key if key is not None and secrets.compare_digest(key.mark, mark) else None

    def _signing(self) -> URLSafeTimedSerializer:
        if self._signer is None:
            self._signer = URLSafeTimedSerializer(_secret(self._keys.path + ".sessions"), salt="console session")
        return self._signer


def _secret(path: str) -> bytes:
    """The secret in this file, which is made when it is not there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with contextlib.suppress(FileExistsError), open(os.open(path, flags, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        with open(path, "rb") as file:
            found = file.read()
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise KeysError(f"{path} can be read by others: chmod 600 {path}")
    except OSError as error:
        raise KeysError(f"{path} cannot be used: {error.strerror}") from error
    if len(found) != SECRET_BYTES:
        raise KeysError(f"{path} is cut: remove it, and everybody signs in again")
    return found
