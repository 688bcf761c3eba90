"""The dashboard is made from code, shows what exists, and has everything that is about money."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from engine.console.families import BY_NAME
from ops.grafana import dashboard
from tests.ops.conftest import Promtool
from tests.ops.test_rules import PROMETHEUS, ROOT, metrics, rules

MADE = dashboard.dashboard()
PANELS: list[dict[str, Any]] = [one for one in MADE["panels"] if one["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
GRAFANA = ROOT / "ops" / "grafana"
KINDS = {"row", "stat", "table", "timeseries", "state-timeline"}
UNITS = {"none", "percentunit", "bytes", "s", "reqps", "wps", "bool_yes_no", "bool_on_off"}  # Grafana's ids


def test_the_file_is_what_the_code_makes() -> None:
    assert dashboard.FILE.read_text() == dashboard.text(), "run .venv/bin/python -m ops.grafana.dashboard"


def test_every_metric_that_is_shown_exists_and_all_are_shown() -> None:
    named = metrics(" ".join(EXPRESSIONS))
    assert named <= BY_NAME.keys()
    aids = {"engine_build_info", "engine_journal_slots", "engine_ring_slots"}  # they say what runs, and sizes
    counted = {"engine_nginx_connections_accepted_total", "engine_nginx_connections_handled_total"}
    rest = BY_NAME.keys() - named - aids - counted - {"engine_nginx_requests_total", "engine_nginx_up"}
    assert rest <= {"engine_failed_cents_total", "engine_charged_before_cents_total"}, rest


def test_every_recorded_metric_that_is_shown_is_recorded() -> None:
    recorded = {one["record"] for one in rules() if "record" in one}
    assert set(re.findall(r"\bengine:[\w:]+", " ".join(EXPRESSIONS))) <= recorded


def test_prometheus_can_read_every_query(tmp_path: Any, promtool: Promtool) -> None:
    plain = [re.sub(r"\$__rate_interval", "1m", one).replace("$instance", ".*").replace("$processor", ".*")
             for one in EXPRESSIONS]  # fmt: skip
    group = {"name": "dashboard", "rules": [{"record": f"shown:{n}", "expr": one} for n, one in enumerate(plain)]}
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [group]}))
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_in_what_unit(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".") and panel["targets"]
    assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"]


def test_the_file_has_the_members_that_grafana_s_schema_wants() -> None:
    """As ``kinds/dashboard/dashboard_kind.cue`` and ``valueFormats/categories.ts`` of Grafana 10 have them."""
    assert MADE["graphTooltip"] in (0, 1, 2) and MADE["schemaVersion"] == 39 and MADE["timezone"] == "utc"
    assert len({one["id"] for one in MADE["panels"]}) == len(MADE["panels"])
    for one in MADE["panels"]:
        at = one["gridPos"]
        assert one["type"] in KINDS and 0 < at["w"] <= 24 and 0 <= at["x"] < 24 and at["h"] > 0 <= at["y"], one["title"]
    for panel in PANELS:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]
        assert panel["datasource"] == dashboard.SOURCE, panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["type"] == "table" or defaults["unit"] in UNITS, panel["title"]
        first, *steps = [one["value"] for one in defaults.get("thresholds", {"steps": [{"value": None}]})["steps"]]
        assert first is None and steps == sorted(steps), panel["title"]
    for variable in MADE["templating"]["list"]:
        assert variable["type"] == "query" and variable["query"]["query"] == variable["definition"]
    for annotation in MADE["annotations"]["list"]:
        assert annotation.keys() >= {"name", "datasource", "enable", "iconColor", "expr"}


def test_no_panel_lies_on_another_one() -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= dashboard.COLUMNS
        return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}

    for one, other in combinations(MADE["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_nothing_names_a_processor() -> None:
    assert not re.search(r"\b(fallback|processor=\"\w)", dashboard.text())
    assert {one["name"] for one in MADE["templating"]["list"]} == {"instance", "processor"}
    assert any(one.get("repeat") == "processor" for one in MADE["panels"])


def test_money_is_shown_first_and_in_the_unit_of_people() -> None:
    first, *_ = (one["title"] for one in MADE["panels"] if one["type"] == "row")
    assert first == "Money"
    for expr in EXPRESSIONS:
        if re.search(r"engine_(?:settled_cents_total|net_cents|unknown_cents|reconcile_differing_cents)", expr):
            assert "/ 100" in expr or "engine_fee_cents" in expr, expr


def test_what_is_provisioned_is_where_the_containers_have_it() -> None:
    ops = yaml.safe_load((ROOT / "docker-compose.ops.yml").read_text())["services"]
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/engine.yml").read_text())["providers"][0]
    assert source["uid"] == dashboard.SOURCE["uid"] and source["url"] == "http://prometheus:9090"
    mounts = dict(one.split(":")[:2][::-1] for one in ops["grafana"]["volumes"])
    assert mounts[f"{provider['options']['path']}/engine.json"] == "./ops/grafana/engine.json"
    files = {one.split(":")[0].removeprefix("./") for one in ops["prometheus"]["volumes"] if one.startswith("./")}
    assert all((ROOT / name).is_file() for name in files)
    named = {"prometheus.yml", *yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["rule_files"]}
    assert {f"ops/prometheus/{name}" for name in named} < files
