"""Keys of the console: who may sign in, and as what. They stand in a file, each as a hash.

A line is ``name:role:hash`` (argon2id in its own text form); empty lines and lines that begin with ``#`` are skipped.
The key that a person holds is ``name.secret``, so that one hash is tried for each attempt. The file is read again when
it has changed: who is taken out of it is out at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from enum import IntEnum
from threading import Lock
from typing import Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
KEY_CHARACTERS_MAX: Final = 128
SECRET_BYTES: Final = 24
VERIFIED_MAX: Final = 256  # keys that need not be hashed again for each request
# OWASP's least for argon2id: 19 MiB, two rounds. The secrets are random, so more would only cost memory.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Role(IntEnum):
    """What a key may do; a higher one may do all that a lower one may."""

    VIEWER = 1  # looks
    OPERATOR = 2  # acts on processors, and asks
    TREASURER = 3  # acts on money


class Key(NamedTuple):
    """A line of the file."""

    name: str
    role: Role
    hash: str

    @property
    def mark(self) -> str:
        """Which key this is; another one after its secret or its role was changed."""
        return hashlib.sha256(f"{self.name}:{self.role}:{self.hash}".encode()).hexdigest()[:32]


class KeysError(Exception):
    """The file cannot be used; the text says why and what to do."""


class Keys:
    """The keys of the file at ``path``. A file that is not there has none. May be used by several threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = Lock()
        self._version: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}
        self._verified: dict[bytes, str] = {}

    def all(self) -> dict[str, Key]:
        """The keys, by name. Raises KeysError."""
        with self._lock:
            return dict(self._current())

    def get(self, name: str) -> Key | None:
        """The key of this name. Raises KeysError."""
        with self._lock:
            return self._current().get(name)

    def known(self, text: str) -> Key | None:
        """Whose key this is, if it was verified before; else None. Raises KeysError."""
        with self._lock:
            key = self._current().get(name_of(text))
            return key if key is not None and self._verified.get(_digest(text)) == key.mark else None

    def verify(self, text: str) -> Key | None:
        """Whose key this is; None: nobody's. It takes some 30 ms, for a wrong name too. Raises KeysError."""
        secret = text[:KEY_CHARACTERS_MAX].rpartition(".")[2]
        with self._lock:
            key = self._current().get(name_of(text))
        with contextlib.suppress(VerificationError, InvalidHashError):
            _HASHER.verify(key.hash if key is not None else _nobodys(), secret)
            if key is not None and len(text) <= KEY_CHARACTERS_MAX:
                with self._lock:
                    if len(self._verified) >= VERIFIED_MAX:
                        self._verified.clear()
                    self._verified[_digest(text)] = key.mark
                return key
        return None

    def add(self, name: str, role: Role) -> str:
        """Adds a key, and returns its text, which is nowhere else. Raises KeysError for a name that is there or bad."""
        if not NAME.fullmatch(name):
            raise KeysError(f"{name!r} is no name: letters, digits, - and _, 32 at most")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        with self._written() as keys:
            if name in keys:
                raise KeysError(f"there is a key called {name}: remove it first")
            keys[name] = Key(name, role, _HASHER.hash(secret))
        return f"{name}.{secret}"

    def remove(self, name: str) -> None:
        """Takes a key away, and its sessions with it. Raises KeysError when there is none."""
        with self._written() as keys:
            if keys.pop(name, None) is None:
                raise KeysError(f"there is no key called {name} in {self.path}")

    @contextlib.contextmanager
    def _written(self) -> Iterator[dict[str, Key]]:
        """The keys, to be changed by one editor at a time; then the file is replaced as a whole."""
        directory = os.path.dirname(os.path.abspath(self.path))
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise KeysError(f"{directory} cannot be used: {error.strerror}") from error
        with self._lock, _closing(held):
            fcntl.flock(held, fcntl.LOCK_EX)
            keys = dict(self._current())
            yield keys
            lines = "".join(f"{key.name}:{key.role.name.lower()}:{key.hash}\n" for key in keys.values())
            try:
                self._replace(directory, "# Keys of the console. Change them with: engine.sh console key\n" + lines)
            except OSError as error:
                raise KeysError(f"{self.path} cannot be written: {error.strerror}") from error
            self._version = None

    def _replace(self, directory: str, text: str) -> None:
        descriptor, path = tempfile.mkstemp(dir=directory, prefix=".keys-")
        try:
            with open(descriptor, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                # Whoever edits it, with sudo perhaps: the console reads it as its own user.
                owner = os.stat(self.path if os.path.exists(self.path) else directory)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.replace(path, self.path)
        except OSError:
            os.unlink(path)
            raise

    def _current(self) -> dict[str, Key]:
        try:
            with open(self.path) as file:
                found = os.fstat(file.fileno())
                version = found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
                if version != self._version:
                    if stat.S_IMODE(found.st_mode) & 0o077:
                        raise KeysError(f"{self.path} can be read by others: chmod 600 {self.path}")
                    self._keys, self._version = dict(_parsed(file.read(), self.path)), version
                    self._verified.clear()
        except FileNotFoundError:
            self._keys, self._version = {}, None
            self._verified.clear()
        except (OSError, UnicodeDecodeError) as error:
            raise KeysError(f"{self.path} cannot be read: {error}") from error
        return self._keys


def name_of(text: str) -> str:
    """The name in a key's text, "" if there is none."""
    return text[:KEY_CHARACTERS_MAX].rpartition(".")[0]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _parsed(text: str, path: str) -> Iterator[tuple[str, Key]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        role, _, one = rest.partition(":")
        if not NAME.fullmatch(name) or role.upper() not in Role.__members__ or not one.startswith("$argon2id$"):
            raise KeysError(f"{path}, line {number}: it is no name:role:hash")
        yield name, Key(name, Role[role.upper()], one.strip())


def _nobodys() -> str:
    """A hash that no key has: a wrong name takes as long as a wrong secret."""
    global _NOBODYS
    _NOBODYS = _NOBODYS or _HASHER.hash(secrets.token_urlsafe(SECRET_BYTES))
    return _NOBODYS


_NOBODYS = ""
