"""``./engine.sh pay N``: pays as a shop would, each payment with an id of its own, and says what became of them."""

from __future__ import annotations

import argparse
import re
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from engine.client.api import Api, ApiError, port
from engine.invocation import command

HELP = "Pay as a shop would, each payment with a new id, and say where they were settled."
PAYMENTS_MAX = 100_000
CONNECTIONS = 8
LOOK_SECONDS = 0.2  # between two looks at what still waits
INTERRUPTED = 130

Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class Result:
    """What became of the payments: by id, the last ``/status`` of those that were accepted; why others were not."""

    amount: Decimal
    accepted: dict[str, Json] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def waiting(self) -> list[str]:
        """The ids of those that are not done, the oldest first."""
        return [one for one, seen in self.accepted.items() if seen["status"] not in ("completed", "failed")]


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("payments", metavar="N", nargs="?", type=_count, default=1, help="how many (default: 1)")
    parser.add_argument(
        "--amount", type=_amount, default=Decimal("19.90"), metavar="X", help="of each (default: %(default)s)"
    )
    parser.add_argument(
        "--wait", type=_seconds, default=15.0, metavar="S", help="how long to wait for the last of them (default: 15 s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Pays; 0 if all were accepted and none failed, 1 if not, 2 for bad settings, 130 after Ctrl-C."""
    listens_on = port()
    if listens_on is None:
        return 2
    result = Result(arguments.amount)
    code = 0
    with ExitStack() as held:
        try:
            crew = held.enter_context(Crew(listens_on, min(CONNECTIONS, arguments.payments)))
            pay(crew, result, [str(uuid.uuid4()) for _ in range(arguments.payments)], show)
            follow(crew, result, arguments.wait, show)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except ApiError as error:
            show("")
            print(f"engine: {error}", file=sys.stderr)
            code = 1
        show("")
        reasons = [] if not result.waiting else _reasons(listens_on)
    if result.accepted or result.refused:
        print("\n".join(words(result, reasons)))
    has_failed = any(seen["status"] == "failed" for seen in result.accepted.values())
    return code or int(bool(result.refused) or has_failed)


class Crew:
    """Some connections to the engine, each with a thread. A context manager that ends them."""

    def __init__(self, listens_on: int, connections: int) -> None:
        self._port = listens_on
        self._own = threading.local()
        self._apis: list[Api] = []
        self._pool = ThreadPoolExecutor(connections)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        for api in self._apis:
            api.__exit__(None, None, None)

    def each(self, ids: Sequence[str], call: Callable[[Api, str], T], done: Callable[[str, T], None]) -> None:
        """Calls ``call`` for all ``ids``, several at a time, and ``done`` with each result. Raises ApiError."""
        for one, found in zip(ids, self._pool.map(partial(self._with_api, call), ids), strict=True):
            done(one, found)

    def _with_api(self, call: Callable[[Api, str], T], correlation_id: str) -> T:
        if not hasattr(self._own, "api"):
            self._own.api = Api(self._port)
            self._apis.append(self._own.api)
        return call(self._own.api, correlation_id)


def pay(crew: Crew, result: Result, ids: Sequence[str], show: Callable[[str], None]) -> None:
    """Pays once for each of ``ids``. Raises ApiError."""

    def done(one: str, answer: tuple[int, str]) -> None:
        status, said = answer
        if status == 202:
            result.accepted[one] = {"status": "queued"}
        else:
            result.refused[f"{status}: {said}"] += 1
        show(f"paying: {len(result.accepted) + result.refused.total():,} of {len(ids):,}")

    crew.each(ids, lambda api, one: api.pay(one, str(result.amount)), done)


def follow(crew: Crew, result: Result, seconds_max: float, show: Callable[[str], None]) -> None:
    """Looks until all that was accepted is done, or the time is over. Raises ApiError."""
    deadline = time.monotonic() + seconds_max
    while waiting := result.waiting:
        crew.each(waiting, lambda api, one: api.status(one), result.accepted.__setitem__)
        left = deadline - time.monotonic()
        count = len(result.waiting)
        show(f"settled: {len(result.accepted) - count:,} of {len(result.accepted):,}; looking for {max(left, 0):.0f} s")
        if not count or left <= 0:
            break
        time.sleep(LOOK_SECONDS)


def words(result: Result, reasons: Sequence[str]) -> list[str]:
    """What became of the payments, in lines.

    Parameters:
      reasons: what the engine says of its state while some wait.
    """
    lines = [f"{len(result.accepted):,} accepted, {result.amount} each"]
    lines += [f"{count:,} not accepted: {why}" for why, count in result.refused.most_common()]
    groups = Counter(_group(seen) for seen in result.accepted.values())
    lines += [f"  {group:24} {count:7,}  {count * result.amount:14,.2f}" for group, count in sorted(groups.items())]
    if result.waiting:
        lines += [f"    {reason}" for reason in reasons]
        lines.append(f"  They are settled as soon as that is worth it; `{command('status')}` shows how many wait.")
    return lines


def _group(seen: Json) -> str:
    """What a payment's status comes to."""
    if seen["status"] == "completed":
        return f"settled at {seen['processor']}"
    if seen["status"] == "failed":
        return f"failed: {seen['reason']}"
    if seen["status"] == "processing":
        return f"sent to {seen['processor']}, no answer"
    return "waiting" if seen["status"] == "queued" else str(seen["status"])


def _reasons(listens_on: int) -> list[str]:
    """Why payments may wait, as the engine says it; nothing when it cannot be asked."""
    with Api(listens_on) as api:
        try:
            health = api.health()
        except ApiError:
            return []
    return [*health["reasons"], *([health["payments"]] if "payments" in health else [])]


def show(text: str) -> None:
    """Shows ``text`` in place of what it showed before, on a terminal; "" takes it away."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not 1 <= int(text) <= PAYMENTS_MAX:
        raise argparse.ArgumentTypeError(f"must be 1 to {PAYMENTS_MAX:,}")
    return int(text)


def _amount(text: str) -> Decimal:
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,2})?", text) or not Decimal(text):
        raise argparse.ArgumentTypeError("must be above 0, with two places at most")
    return Decimal(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]+)?", text):
        raise argparse.ArgumentTypeError("must be seconds, 0 or more")
    return float(text)
