"""What documents tell people to type exists, and what they tell of processors is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.__main__ import LABORATORY, PRODUCT
from engine.connectors import rinha
from engine.connectors.answers import ALREADY, CHARGED, FAILED, REFUSED, REJECTED, UNKNOWN, Outcome

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
README_LINES_MAX = 120
CONNECTORS = (ROOT / "docs" / "connectors.md").read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_a_document_names_exist(path: Path) -> None:
    named = set(re.findall(r"\./engine\.sh ([a-z-]+)", path.read_text()))
    assert named <= (PRODUCT | LABORATORY).keys()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_one_way_to_start_a_command(path: Path) -> None:
    """The image has another one, and so have an old checkout and a profiler, which must be handed the interpreter."""
    for line in path.read_text().splitlines():
        if "python -m engine" in line:
            assert "image" in line or path.name == "profiling.md", line


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES_MAX


def documented(number: int) -> str:
    """One of the numbered lines of docs/connectors.md."""
    (text,) = re.findall(rf"^{number}\. (.*?)(?=^\d+\. |\n\n)", CONNECTORS, re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.mark.parametrize(
    ("number", "outcomes"),
    [
        (3, {422: ALREADY}),
        (4, {500: FAILED, 401: FAILED, 403: FAILED, 429: REJECTED}),
        (5, dict.fromkeys((400, 402, 404, 405, 413, 414, 415), REFUSED)),
        (6, dict.fromkeys((502, 503, 504, 408), UNKNOWN)),
    ],
)
def test_what_a_status_means_is_documented(number: int, outcomes: dict[int, Outcome]) -> None:
    assert {int(found) for found in re.findall(r"\b[45]\d\d\b", documented(number))} == outcomes.keys()
    assert {status: rinha.read_payment(status, b"{}") for status in outcomes} == outcomes


def test_what_charged_and_healthy_processors_say_is_documented() -> None:
    (charged,) = re.findall(r"`(\{.*\})`", documented(2))
    assert rinha.read_payment(200, charged.encode()) == CHARGED
    assert rinha.read_payment(200, b"another text") == UNKNOWN
    (health,) = re.findall(r"`(\{.*\})`", documented(8))
    said = rinha.read_health(0, 200, health.encode())
    assert said is not None and not said.failing and said.min_response_ms == 5
    fields = re.findall(r'"(\w+)":', documented(1))
    assert fields == re.findall(r'"(\w+)":', rinha.payment_body(1, 2, 1990, 0).decode())
    assert all(name in documented(7) for name in fields)
