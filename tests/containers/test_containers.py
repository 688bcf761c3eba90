"""The containers as a grader starts them: order, owners, rights, and payments through port 9999, whatever the volumes.

`make containers` runs this after its contest, while engine and processors are there. The tests stand in the order in
which they run: each kind of volumes costs a new start.
"""

from __future__ import annotations

import pytest

from tests.containers import running
from tests.system.client import client, wait_until

pytestmark = [
    pytest.mark.skipif(not running.is_there(), reason="`make containers` runs it, with Docker, or podman as root"),
    pytest.mark.timeout(600),
]
USER = "10001:10001"


def check_owners() -> None:
    for directory, service in (("/run/engine", "nginx"), ("/dev/shm", "nginx"), ("/var/lib/engine", "api-0")):
        owner, mode = running.inside(service, "stat", "-c", "%u:%g %a", directory).stdout.split()
        assert owner == USER, f"{directory} in {service}"
        assert int(mode, 8) & 0o022 == 0, f"{directory} in {service} has mode {mode}"


def check_payments() -> None:
    """Pays and compares both sides; then both forget."""
    before = running.summary().count
    paid = running.pay()
    assert running.summary().count == before + len(paid)
    assert running.summary() == running.processors_totals()
    running.forget()


def test_services_start_in_the_order_in_which_they_depend_on_each_other() -> None:
    for before, after in zip(running.ORDER, running.ORDER[1:], strict=False):
        assert max(running.moment(one, "StartedAt") for one in before) <= min(
            running.moment(one, "StartedAt") for one in after
        )


def test_the_health_check_of_every_service_that_has_one_is_content() -> None:
    running.wait_until_ready()


@pytest.mark.parametrize("service", running.SERVICES)
def test_a_service_is_an_ordinary_user_without_rights_who_cannot_write_its_files(service: str) -> None:
    said = running.inside(
        service, "sh", "-c", "id -u; id -g; grep -E 'CapEff|NoNewPrivs' /proc/1/status"
    ).stdout.split()
    assert said == [*USER.split(":"), "CapEff:", "0" * 16, "NoNewPrivs:", "1"]
    for place in ("/x", "/etc/x"):
        assert "Read-only file system" in running.inside(service, "touch", place).stderr


def test_the_image_has_the_product_and_neither_compiler_nor_tests() -> None:
    there = running.inside("api-0", "sh", "-c", "ls /app /app/engine/lab; command -v gcc cc; ls /build ~root/.cache")
    found = set(there.stdout.split())
    assert found == {"/app:", "engine", "/app/engine/lab:", "__init__.py", "__pycache__", "options.py", "simulate"}


def test_with_new_volumes_what_was_paid_is_equal_on_both_sides_and_forgotten_on_both() -> None:
    assert running.summary() == running.processors_totals()
    check_owners()
    check_payments()


def test_what_was_paid_outlives_a_kill_of_every_process_but_nginx() -> None:
    paid = running.pay()
    for service in running.ENGINE_SERVICES:
        running.tool("kill", "--signal", "KILL", running.container(service))
    for service in running.ENGINE_SERVICES:
        running.tool("start", running.container(service))
    running.wait_until_ready()
    with client(running.PORT) as shop:
        assert all(shop.status(payment).json()["status"] == "completed" for payment in paid)
    check_owners()
    check_payments()


def test_every_service_stops_when_it_is_told_to_and_says_that_it_ended_well() -> None:
    running.compose("stop")
    assert {one: running.inspect(one)["State"]["ExitCode"] for one in running.SERVICES} == dict.fromkeys(
        running.SERVICES, 0
    )


@pytest.mark.skipif(not running.stops_in_order(), reason="podman-compose stops all services at once")
def test_services_have_stopped_in_the_reverse_order_of_their_start() -> None:
    for before, after in zip(running.ORDER, running.ORDER[1:], strict=False):
        assert min(running.moment(one, "FinishedAt") for one in before) >= max(
            running.moment(one, "FinishedAt") for one in after
        )


def test_nginx_may_be_the_first_to_have_the_volumes() -> None:
    running.compose("down", "--volumes")
    running.compose("up", "-d", "--no-build", "--no-deps", "nginx")
    wait_until(lambda: running.is_answering(503), running.READY_SECONDS_MAX, "nginx answers alone")
    running.compose("up", "-d", "--no-build")
    running.wait_until_ready()
    check_owners()
    check_payments()
