"""The engine and the processors as the contest talks to them: JSON over kept-alive HTTP, one connection for each owner.

Nothing here is thread-safe: every thread that asks has clients of its own, so that no question waits for another.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode, urlsplit

from engine.lab.contest.books import BooksError, Total, Totals, engine_totals, total
from engine.lab.contest.scenario import Condition, Flaky, Stage
from engine.lab.simulate.faults import Fault

TIMEOUT_S = 3.0

Window = tuple[str, str]


class ServiceError(Exception):
    """A service gave no usable answer; the text names it and says why. ``status`` is its HTTP status, 0 for none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Addresses:
    """Where everything is: origins without a slash at the end, and the processors' admin token."""

    engine: str
    default: str
    fallback: str
    token: str


def iso_ms(epoch_s: float) -> str:
    """A point in time as the summaries take it: UTC, ms, ``Z``."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Service:
    """An HTTP service. ``name`` is for messages; ``origin`` like ``http://127.0.0.1:9999``."""

    def __init__(self, name: str, origin: str, headers: dict[str, str]) -> None:
        parts = urlsplit(origin)
        if parts.scheme != "http" or not parts.hostname:
            raise ServiceError(f"{name}: {origin!r} is not like http://host:port")
        self.name = name
        self.origin = origin
        self._headers = headers
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)

    def exchange(self, method: str, path: str, content: Any = None) -> bytes:
        """One request; the body of its 2xx answer. Raises ServiceError.

        Asks once more when a kept connection turns out to be closed: servers drop idle ones (socketify's after 10 s,
        the very pause between two audits), and every call made here may be repeated.
        """
        headers, body = dict(self._headers), None
        if content is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(content).encode()
        for was_kept in (self._connection.sock is not None, False):
            try:
                self._connection.request(method, path, body, headers)
                response = self._connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if was_kept and isinstance(error, ConnectionError):
                    continue
                reason = str(error) or type(error).__name__
                raise ServiceError(f"{self.name} at {self.origin}: {reason}") from None
            if 200 <= response.status < 300:
                return answer
            text = answer.decode(errors="replace").strip()
            raise ServiceError(
                f"{self.name} at {self.origin}: {method} {path.partition('?')[0]}: {response.status} {text:.200}",
                response.status,
            )
        raise AssertionError("the second time no connection was kept")

    def json(self, method: str, path: str, content: Any = None) -> Any:
        """As :meth:`exchange`, the answer as JSON with its decimals exact. Raises ServiceError."""
        answer = self.exchange(method, path, content)
        try:
            return json.loads(answer, parse_float=Decimal)
        except ValueError:
            text = answer.decode(errors="replace")
            raise ServiceError(f"{self.name} at {self.origin}: {path}: not JSON: {text:.200}") from None

    def close(self) -> None:
        """Closes the kept connection."""
        self._connection.close()


def _windowed(path: str, window: Window | None) -> str:
    return path if window is None else f"{path}?{urlencode({'from': window[0], 'to': window[1]})}"


class Engine(Service):
    """The backend under test."""

    def __init__(self, addresses: Addresses) -> None:
        super().__init__("engine", addresses.engine, {})

    def summary(self, window: Window | None = None) -> Totals:
        """``/payments-summary``. Raises ServiceError."""
        try:
            return engine_totals(self.json("GET", _windowed("/payments-summary", window)))
        except BooksError as error:
            raise ServiceError(f"engine: /payments-summary: {error}") from None

    def queues(self) -> tuple[int, int]:
        """Payments that are pending, and that were given up. Raises ServiceError."""
        content = self.json("GET", "/health")
        try:
            return int(content["queues"]["pending"]), int(content["queues"]["failed"])
        except (KeyError, TypeError, ValueError):
            raise ServiceError(f"engine: /health: has no queues: {content!r:.200}") from None

    def knows(self, correlation_id: str) -> bool:
        """Whether it has a status for this payment. Raises ServiceError."""
        try:
            self.exchange("GET", f"/payments/{correlation_id}/status")
        except ServiceError as error:
            if error.status == 404:
                return False
            raise
        return True

    def purge(self) -> None:
        """Makes it forget everything. Raises ServiceError."""
        self.exchange("POST", "/purge-payments")


class Processor(Service):
    """The admin side of one payment processor, simulated or official."""

    def __init__(self, name: str, origin: str, token: str) -> None:
        super().__init__(f"{name} processor", origin, {"X-Rinha-Token": token})
        self._is_flaky = False

    def summary(self, window: Window | None = None) -> Total:
        """What it has charged. Raises ServiceError."""
        return self.summary_and_fee(window)[0]

    def summary_and_fee(self, window: Window | None = None) -> tuple[Total, Decimal]:
        """What it has charged, and the share it keeps. Raises ServiceError."""
        content = self.json("GET", _windowed("/admin/payments-summary", window))
        try:
            return total(content), Decimal(content["feePerTransaction"])
        except (BooksError, KeyError, TypeError, ArithmeticError) as error:
            raise ServiceError(f"{self.name}: /admin/payments-summary: {error!r}") from None

    def set(self, condition: Condition) -> None:
        """Makes it behave like ``condition``. Only the simulated one can fail at random. Raises ServiceError."""
        self.exchange("PUT", "/admin/configurations/delay", {"delay": condition.delay_ms})
        self.exchange("PUT", "/admin/configurations/failure", {"failure": condition.failing})
        share = float(condition.failing_share) if isinstance(condition, Flaky) else 0.0
        if share or self._is_flaky:
            self._fail_at_random(share)

    def purge(self) -> None:
        """Makes it forget everything. Raises ServiceError."""
        self.exchange("POST", "/admin/purge-payments")

    def close(self) -> None:
        """Closes the kept connection, and leaves a processor that does not fail at random."""
        if self._is_flaky:
            with contextlib.suppress(ServiceError):
                self._fail_at_random(0.0)
        super().close()

    def _fail_at_random(self, share: float) -> None:
        self.exchange("PUT", "/admin/configurations/faults", {"probability": {Fault.ERROR_BEFORE_INSERT: share}})
        self._is_flaky = share > 0


class Processors:
    """Both processors."""

    def __init__(self, addresses: Addresses) -> None:
        self.default = Processor("default", addresses.default, addresses.token)
        self.fallback = Processor("fallback", addresses.fallback, addresses.token)

    def totals(self) -> Totals:
        """What both have charged. Raises ServiceError."""
        return Totals(default=self.default.summary(), fallback=self.fallback.summary())

    def set(self, stage: Stage) -> None:
        """Makes both behave like ``stage``, one right after the other. Raises ServiceError."""
        self.default.set(stage.default)
        self.fallback.set(stage.fallback)

    def close(self) -> None:
        """Closes the kept connections."""
        self.default.close()
        self.fallback.close()
