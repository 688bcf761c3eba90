"""``python -m tests.hostile.collecting PATH``: :class:`Http` with an echo, and a route that runs the collector."""

from __future__ import annotations

import gc
import signal
import sys

from engine.intake.http import Http
from engine.intake.problem import ALIVE, Answer, json_answer
from engine.intake.request import Request

BODY_BYTES_MAX = 4096


def collect(_: Request) -> Answer:
    gc.unfreeze()
    gc.collect()
    return ALIVE


def main(path: str) -> None:
    http = Http()
    http.route_body("/payments", BODY_BYTES_MAX, lambda _: None, json_answer)
    http.route("GET", "/collect", collect)
    http.alarm(lambda: print("listening", flush=True)).set(1)  # it rings in the loop, which begins after listening
    signal.signal(signal.SIGTERM, lambda *_: http.stop())
    http.serve(path, 0o600)


if __name__ == "__main__":
    main(sys.argv[1])
