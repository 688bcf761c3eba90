"""The console's pages: ``/metrics`` for machines, ``/healthz``."""

from __future__ import annotations

from threading import Lock

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.console import nginx_status
from engine.console.exposition import exposed
from engine.console.scrape import Scrape
from engine.memory import metrics_layout
from engine.memory.words import zeros
from engine.metrics.process import ProcessWords
from engine.settings import Settings
from engine.storage.viewing import seen


class Console:
    """Serves what it sees of the engine with these ``settings``. It writes nothing to the engine's memory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = zeros(metrics_layout.PROCESS_WORDS)
        self._process = ProcessWords(self._own, 0)
        self._one_at_a_time = Lock()
        # Plain functions: Starlette calls them in a thread, so a scrape does not keep other requests waiting.
        routes = [Route("/metrics", self.metrics), Route("/healthz", self.alive)]
        self.app = Starlette(routes=routes)

    def metrics(self, request: Request) -> Response:
        """GET /metrics: all that is known now, in the format that is asked for."""
        with self._one_at_a_time:
            self._process.show()
            nginx = nginx_status.read(self._settings.host.port) if self._settings.console.console else None
            with seen(self._settings) as memory:
                samples = list(Scrape(self._settings, memory, self._own, nginx).samples())
            body, content_type = exposed(samples, request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    def alive(self, _: Request) -> Response:
        """GET /healthz: this process answers."""
        return PlainTextResponse("ok\n")
