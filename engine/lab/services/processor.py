"""The knobs and the books of one payment processor, simulated or official."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.lab.contest.books import BooksError, Total, cents, total
from engine.lab.contest.scenario import Condition, Flaky
from engine.lab.services.addresses import TOKEN
from engine.lab.services.service import Bounds, Service, ServiceError, windowed
from engine.lab.simulate.faults import Fault

# The time limit for a page of a long listing, and for any call that is made by hand.
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a processor says it has charged in a window; ``fee`` is the share of an amount that it keeps."""

    count: int
    cents: int
    fee_cents: int
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Charged:
    """A payment in a processor's list; ``requested_at`` is ISO-8601 with ms and ``Z``."""

    correlation_id: str
    amount_cents: int
    requested_at: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A request of a processor's own log: to pay, or a lookup; ``key``: the payment's id, 16 bytes; epoch ms."""

    key: bytes
    at_ms: int
    is_lookup: bool


class Processor(Service):
    """The admin side of one payment processor. Its methods raise ServiceError.

    The official ones do not offer what is marked *simulated*; they answer with 404.
    """

    def __init__(self, name: str, base_url: str, token: str = TOKEN) -> None:
        super().__init__(f"{name} processor", base_url, {"X-Rinha-Token": token})
        self._is_flaky = False

    def set(self, condition: Condition) -> None:
        """Makes it behave like ``condition``. Only the simulated one can fail at random."""
        self.set_delay(condition.delay_ms)
        self.set_failing(condition.failing)
        share = float(condition.failing_share) if isinstance(condition, Flaky) else 0.0
        if share or self._is_flaky:
            self._fail_at_random(share)

    def set_delay(self, delay_ms: int) -> None:
        """How long a payment waits before anything else happens to it."""
        self.exchange("PUT", "/admin/configurations/delay", {"delay": delay_ms})

    def set_failing(self, failing: bool) -> None:
        """Whether payments are answered with 500."""
        self.exchange("PUT", "/admin/configurations/failure", {"failure": failing})

    def set_token(self, token: str) -> None:
        """Changes the token at the processor and here."""
        self.exchange("PUT", "/admin/configurations/token", {"token": token})
        self.headers["X-Rinha-Token"] = token

    def set_faults(
        self,
        next_counts: Mapping[str, int] | None = None,
        probabilities: Mapping[str, float] | None = None,
        *,
        seed: int = 0,
        hang_ms: int | None = None,
        late_ms: int | None = None,
    ) -> None:
        """Replaces the faults; their names are those of `engine.lab.simulate.faults.Fault`. *Simulated.*"""
        fields: dict[str, object] = {
            "next": dict(next_counts or {}),
            "probability": dict(probabilities or {}),
            "seed": seed,
        }
        if hang_ms is not None:
            fields["hang_ms"] = hang_ms
        if late_ms is not None:
            fields["late_ms"] = late_ms
        self.exchange("PUT", "/admin/configurations/faults", fields)

    def clear_faults(self) -> None:
        """No more faults; those that are under way go on. *Simulated.*"""
        self.exchange("PUT", "/admin/configurations/faults", {})

    def purge(self) -> None:
        """Makes it forget all that was charged, and all counts."""
        self.exchange("POST", "/admin/purge-payments")

    def reset(self) -> None:
        """As just started, but for its health window: no delay, no failing, no faults, nothing charged. *Simulated.*"""
        self.set_delay(0)
        self.set_failing(False)
        self.clear_faults()
        self.purge()

    def summary(self, bounds: Bounds | None = None) -> Summary:
        """What it has charged with a ``requestedAt`` within ``bounds``, and what it keeps."""
        content = self._summary(bounds)
        try:
            charged, fee = total(content), Decimal(content["feePerTransaction"])
            return Summary(charged.count, charged.cents, cents(content["totalFee"]), fee)
        except (BooksError, KeyError, TypeError, ArithmeticError) as error:
            raise ServiceError(f"{self.name}: /admin/payments-summary: {error!r}") from None

    def total(self, bounds: Bounds | None = None) -> Total:
        """What it has charged with a ``requestedAt`` within ``bounds``."""
        try:
            return total(self._summary(bounds))
        except BooksError as error:
            raise ServiceError(f"{self.name}: /admin/payments-summary: {error!r}") from None

    def fault_chances(self) -> dict[str, float]:
        """The chance of each fault for every payment that comes. *Simulated.*"""
        chances = self.json("GET", "/admin/faults")["configured"].get("probability", {})
        return {fault: float(chance) for fault, chance in chances.items()}

    def faults_done(self) -> dict[str, int]:
        """How often each fault was done since the start or the last purge. *Simulated.*"""
        done: dict[str, int] = self.json("GET", "/admin/faults")["done"]
        return done

    def stats(self) -> dict[str, int]:
        """Payments by outcome and on hand, see `engine.lab.simulate.behaviour.Stats`. *Simulated.*"""
        stats: dict[str, int] = self.json("GET", "/admin/stats")
        return stats

    def took_us(self) -> list[int]:
        """How long payments took from their arrival to their end: buckets and sum of :mod:`engine.metrics.times`.

        *Simulated.*
        """
        took: list[int] = self.json("GET", "/admin/times")["took_us"]
        return took

    def changes(self) -> list[dict[str, Any]]:
        """The latest changes between failing and not failing since the start or the last purge, in order. *Simulated.*

        Each has ``kind`` and ``ago_ms``; an ``onset`` has ``caught``, ``sent_soon`` and ``sent_later``, a
        ``recovery`` has ``first_ms``, see `engine.lab.simulate.changes`.
        """
        content = json.loads(self.exchange("GET", "/admin/changes")[1])  # times are floats
        changes: list[dict[str, Any]] = content["changes"]
        return changes

    def charged(self) -> Iterator[Charged]:
        """Every payment that was charged, in the order of the charges, read page by page. *Simulated.*"""
        for page in self._pages("/admin/payments"):
            for line in page.splitlines():
                fields = json.loads(line, parse_float=Decimal)
                yield Charged(fields["correlationId"], _whole_cents(fields["amount"]), fields["requestedAt"])

    def charged_keys(self) -> Iterator[bytes]:
        """The ids of all that was charged, as 16 bytes each; quick enough for millions. *Simulated.*"""
        for page in self._pages("/admin/payments/ids"):
            yield from map(bytes.fromhex, page.decode().split())

    def heard(self) -> Iterator[Heard]:
        """Every request and lookup that it has remembered (``--log-requests``), as they came. *Simulated.*

        Raises ServiceError too when its log was too small for all.
        """
        for page in self._pages("/admin/requests"):
            for line in page.decode().splitlines():
                key, at_ms, kind = line.split()
                yield Heard(bytes.fromhex(key), int(at_ms), kind == "l")
        left_out = int(self.exchange("GET", "/admin/requests?limit=1")[0]["X-Left-Out"])
        if left_out:
            raise ServiceError(f"{self.name}: its log had no room for {left_out} requests")

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Any call, with the token, on a connection of its own and never repeated: its status, headers and body.

        Raises OSError or http.client.HTTPException when there is no answer.
        """
        with contextlib.closing(self.new_connection(PATIENCE_S)) as connection:
            connection.request(method, path, body, self.headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def close(self) -> None:
        """Closes the kept connection, and leaves a processor that does not fail at random."""
        if self._is_flaky:
            with contextlib.suppress(ServiceError):
                self._fail_at_random(0.0)
        super().close()

    def _summary(self, bounds: Bounds | None) -> Any:
        return self.json("GET", windowed("/admin/payments-summary", bounds))

    def _fail_at_random(self, share: float) -> None:
        self.set_faults(probabilities={Fault.ERROR_BEFORE_INSERT: share})
        self._is_flaky = share > 0

    def _pages(self, path: str) -> Iterator[bytes]:
        after: str | None = "0"
        while after is not None:
            headers, page = self.exchange("GET", f"{path}?after={after}", timeout_s=PATIENCE_S)
            yield page
            after = headers["X-Next-After"]


def _whole_cents(amount: Decimal) -> int:
    assert amount * 100 == cents(amount), f"not whole cents: {amount}"
    return cents(amount)
