"""A console whose engine has memory and a ledger with some payments, but runs no process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from engine import settings as settings_module
from engine.console.app import Console
from engine.console.keys import Keys, Role
from engine.ledger.acts import ActionRow, ItemRow, record
from engine.ledger.carry import carry
from engine.ledger.database import open_ledger, write_cursor
from engine.ledger.rows import Batch
from engine.memory import layout
from engine.memory.acts_layout import Act
from engine.settings import Settings
from engine.storage import mapping
from tests.ledger import making

PAYMENTS = 120
ACTIONS = 3


class World:
    """A console, and the texts of its keys by role (``None``: nobody's)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        keys = Keys(settings.console_keys_file)
        self.keys = {role: keys.add(role.name.lower(), role) for role in Role}
        self.console = Console(settings)

    def client(self, role: Role | None = None, base_url: str = "http://localhost:9998") -> TestClient:
        """A client with the key of a role."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.keys[role]}"}
        return TestClient(self.console.app, base_url, headers=headers, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A console that tests only look at."""
    yield from _made(tmp_path_factory.mktemp("world"))


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[World]:
    """A console of a test's own."""
    yield from _made(tmp_path)


def _made(tmp_path: Path) -> Iterator[World]:
    settings = settings_module.read(
        {
            "ENGINE_NAME": f"test-{uuid.uuid4().hex[:12]}", "ENGINE_RING_SLOTS": "64", "ENGINE_LEDGER": "best",
            "ENGINE_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "ENGINE_FOUR_EYES_CENTS": "100000",
            "ENGINE_CONSOLE_KEYS_FILE": f"{tmp_path}/keys", "ENGINE_ADMIN_TOKEN": "secret-of-admin",
            "PAYMENT_PROCESSOR_URL_DEFAULT": "http://shop:secret-of-shop@127.0.0.1:9",
        }
    )  # fmt: skip
    for segment in (mapping.open_books(settings), *mapping.open_rings(settings)):
        segment.close()
    _fill(settings)
    yield World(settings)
    mapping.remove_all(settings)


def _fill(settings: Settings) -> None:
    names = settings.processors.names
    database = open_ledger(settings.ledger_url, name=settings.host.name, engine=making.ENGINE, processors=names)
    with database.transaction() as connection:
        write_cursor(connection, making.cursor(), making.NOW_MS)
    numbers = range(PAYMENTS)
    rows = [
        making.payment(number, state=layout.FAILED, processor=None, reason=layout.REASON_TOO_OLD)
        if number % 10 == 0
        else making.payment(number, processor=number % 2)
        for number in numbers
    ]
    attempts = [making.attempt(number, number) for number in numbers]
    end = making.cursor(PAYMENTS, PAYMENTS)
    carry(database, Batch(making.cursor(), end, tuple(rows), tuple(attempts)))
    for number in range(ACTIONS):
        row = making.payment(10 * number)
        action = ActionRow(bytes([number + 1] * 16), Act.RETRY, None, "Ada", "<b>back</b>", "", "--state failed")
        record(database, action, [ItemRow(row.id, layout.FAILED, layout.REASON_TOO_OLD, 0, 1, 1990)])
    database.close()
