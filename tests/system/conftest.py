"""A failing test of the whole engine also shows all that the engines have printed."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.system import running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the logs of the engines that run."""
    report = yield
    if report.failed and item.path.parent.name == "system":
        report.sections += [(f"engine in {place.run_dir}", place.said()) for place in running.places]
    return report
