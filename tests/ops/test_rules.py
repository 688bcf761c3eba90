"""Rules and alerts of Prometheus: they can be read, fire when they must, and speak of what exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.console.exposition import BOUNDS
from engine.console.families import BY_NAME, Kind
from engine.memory import metrics_layout
from engine.memory.cell_layout import Standing
from engine.routing.state import ProcessorState
from engine.settings import VARIABLES
from tests.ops.conftest import Promtool

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "ops" / "prometheus"
HANDBOOK = ROOT / "docs" / "operations.md"
HERE = Path(__file__).parent
TESTED = (HERE / "alerts.yml", HERE / "objectives.yml")
PARTS = ("**Means.**", "**Look.**", "**Do.**", "**Stop when.**")
ACCEPTING_S, SETTLING_S = 0.010, 70.0  # the objectives


@cache
def rules() -> list[dict[str, Any]]:
    """All of them, in the files that prometheus.yml names."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    files = [yaml.safe_load((PROMETHEUS / name).read_text()) for name in config["rule_files"]]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def metrics(text: str) -> set[str]:
    """The engine's metrics that an expression names, as they are described: without the endings of a histogram."""
    named = set(re.findall(r"\bengine_\w+", text))
    return {
        base if (base := re.sub(r"_(bucket|count|sum)$", "", name)) in histograms() else name for name in named
    }  # fmt: skip


def histograms() -> set[str]:
    return {name for name, family in BY_NAME.items() if family.kind is Kind.HISTOGRAM}


def test_prometheus_reads_its_configuration_and_all_rules(promtool: Promtool) -> None:
    done = promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", TESTED, ids=lambda path: path.name)
def test_alerts_fire_when_they_must_and_only_then(promtool: Promtool, path: Path) -> None:
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def tried() -> list[tuple[str, list[dict[str, Any]], set[str]]]:
    """Of each try: the alert, what is expected, and the instances that series are of."""
    found = []
    for test in (test for path in TESTED for test in yaml.safe_load(path.read_text())["tests"]):
        instances = {re.findall(r'instance="([^"]*)"', one["series"])[0] for one in test["input_series"]}
        found += [(one["alertname"], one["exp_alerts"], instances) for one in test["alert_rule_test"]]
    return found


@pytest.mark.parametrize("name", alerts())
def test_every_alert_has_a_series_in_which_it_fires_and_one_in_which_it_does_not(name: str) -> None:
    mine = [(expected, instances) for alert, expected, instances in tried() if alert == name]
    firing = {one["exp_labels"].get("instance") for expected, _ in mine for one in expected if "exp_labels" in one}
    assert any(expected for expected, _ in mine)
    assert any(not expected or instances - firing for expected, instances in mine)
    assert not any(str(instance).startswith("not-") for instance in firing)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_what_exists(rule: dict[str, Any]) -> None:
    text = rule["expr"]
    assert metrics(text) <= BY_NAME.keys()
    recorded = {one["record"] for one in rules() if "record" in one}
    assert set(re.findall(r"\bengine:[\w:]+", text)) <= recorded
    assert set(re.findall(r'le="([^"]+)"', text)) <= {*BOUNDS}
    assert set(re.findall(r'name="([^"]+)"', text)) <= {variable.name for variable in VARIABLES}
    reasons = {one.label for one in metrics_layout.REFUSALS} | {"full"}
    assert {word for words in re.findall(r'reason=~"([^"]+)"', text) for word in words.split("|")} <= reasons
    states = {state.name.lower() for state in (*ProcessorState, *Standing)}
    assert {word for words in re.findall(r'state=~?"([^"]+)"', text) for word in words.split("|")} <= states


def test_no_rule_knows_a_processor_by_name() -> None:
    assert not [one for one in rules() if re.search(r"\b(default|fallback)\b|processor=", one["expr"])]


def test_the_objectives_are_held_at_the_buckets_that_are_nearest() -> None:
    text = (PROMETHEUS / "recording.yml").read_text()
    finite = [float(bound) for bound in BOUNDS[:-1]]
    used = {metric: float(bound) for metric, bound in re.findall(r'engine_(\w+)_seconds_bucket\{le="([\d.]+)"', text)}
    assert used == {
        "accepting": min(finite, key=lambda bound: abs(bound - ACCEPTING_S)),
        "settling": min(finite, key=lambda bound: abs(bound - SETTLING_S)),
    }


def test_each_alert_says_how_bad_it_is_and_with_which_figure_and_where_its_runbook_is() -> None:
    for name, alert in alerts().items():
        said = alert["annotations"]
        assert alert["labels"]["severity"] in ("page", "ticket") and said.keys() == {
            "summary", "description", "runbook_url",
        }, name  # fmt: skip
        document, anchor = said["runbook_url"].split("#")
        assert document == "docs/operations.md" and name.lower().startswith(anchor)


def runbooks() -> dict[str, str]:
    """The sections of the handbook between `## Runbooks` and the next one of its rank, by their names."""
    text = HANDBOOK.read_text().partition("\n## Runbooks\n")[2].partition("\n## ")[0]
    names = re.split(r"^### (.+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(names[::2], names[1::2], strict=True))


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    anchors = {one["annotations"]["runbook_url"].partition("#")[2] for one in alerts().values()}
    assert anchors == {heading.lower() for heading in runbooks()}


def test_the_handbook_says_of_each_alert_whether_it_has_fired_for_real() -> None:
    followed, _, rest = HANDBOOK.read_text().partition("\n## Followed\n")[2].partition("**Tried on series alone**")
    fired = {word for line in followed.splitlines() if "FIRES" in line for word in re.findall(r"\w+", line)}
    alone = set(re.findall(r"\w+", rest.partition("\n\n")[0]))
    assert {name for name in alerts() if (name in fired) == (name in alone)} == set()


@pytest.mark.parametrize("name", runbooks())
def test_a_runbook_says_what_it_means_where_to_look_what_to_do_and_when_to_stop(name: str) -> None:
    text = runbooks()[name]
    places = [text.find(part) for part in PARTS]
    assert places == sorted(places) and places[0] >= 0
