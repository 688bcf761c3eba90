"""A world apart: name servers and /dev/shm of a run's own, so that what is done to them hurts nobody else.

It is made of namespaces (unshare(2)), which only root may make: one of mounts, with its own /etc/resolv.conf and its
own small /dev/shm, and one of networks, in which a name server of our own has 127.0.0.1:53.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import tempfile
from pathlib import Path

from engine.lab.chaos.mounts import Filler, MountError, run

SHARED_MEMORY = Path("/dev/shm")
RESOLV_CONF = Path("/etc/resolv.conf")
SPARE_MB = 8  # of the small /dev/shm, beside what an engine has put there
LEFT_BYTES = 8192  # of it, when it is nearly full
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_WHAT = "a world apart"
_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> None:
    """Takes the calling thread, and all that it starts from now on, into a world apart. Raises MountError."""
    if os.geteuid() != 0:
        raise MountError("only root can make name servers silent and fill /dev/shm for itself alone")
    if _libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
        raise MountError(f"namespaces cannot be made: {os.strerror(ctypes.get_errno())}")
    _raise_loopback()
    run(_WHAT, "mount", "--make-rprivate", "/")
    run(_WHAT, "mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(SHARED_MEMORY))
    with tempfile.NamedTemporaryFile("w", prefix="resolv-") as conf:
        conf.write("nameserver 127.0.0.1\n")
        conf.flush()
        run(_WHAT, "mount", "--bind", conf.name, str(RESOLV_CONF))  # which outlives the file's name


def _raise_loopback() -> None:
    with socket.socket() as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        name, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", name, flags | _IFF_UP))


class SmallMemory(Filler):
    """The /dev/shm of a world apart, once an engine has put there what it needs: nothing much fits in beside that.

    It is filled but for :data:`LEFT_BYTES`. Raises MountError.
    """

    def __init__(self) -> None:
        super().__init__(SHARED_MEMORY, LEFT_BYTES)
        space = os.statvfs(SHARED_MEMORY)
        used = (space.f_blocks - space.f_bfree) * space.f_frsize
        run(_WHAT, "mount", "-o", f"remount,size={used + (SPARE_MB << 20)}", str(SHARED_MEMORY))
