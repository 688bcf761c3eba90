"""docs/security.md: each risk of OWASP's list has a line, and each test that a line names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("|")]
LINES = [row for row in ROWS if row[0] not in ("risk", "against") and not row[0].startswith("--")]


def test_each_risk_of_the_list_is_answered() -> None:
    risks = {number for row in LINES for number in re.findall(r"\bAPI\d+\b", row[0])}
    assert risks == {f"API{number}" for number in range(1, 11)}


def test_each_line_names_tests_that_are_there() -> None:
    for row in LINES:
        named = re.findall(r"`([\w/.]+)(?:::(\w+))?`", row[2])
        assert named, row
        for file, function in named:
            path = ROOT / (file if file.startswith("tests/") else f"tests/console/{file}")
            assert path.exists(), file
            assert not function or f"def {function}(" in path.read_text(), function
