"""API processes whose ledger is waited for: nothing there is about time, on a busy machine too.

One process imports what they need, and each is a copy of it: importing takes longer than most tests.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator

from engine.__main__ import main
from engine.intake import recorded
from engine.ledger import database, reading
from tests.intake.engine import Engine, is_up, wait_until

_COPIES = multiprocessing.get_context("forkserver")
_COPIES.set_forkserver_preload([__name__])


def _load() -> None:
    """What an API process imports later than the module of its command."""
    for kind in ("sqlite:", "postgresql:"):
        database.load(kind)


def serve(environment: dict[str, str], index: int) -> None:
    """Is an API process."""
    os.environ.clear()
    os.environ.update(environment)
    said = os.open(f"{environment['ENGINE_RUN_DIR']}/api-{index}.log", os.O_CREAT | os.O_WRONLY, 0o600)
    os.dup2(said, 2)
    recorded.LOOK_SECONDS = recorded.SUM_SECONDS = recorded.RECALL_SECONDS = 9.0  # type: ignore[misc]
    reading.LIMIT_SECONDS, reading.RETRY_SECONDS = 9.0, 0.0  # type: ignore[misc]
    main(["api", "--index", str(index)])


@contextlib.contextmanager
def api(made: Engine, index: int) -> Iterator[None]:
    """An API process that runs while the block does."""
    process = _COPIES.Process(target=serve, args=({**os.environ, **made.environment}, index))
    process.start()
    try:
        with made.client(index) as client:
            wait_until(lambda: is_up(client), "the API process")
        yield
    finally:
        process.kill()
        process.join()


_load()
