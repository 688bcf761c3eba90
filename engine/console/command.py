"""``python -m engine console``: the operators' port."""

from __future__ import annotations

import argparse
import logging
import os

import uvicorn

from engine import settings as settings_module
from engine.console.app import Console
from engine.console.families import markdown
from engine.logs import writing
from engine.logs.logger import Logger

HELP = "Serves /metrics to Prometheus on ENGINE_CONSOLE_PORT, until SIGTERM or Ctrl-C. It only reads."
NICE = 10  # behind what serves clients; the dispatcher and the ledger are behind it
OPEN_REQUESTS_MAX = 64

log = Logger("engine.console")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/metrics.md instead")


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal. Returns 0 after a clean end, 1 where it cannot listen, 2 for bad settings."""
    if arguments.markdown:
        print(markdown())
        return 0
    writing.begin("console")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        settings = settings_module.read(os.environ)
    except settings_module.SettingsError as error:
        writing.fail(error)
        return 2
    os.nice(NICE)
    config = uvicorn.Config(
        Console(settings).app,
        host=settings.console.host,
        port=settings.console.port,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=OPEN_REQUESTS_MAX,
    )
    log.info("console_serves", url=f"http://{settings.console.host}:{settings.console.port}")
    server = uvicorn.Server(config)
    try:
        server.run()
    except SystemExit:  # what it says when it cannot listen; the log has why
        return 1
    return 0
