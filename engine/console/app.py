"""The console as an ASGI application: ``/metrics`` and ``/healthz`` for machines, the page and its API for people."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from engine.addresses import origins
from engine.console.api import Api
from engine.console.exposition import exposed
from engine.console.guard import Guard
from engine.console.keys import Keys
from engine.console.looking import Looking
from engine.console.problem import problem
from engine.console.recorded import Recorded
from engine.console.scrape import Sample
from engine.settings import Settings

STATIC: Final = Path(__file__).with_name("static")


class Console:
    """Serves what it sees of the engine with these ``settings``. It writes nothing to the engine's memory."""

    def __init__(self, settings: Settings) -> None:
        recorded = Recorded(settings)
        self._looking = Looking(settings, recorded)
        api = Api(settings, self._looking, recorded, lambda: self.app)
        # Plain functions: Starlette calls them in a thread, so a scrape does not keep other requests waiting.
        routes = [
            Route("/", self.page),
            Route("/metrics", self.metrics),
            Route("/healthz", self.alive),
            *api.routes(),
            Mount("/static", _Static(directory=STATIC)),
        ]
        pages = Starlette(routes=routes, exception_handlers={HTTPException: _refused, Exception: _failed})
        self.app = Guard(pages, Keys(settings.console_keys_file), origins(settings.console.origins))

    def page(self, _: Request) -> Response:
        """GET /: the page. What it shows comes from the API, with a key."""
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    def metrics(self, request: Request) -> Response:
        """GET /metrics: all that is known now, in the format that is asked for."""
        throttle = self.app.throttle
        own = [
            Sample("engine_console_wrong_keys_total", throttle.wrong),
            Sample("engine_console_slowed_requests_total", throttle.slowed),
        ]
        body, content_type = exposed([*self._looking.samples(), *own], request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    def alive(self, _: Request) -> Response:
        """GET /healthz: this process answers."""
        return PlainTextResponse("ok\n")


class _Static(StaticFiles):
    """Files that a browser asks for again, and gets only when they have changed."""

    def file_response(self, *arguments: object, **named: object) -> Response:
        response = super().file_response(*arguments, **named)  # type: ignore[arg-type]
        response.headers["Cache-Control"] = "no-cache"
        return response


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {name.replace("-", "_"): value for name, value in (error.headers or {}).items()}
    return problem(error.status_code, "There is nothing at this path, or it is not served this way.", **headers)


async def _failed(_: Request, __: Exception) -> Response:
    return problem(500, "The console could not answer; its log says why.")
