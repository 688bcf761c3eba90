"""docker-compose.ops.yml: only this machine reaches it, no secret has a default, and everything has limits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.supervise.nginx import WATCHED_FILE
from tests.ops.test_rules import ROOT

TEXT = (ROOT / "docker-compose.ops.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
ADDED = ("ledger", "reconcile", "console", "nginx-log", "prometheus", "grafana", "ledger-database")


def test_every_port_is_on_loopback() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "console": ["127.0.0.1:9998:9998"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_no_password_has_a_default() -> None:
    named = re.findall(r"\$\{(\w*PASSWORD\w*)(.)([^}]*)", TEXT)
    assert {name for name, _, _ in named} == {"ENGINE_LEDGER_PASSWORD", "GRAFANA_PASSWORD"}
    assert all(mark == ":" and rest.startswith("?") for _, mark, rest in named)


@pytest.mark.parametrize("name", ADDED)
def test_a_service_has_limits_a_bounded_log_and_a_new_start_after_a_crash(name: str) -> None:
    service = SERVICES[name]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["restart"] == "unless-stopped" and service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", ["console", "prometheus", "grafana", "ledger-database"])
def test_what_others_ask_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", ["reconcile", "console", "nginx-log", "prometheus"])
def test_who_watches_has_no_right_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_console_and_reconcile_agree_on_how_often_it_is_compared() -> None:
    one, other = (SERVICES[name]["environment"]["ENGINE_RECONCILE_SECONDS"] for name in ("reconcile", "console"))
    assert one == other


def test_nginx_and_who_reads_its_log_agree_on_where_it_is_and_how_many_requests_are_told() -> None:
    nginx, reader = SERVICES["nginx"], SERVICES["nginx-log"]
    assert nginx["environment"].items() <= reader["environment"].items()
    where = "nginx-log:" + str(Path(WATCHED_FILE).parent)
    assert where in nginx["volumes"] and where in reader["volumes"]
    mounted = {one.split(":")[0]: one.split(":")[1] for one in nginx["volumes"] if one.startswith("./")}
    assert all((ROOT / name).is_file() and f"/etc/nginx/{Path(name).name}" == at for name, at in mounted.items())
    assert nginx["command"] == ["bash", mounted["./ops/nginx/start.sh"]]


def test_reconcile_is_stopped_by_what_the_first_process_of_a_container_cannot_miss() -> None:
    assert SERVICES["reconcile"]["stop_signal"] == "SIGKILL"


def test_keys_of_the_console_outlive_it_where_nobody_else_reads_them() -> None:
    place = SERVICES["console"]["environment"]["ENGINE_CONSOLE_KEYS_FILE"].rpartition("/")[0]
    assert f"console:{place}" in SERVICES["console"]["volumes"] and place in (ROOT / "Dockerfile").read_text()
    others = [one for name, service in SERVICES.items() if name != "console" for one in service.get("volumes", ())]
    assert not [one for one in others if str(one).startswith("console:")]
    assert yaml.safe_load(TEXT)["volumes"]["console"] is None, "it is on disk, and stays"
