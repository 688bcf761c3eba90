"""A timer of libuv's loop that can be set again and switched off, so that an idle processor sleeps."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from socketify.native import ffi
from socketify.uv import UVLoop

_NEVER_MS = 10**12

_libuv = ctypes.CDLL("libuv.so.1")  # the very library that socketify runs on
_libuv.uv_timer_again.argtypes = [ctypes.c_void_p]
_libuv.uv_timer_stop.argtypes = [ctypes.c_void_p]


class Alarm:
    """Calls ``action()`` once, ``delay_ms`` after `set`; setting it again moves it. The action may set it.

    It is made once and kept as long as the loop. socketify can neither restart nor stop a timer. It can only destroy
    one, and then frees it without ``uv_close``: libuv's list of handles would run through freed memory.
    """

    def __init__(self, loop: UVLoop, action: Callable[[], None]) -> None:
        self._timer = loop.create_timer(_NEVER_MS, _NEVER_MS, self._fire, None)
        self._handle = int(ffi.cast("uintptr_t", ffi.cast("void **", self._timer._ptr)[0]))
        self._action = action

    def set(self, delay_ms: int) -> None:
        """Sets the alarm ``delay_ms`` from now (at least 1), instead of what was set before."""
        assert delay_ms >= 1
        self._timer.set_repeat(delay_ms)  # uv_timer_again takes its time from the interval
        _libuv.uv_timer_again(self._handle)

    def _fire(self, _: object) -> None:
        _libuv.uv_timer_stop(self._handle)
        self._action()
