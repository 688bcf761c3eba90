"""The engine's API, called from this machine. Knows nothing of the engine's memory."""

from __future__ import annotations

import http.client
import json
import os
import sys
from decimal import Decimal
from types import TracebackType
from typing import Any

from engine import settings as settings_module
from engine.invocation import command

SECONDS_MAX = 10.0  # for one answer

Json = dict[str, Any]


class ApiError(Exception):
    """The engine does not answer, or not as this API does. Holds a sentence."""


class Api:
    """One connection to an engine; not for several threads. A context manager that closes it.

    Parameters:
      port, host: where the engine listens; by default on this machine.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._url = f"http://{host}:{port}"
        self._connection = http.client.HTTPConnection(host, port, timeout=SECONDS_MAX)

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def url(self) -> str:
        """Where the engine is."""
        return self._url

    def pay(self, correlation_id: str, amount: str) -> tuple[int, str]:
        """The status of ``POST /payments``, and what the engine says where it is not 202. Raises ApiError."""
        body = f'{{"correlationId":"{correlation_id}","amount":{amount}}}'
        status, answer = self._call("POST", "/payments", body)
        return status, "" if status == 202 else _detail(answer)

    def status(self, correlation_id: str) -> Json:
        """What became of a payment; ``{"status": "unknown"}`` where the engine knows none such. Raises ApiError."""
        status, answer = self._call("GET", f"/payments/{correlation_id}/status")
        return {"status": "unknown"} if status == 404 else self._document(status, answer)

    def health(self) -> Json:
        """The document of ``/health``. Raises ApiError."""
        return self._document(*self._call("GET", "/health"))

    def summary(self) -> Json:
        """The document of ``/payments-summary``. Raises ApiError."""
        return self._document(*self._call("GET", "/payments-summary"))

    def openapi(self) -> Json:
        """The document of ``/openapi.json``. Raises ApiError."""
        return self._document(*self._call("GET", "/openapi.json"))

    def _document(self, status: int, answer: bytes) -> Json:
        try:
            document = json.loads(answer, parse_float=Decimal)
        except ValueError:
            document = None
        if status != 200 or not isinstance(document, dict):
            raise ApiError(f"{self._url} answers {status}: {_detail(answer)}")
        return document

    def _call(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        """Status and body of the answer. Called twice at most: all of the API's calls may be repeated."""
        for is_last in (False, True):
            try:
                self._connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()  # the next request makes it anew; nginx ends one now and then
                if is_last or isinstance(error, ConnectionRefusedError | TimeoutError):
                    raise ApiError(self._silent(error)) from error
        raise AssertionError("the second call returns or raises")

    def _silent(self, error: Exception) -> str:
        if isinstance(error, ConnectionRefusedError):
            return f"no engine on {self._url} (ENGINE_PORT): start one with `make run` or `{command('up')}`"
        return f"{self._url} (ENGINE_PORT) does not answer: {error or type(error).__name__}"


def port() -> int | None:
    """The port that the environment sets; None where the settings cannot be used, which is told on standard error."""
    try:
        return settings_module.read(os.environ).host.port
    except settings_module.SettingsError as error:
        print(f"engine: {error}", file=sys.stderr)
        return None


def _detail(answer: bytes) -> str:
    """What a problem says, or the first line of another answer."""
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace").partition("\n")[0][:200]
