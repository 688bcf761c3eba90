"""Shops that pay steadily, from a process of their own."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPException

from tests.system.client import Client, new_payments

CONNECTIONS = 8
END_S = 90.0


@contextmanager
def paying(port: int, rate: float) -> Iterator[list[float]]:
    """Pays ``rate`` times a second until the end of the block; then yields how long each 202 took, in ms."""
    context = multiprocessing.get_context("spawn")
    over, found = context.Event(), context.Queue()
    process = context.Process(target=_pay, args=(port, rate, over, found), daemon=True)
    process.start()
    times_ms = list[float]()
    try:
        yield times_ms
    finally:
        over.set()
        times_ms += found.get(timeout=END_S)
        process.join()


def _pay(port: int, rate: float, over: threading.Event, found: multiprocessing.Queue[list[float]]) -> None:
    """The process: payments on CONNECTIONS connections, each at its time, however long others take."""

    def pay() -> list[float]:
        shop, times_ms, next_s = Client(port), list[float](), time.monotonic()
        while not over.is_set():
            (payment,) = new_payments(1)
            began_s = time.monotonic()
            with suppress(OSError, HTTPException):  # a busy machine: the next one
                if shop.pay(payment).status == 202:
                    times_ms.append((time.monotonic() - began_s) * 1000)
            next_s += CONNECTIONS / rate
            over.wait(max(0.0, next_s - time.monotonic()))
        shop.close()
        return times_ms

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        some = [threads.submit(pay) for _ in range(CONNECTIONS)]
    found.put([one for each in some for one in each.result()])
