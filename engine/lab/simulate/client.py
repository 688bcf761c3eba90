"""The knobs and the books of a simulated processor, for tests and for the contest. Standard library only."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

TIMEOUT_SECONDS = 10.0


class ProcessorError(Exception):
    """The processor answered an administrative call with something other than 200."""


@dataclass(frozen=True, slots=True)
class ProcessorSummary:
    """What a processor says it has charged in a window; money in cents, ``fee`` as a part of the amount."""

    count: int
    amount_cents: int
    fee_cents: int
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Charged:
    """A payment in a processor's list; ``requested_at`` is ISO-8601 with ms and ``Z``."""

    correlation_id: str
    amount_cents: int
    requested_at: str


class ProcessorAdmin:
    """One processor at ``base_url``. Every call opens a connection of its own, so threads may share this.

    The methods raise `OSError` or `http.client.HTTPException` when there is no answer, and `ProcessorError`
    when it is not the expected one.
    """

    def __init__(self, base_url: str, token: str = "123", timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"not an http:// address: {base_url!r}")
        self.base_url = base_url.rstrip("/")
        self.token = token
        self._host = parts.hostname
        self._port = parts.port or 80
        self._timeout_seconds = timeout_seconds

    def set_delay(self, delay_ms: int) -> None:
        """How long a payment waits before anything else happens to it."""
        self._change("PUT", "/admin/configurations/delay", {"delay": delay_ms})

    def set_failing(self, failing: bool) -> None:
        """Whether payments are answered with 500."""
        self._change("PUT", "/admin/configurations/failure", {"failure": failing})

    def set_faults(
        self,
        next_counts: Mapping[str, int] | None = None,
        probabilities: Mapping[str, float] | None = None,
        *,
        seed: int = 0,
        hang_ms: int | None = None,
        late_ms: int | None = None,
    ) -> None:
        """Replaces the faults; their names are those of `engine.lab.simulate.faults.Fault`."""
        fields: dict[str, object] = {
            "next": dict(next_counts or {}),
            "probability": dict(probabilities or {}),
            "seed": seed,
        }
        if hang_ms is not None:
            fields["hang_ms"] = hang_ms
        if late_ms is not None:
            fields["late_ms"] = late_ms
        self._change("PUT", "/admin/configurations/faults", fields)

    def clear_faults(self) -> None:
        """No more faults; those that are under way go on."""
        self._change("PUT", "/admin/configurations/faults", {})

    def set_token(self, token: str) -> None:
        """Changes the token at the processor and here."""
        self._change("PUT", "/admin/configurations/token", {"token": token})
        self.token = token

    def purge(self) -> None:
        """Forgets all that was charged, and all counts."""
        self._change("POST", "/admin/purge-payments", None)

    def reset(self) -> None:
        """As just started: no delay, not failing, no faults, nothing charged. The health window is not
        reset."""
        self.set_delay(0)
        self.set_failing(False)
        self.clear_faults()
        self.purge()

    def fault_chances(self) -> dict[str, float]:
        """The chance of each fault for every payment that comes."""
        chances = self._json("/admin/faults")["configured"].get("probability", {})
        return {fault: float(chance) for fault, chance in chances.items()}

    def faults_done(self) -> dict[str, int]:
        """How often each fault was done since the start or the last purge."""
        done: dict[str, int] = self._json("/admin/faults")["done"]
        return done

    def stats(self) -> dict[str, int]:
        """Payments by outcome and on hand, see `engine.lab.simulate.behaviour.Stats`."""
        stats: dict[str, int] = self._json("/admin/stats")
        return stats

    def changes(self) -> list[dict[str, Any]]:
        """The latest changes between failing and not failing since the start or the last purge, in order.

        Each has ``kind`` and ``ago_ms``; an ``onset`` has ``caught``, ``sent_soon`` and ``sent_later``, a
        ``recovery`` has ``first_ms``, see `engine.lab.simulate.changes`. The official processors do not offer this.
        """
        changes: list[dict[str, Any]] = json.loads(self._expect_200("GET", "/admin/changes")[1])["changes"]
        return changes

    def summary(self, from_: str | None = None, to: str | None = None) -> ProcessorSummary:
        """What was charged with ``from_ <= requestedAt <= to`` (ISO-8601); None leaves a side open."""
        bounds = [f"{name}={quote(text)}" for name, text in (("from", from_), ("to", to)) if text is not None]
        fields = self._json("/admin/payments-summary?" + "&".join(bounds))
        return ProcessorSummary(
            count=fields["totalRequests"],
            amount_cents=_cents(fields["totalAmount"]),
            fee_cents=_cents(fields["totalFee"]),
            fee=Decimal(fields["feePerTransaction"]),
        )

    def charged(self) -> Iterator[Charged]:
        """Every payment that was charged, in the order of the charges, read page by page."""
        for page in self._pages("/admin/payments"):
            for line in page.splitlines():
                fields = json.loads(line, parse_float=Decimal)
                cents = _cents(fields["amount"])
                yield Charged(fields["correlationId"], cents, fields["requestedAt"])

    def charged_keys(self) -> Iterator[bytes]:
        """The ids of every payment that was charged, as 16 bytes each; quick enough for millions."""
        for page in self._pages("/admin/payments/ids"):
            yield from map(bytes.fromhex, page.decode().split())

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Any call, with the token: its status, headers and body."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)
        try:
            connection.request(method, path, body, {"X-Rinha-Token": self.token})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def _change(self, method: str, path: str, fields: Mapping[str, object] | None) -> None:
        self._expect_200(method, path, None if fields is None else json.dumps(fields).encode())

    def _json(self, path: str) -> Any:
        return json.loads(self._expect_200("GET", path)[1], parse_float=Decimal)

    def _pages(self, path: str) -> Iterator[bytes]:
        after: str | None = "0"
        while after is not None:
            headers, page = self._expect_200("GET", f"{path}?after={after}")
            yield page
            after = headers["X-Next-After"]

    def _expect_200(self, method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPMessage, bytes]:
        status, headers, answer = self.request(method, path, body)
        if status != 200:
            raise ProcessorError(f"{method} {self.base_url}{path}: {status} {answer[:200]!r}")
        return headers, answer


def charged_twice(*processors: ProcessorAdmin) -> set[bytes]:
    """The ids (16 bytes each) that were charged more than once, at one of the processors or at several."""
    once: set[bytes] = set()
    twice: set[bytes] = set()
    for processor in processors:
        for key in processor.charged_keys():
            (twice if key in once else once).add(key)
    return twice


def _cents(amount: Decimal) -> int:
    cents = amount * 100
    assert cents == int(cents), f"not whole cents: {amount}"
    return int(cents)
