"""The limits are the compose file's own, and a file that has none is refused with the service's name."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.lab.machine.limits import Limit, LimitsError, of_compose, of_compose_file

SERVICE = "services:\n  {name}: {{deploy: {{resources: {{limits: {{cpus: {cpus}, memory: {memory}}}}}}}}}\n"


def test_the_shipped_file_has_limits_for_every_service_and_keeps_the_contests() -> None:
    found = of_compose_file()
    assert set(found) == {"nginx", "api-0", "api-1", "dispatcher"}
    assert sum(limit.cpus for limit in found.values()) <= Decimal("1.5")
    assert sum(limit.memory_bytes for limit in found.values()) <= 350 << 20


@pytest.mark.parametrize(
    ("memory", "size"), [("70M", 70 << 20), ("1g", 1 << 30), ("512kb", 512 << 10), ("4096", 4096), ("9B", 9)]
)
def test_sizes_are_read_as_docker_reads_them(memory: str, size: int) -> None:
    text = SERVICE.format(name="a", cpus="'0.35'", memory=memory)
    assert of_compose(text) == {"a": Limit(Decimal("0.35"), size)}


@pytest.mark.parametrize(
    ("cpus", "memory"), [("none", "70M"), ("0", "70M"), ("-1", "70M"), ("NaN", "70M"), ("0.4", "70 M"), ("0.4", "lots")]
)
def test_what_is_no_limit_is_refused_with_the_services_name(cpus: str, memory: str) -> None:
    with pytest.raises(LimitsError, match=r"^api-7: "):
        of_compose(SERVICE.format(name="api-7", cpus=f"'{cpus}'", memory=f"'{memory}'"))


@pytest.mark.parametrize("text", ["", "services: 3", "services: {a: {image: b}}", "a: [", "services: {a: null}"])
def test_a_file_without_limits_is_refused(text: str) -> None:
    with pytest.raises(LimitsError):
        of_compose(text)
