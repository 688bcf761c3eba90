"""How a line looks: one schema, whoever writes it and whichever library runs the chain."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from engine.logs import chain, writing
from engine.logs.chain import TEXT_MAX
from engine.logs.logger import Logger, request_id
from engine.logs.masking import mask_of
from tests.lab.simulate.processes import REPOSITORY

ID = "4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3"
SCHEMA = ["time", "level", "event", "cell", "process", "pid"]
log = Logger("engine.test")
Out = Callable[[], str]


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Says what was written to standard error since the last time; logging is as it was afterwards."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, level, own = list(root.handlers), root.level, logging.getLogger("engine").level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("engine").setLevel(own)
    sys.excepthook, threading.excepthook = hooks


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_of_json_has_the_schema_first_then_its_fields_and_what_it_says(out: Out) -> None:
    writing.begin("dispatcher", {"ENGINE_LOG_FORMAT": "json"})
    log.warning("dead_letter", correlation_id=ID)
    (line,) = lines(out())
    assert list(line) == [*SCHEMA, "correlationId", "text"]
    assert line["text"] == f"payment {ID} becomes a dead letter"
    assert (line["level"], line["event"], line["process"]) == ("warning", "dead_letter", "dispatcher")
    assert datetime.fromisoformat(line["time"]).utcoffset() is not None and len(line["time"]) == 24


def test_each_line_has_the_cell_of_its_process_and_null_where_there_is_none(out: Out) -> None:
    for environment, cell in (({}, None), ({"ENGINE_CELL": ""}, None), ({"ENGINE_CELL": "north"}, "north")):
        writing.begin("dispatcher", {"ENGINE_LOG_FORMAT": "json"} | environment)
        log.info("stopped", what="")
        logging.getLogger("sqlalchemy").warning("it broke")
        assert [line["cell"] for line in lines(out())] == [cell, cell]


def test_the_look_for_people_is_a_line_with_time_process_level_and_text(out: Out) -> None:
    writing.begin("up", {})
    log.info("stopped", what="")
    date, time, *rest = out().split()
    assert rest == ["engine.up", "INFO", "stopped"] and len(date) == 10 and len(time) == 12
    writing.begin("up", {"ENGINE_CELL": "north"})
    log.info("stopped", what="")
    assert out().split()[2] == "engine.north.up"


def test_the_request_that_is_handled_stands_on_every_line_that_is_written_meanwhile(out: Out) -> None:
    writing.begin("api-0", {"ENGINE_LOG_FORMAT": "json"})
    token = request_id.set("ab" * 16)
    log.info("stopped", what="")
    request_id.reset(token)
    log.info("stopped", what="")
    first, second = lines(out())
    assert first["requestId"] == "ab" * 16 and "requestId" not in second


def test_lines_of_libraries_and_errors_that_nobody_has_caught_have_the_schema(out: Out) -> None:
    writing.begin("up", {"ENGINE_LOG_FORMAT": "json", "ENGINE_ADMIN_TOKEN": "open-sesame"})
    logging.getLogger("sqlalchemy.pool").warning("password=%s is wrong", "open-sesame")
    try:
        raise ValueError("open-sesame")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    text = out()
    library, crashed = lines(text)
    assert (library["event"], library["logger"]) == ("library", "sqlalchemy.pool")
    assert crashed["event"] == "crashed" and "test_writing.py" in crashed["traceback"]
    assert "sesame" not in text


def test_what_libraries_tell_at_length_is_not_written_and_their_warnings_are(out: Out) -> None:
    writing.begin("reconcile", {"ENGINE_LOG_FORMAT": "json"})
    logging.getLogger("alembic.runtime.plugins").info("setup plugin %s", "alembic.autogenerate.schemas")
    logging.getLogger("alembic.runtime.plugins").warning("it is old")
    log.info("stopped", what="")
    assert [line["event"] for line in lines(out())] == ["library", "stopped"]


def test_structlog_and_our_own_runner_write_the_same(out: Out) -> None:
    pytest.importorskip("structlog")
    for render in (chain.as_json, chain.for_people):
        mask = mask_of({"PGPASSWORD": "open-sesame"})
        processors = [chain.from_record("ledger", "north"), chain.without_secrets(mask)]
        ours, theirs = (writing.formatter(process, processors, render) for process in ("up", "ledger"))
        assert type(ours) is chain.Formatter and type(theirs).__module__.startswith("structlog")
        for record in _records():
            assert ours.format(record) == theirs.format(record)


def _records() -> list[logging.LogRecord]:
    extra = {"event": "gap", "fields": {"source": "journal", "first": 1, "why": "open-sesame", "of": [1, {"a": "b"}]}}
    try:
        raise ValueError("open-sesame")
    except ValueError:
        trace = sys.exc_info()
    make = logging.getLogger("x").makeRecord
    return [
        make("x", logging.WARNING, "f", 1, "%s", ("journal: a gap",), None, None, extra),
        make("alembic", logging.INFO, "f", 1, "upgraded %s", ("to 3",), None),
        make("x", logging.ERROR, "f", 1, "%s", ("it broke",), trace, None, extra),
    ]


def test_what_is_too_much_of_a_kind_is_counted_and_other_kinds_are_written(out: Out) -> None:
    writing.begin("up", {"ENGINE_LOG_FORMAT": "json"})
    for _ in range(1_000):
        log.warning("process_ended", child="api 0", code=-9, in_ms=50)
    log.warning("process_ended", child="api 1", code=-9, in_ms=50)
    logging.getLogger().handlers[0].close()
    said = lines(out())
    assert len(said) < 10 and [line["child"] for line in said if "child" in line][-1] == "api 1"
    more = said[-1]
    assert (more["event"], more["of"], more["count"]) == ("more", "process_ended api 0", 995)
    assert more["text"].startswith("and 995 more like process_ended api 0 in ")


def test_a_field_is_bounded_and_one_that_is_no_text_is_told_as_one(out: Out) -> None:
    writing.begin("up", {"ENGINE_LOG_FORMAT": "json"})
    log.error("database_away", reason="x" * 10 * TEXT_MAX)
    log.error("database_away", reason=ValueError("gone"))
    long, error = lines(out())
    assert len(long["reason"]) < TEXT_MAX + 10 and error["reason"] == "gone"


@pytest.mark.parametrize("module", ["intake.command", "dispatch.command", "supervise.up", "settings"])
def test_the_processes_of_the_hot_path_import_no_structlog(module: str) -> None:
    program = (
        f"import sys, engine.{module}, engine.logs.writing as w; w.begin('dispatcher');"
        "sys.exit('structlog' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0
