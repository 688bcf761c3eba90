"""The floor is the shipped nginx with nothing behind it, and every process is counted with its service."""

from __future__ import annotations

import pytest

from engine.lab.bench.sides import floor_conf, service_of
from engine.supervise import nginx

SHIPPED = nginx.find_conf().read_text()


def directives(conf: str) -> list[str]:
    """The lines that are no comments, up to the serving part."""
    lines = [line.strip() for line in conf[: conf.index("\nhttp {")].splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_floor_has_the_workers_and_events_of_the_engine() -> None:
    found = floor_conf(SHIPPED, port=18080, run_dir="/tmp/x")
    shipped = [line.replace("/run/engine/", "/tmp/x/") for line in directives(SHIPPED)]
    assert directives(found) == shipped and any(line.startswith("worker_processes ") for line in shipped)


def test_the_floor_answers_itself_and_leaves_the_shipped_place_alone() -> None:
    found = floor_conf(SHIPPED, port=18080, run_dir="/tmp/x")
    assert "listen 18080 " in found and "return 202;" in found
    assert "proxy_pass" not in found and nginx.SHIPPED_RUN_DIR not in found


def test_a_file_that_serves_bytes_will_do_too_and_one_that_serves_nothing_will_not() -> None:
    assert floor_conf("worker_processes 2;\nstream {\n}\n", port=1, run_dir="/x").startswith("worker_processes 2;\n")
    with pytest.raises(nginx.ConfError):
        floor_conf("worker_processes 1;\n", port=1, run_dir="/x")


@pytest.mark.parametrize(
    ("role", "service"),
    [("nginx", "nginx"), ("nginx worker", "nginx"), ("api 1", "api-1"), ("dispatcher", "dispatcher")],
)
def test_the_service_of_a_process(role: str, service: str) -> None:
    assert service_of(role) == service


def test_the_supervisor_belongs_to_no_service() -> None:
    assert service_of("supervisor") is None
