"""docker-compose.yml keeps the contest's rules, and the engine accepts every setting in it."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import settings
from engine.memory import journal_layout, layout
from engine.memory.words import WORD_BYTES
from engine.storage import sizes

ROOT = Path(__file__).resolve().parents[1]
CPUS_MAX = Decimal("1.5")
MEMORY_MB_MAX = 350
PROCESSOR_NETWORK = "payment-processor"
MEMORY_VOLUME = {"type": "volume", "source": "memory", "target": "/dev/shm", "volume": {"nocopy": True}}
FORBIDDEN = ("privileged", "network_mode", "ipc", "pid", "replicas", "scale", "mode")
ENGINE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CLOSED: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.closed.yml").read_text())
OPS: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.ops.yml").read_text())
PROCESSORS: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.processors.yml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = ENGINE["services"]


# What an API process has beside what it maps, under the contest's load (the containers' own count: 23.4 MB).
API_PROCESS_BYTES = 24 << 20
PAGE_BYTES = 4096


def of_engine_image() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in SERVICES.items() if service["image"].startswith("payment-engine:")}


def of_command(command: str) -> list[dict[str, Any]]:
    return [service for service in of_engine_image().values() if service["command"][0] == command]


def keys(tree: object) -> set[str]:
    """Every key anywhere in ``tree``."""
    if isinstance(tree, dict):
        return set(tree).union(*(keys(value) for value in tree.values()))
    if isinstance(tree, list):
        return set().union(*(keys(value) for value in tree))
    return set()


def read_settings(service: dict[str, Any]) -> settings.Settings:
    """What the engine makes of the service's environment when nobody sets the variables that it takes from outside."""
    return settings.read(
        {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in service["environment"].items()}
    )


def mount_options(volume: str) -> dict[str, str]:
    """The options with which a volume in memory is mounted, by name."""
    driver = ENGINE["volumes"][volume]["driver_opts"]
    assert (driver["type"], driver["device"]) == ("tmpfs", "tmpfs")
    return dict(option.split("=", 1) for option in driver["o"].split(","))


def user_of_image() -> str:
    match = re.search(r"^USER ([1-9][0-9]*:[1-9][0-9]*)$", DOCKERFILE, re.MULTILINE)
    assert match
    return match[1]


def limits(service: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = service["deploy"]["resources"]["limits"]
    return found


def test_every_service_has_limits_and_together_they_are_within_the_contests() -> None:
    memory = [re.fullmatch(r"([0-9]+)M", limits(service)["memory"]) for service in SERVICES.values()]
    assert sum(int(match[1]) for match in memory if match) <= MEMORY_MB_MAX and all(memory)
    assert sum(Decimal(limits(service)["cpus"]) for service in SERVICES.values()) <= CPUS_MAX


def test_two_api_services_at_least_each_with_a_ring_of_its_own() -> None:
    indexes = [int(service["command"][-1]) for service in of_command("api")]
    assert sorted(indexes) == list(range(len(indexes))) and len(indexes) >= 2
    for service in of_engine_image().values():
        assert service["environment"]["ENGINE_API_PROCESSES"] == str(len(indexes))


def test_one_dispatcher_because_the_books_have_one_writer() -> None:
    assert len(of_command("dispatch")) == 1


def test_nothing_that_the_contest_forbids() -> None:
    assert not keys(ENGINE["services"]).intersection(FORBIDDEN)


def test_only_the_load_balancer_is_reached_from_outside_and_on_port_9999() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "nginx": ["9999:9999"]
    }


def test_bridge_networks_only_and_the_processors_network_is_theirs() -> None:
    for name, network in ENGINE["networks"].items():
        if name == PROCESSOR_NETWORK:
            assert network == {"name": PROCESSOR_NETWORK, "external": True}
        else:
            assert network == {"driver": "bridge"}
    assert PROCESSORS["networks"] == {PROCESSOR_NETWORK: {"name": PROCESSOR_NETWORK, "driver": "bridge"}}


def test_only_the_dispatcher_reaches_the_processors() -> None:
    assert [name for name, service in SERVICES.items() if PROCESSOR_NETWORK in service["networks"]] == ["dispatcher"]


@pytest.mark.parametrize("name", sorted(of_engine_image()))
def test_the_engine_accepts_the_settings_of(name: str) -> None:
    assert all(isinstance(value, str) for value in SERVICES[name]["environment"].values())
    assert read_settings(SERVICES[name]).host.run_dir == "/run/engine"


def test_the_contests_file_says_at_its_top_that_purging_is_open() -> None:
    top = (ROOT / "docker-compose.yml").read_text().partition("\nname:")[0]
    assert "For the contest only: purging is open here (ENGINE_PURGE=1)." in " ".join(top.replace("#", " ").split())
    assert "-f docker-compose.yml -f docker-compose.closed.yml" in top


@pytest.mark.parametrize("name", sorted(of_engine_image()))
def test_purging_is_open_in_the_contest_alone(name: str) -> None:
    assert read_settings(SERVICES[name]).intake.purge
    closed = {"environment": SERVICES[name]["environment"] | CLOSED["services"][name]["environment"]}
    assert not read_settings(closed).intake.purge
    assert read_settings(closed).intake.admin_token == ""


def test_whoever_is_told_of_the_containers_is_told_to_close_them() -> None:
    for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        for line in path.read_text().splitlines():
            files = re.findall(r"-f (\S+)", line)
            if re.search(r"\b(docker|podman)[ -]compose\b.* up\b", line) and files != ["docker-compose.processors.yml"]:
                assert "docker-compose.closed.yml" in line, f"{path.name}: {line}"


def test_the_dispatcher_finds_the_processors_by_their_official_names() -> None:
    (dispatcher,) = of_command("dispatch")
    hosts = ("http://payment-processor-default:8080", "http://payment-processor-fallback:8080")
    assert read_settings(dispatcher).processors.urls == list(hosts)


def test_the_published_fees_are_set_and_nobody_is_asked_for_them() -> None:
    (dispatcher,) = of_command("dispatch")
    values = read_settings(dispatcher).processors
    assert (values.fee_default_ppm, values.fee_fallback_ppm, values.fee_query) == (50_000, 150_000, False)


def test_the_simulated_processors_have_the_official_names_and_ports() -> None:
    found = {
        service["hostname"]: (service["container_name"], service["command"][-1], service["ports"])
        for service in PROCESSORS["services"].values()
    }
    assert found == {
        "payment-processor-default": ("payment-processor-default", "8080", ["127.0.0.1:8001:8080"]),
        "payment-processor-fallback": ("payment-processor-fallback", "8080", ["127.0.0.1:8002:8080"]),
    }


def test_api_processes_and_dispatcher_share_sockets_memory_and_files() -> None:
    for service in of_engine_image().values():
        assert service["volumes"] == ["run:/run/engine", MEMORY_VOLUME, "data:/var/lib/engine"]
        assert read_settings(service).storage.data_dir == "/var/lib/engine"


def test_nginx_shares_the_sockets_and_keeps_the_memory_from_going_with_the_last_engine_process() -> None:
    volumes = SERVICES["nginx"]["volumes"]
    assert "run:/run/engine" in volumes and MEMORY_VOLUME | {"read_only": True} in volumes


@pytest.mark.parametrize("volume", ["run", "memory"])
def test_the_volumes_in_memory_belong_to_the_user_that_everything_runs_as_whoever_comes_first(volume: str) -> None:
    options = mount_options(volume)
    assert f"{options['uid']}:{options['gid']}" == SERVICES["nginx"]["user"] == user_of_image()
    assert int(options["mode"], 8) & 0o027 == 0


def test_volumes_without_options_take_their_owner_from_the_image() -> None:
    assert "install -d -o engine -g engine -m 750 /run/engine /var/lib/engine" in DOCKERFILE


def test_shared_memory_has_room_for_rings_and_books_and_fits_the_limit_of_whichever_service_makes_it() -> None:
    blocks = re.fullmatch(r"\$\{MEMORY_BLOCKS:-([0-9]+)k\}", mount_options("memory")["nr_blocks"])
    assert blocks
    room = int(blocks[1]) * 1024 * PAGE_BYTES
    for service in of_engine_image().values():
        asked = sizes.asked(read_settings(service))
        words = asked.shape.words + asked.api_processes * layout.ring_words(asked.ring_slots)
        assert words * WORD_BYTES <= room
        assert API_PROCESS_BYTES + room <= int(limits(service)["memory"].removesuffix("M")) << 20


def test_no_volume_is_given_a_size_that_podman_takes_for_a_quota() -> None:
    for volume in ("run", "memory"):
        assert not {"size", "inodes"} & mount_options(volume).keys()


@pytest.mark.parametrize("tree", [ENGINE, PROCESSORS], ids=["engine", "processors"])
def test_one_service_builds_the_image_and_the_others_take_it_by_its_tag(tree: dict[str, Any]) -> None:
    own = {name: one for name, one in tree["services"].items() if one["image"].startswith("payment-engine:")}
    builders = [name for name, service in own.items() if "build" in service]
    assert len(builders) == 1
    for name, service in own.items():
        assert service["pull_policy"] == ("build" if name in builders else "never")


def test_a_crash_of_any_service_is_followed_by_a_new_start() -> None:
    assert {service["restart"] for service in SERVICES.values()} == {"unless-stopped"}


def test_the_dispatcher_is_given_the_time_to_settle_what_was_accepted() -> None:
    (dispatcher,) = of_command("dispatch")
    seconds = int(dispatcher["stop_grace_period"].removesuffix("s"))
    assert seconds > read_settings(dispatcher).dispatch.drain_seconds


def test_no_service_has_more_rights_than_it_needs() -> None:
    for service in (*SERVICES.values(), *PROCESSORS["services"].values()):
        assert service["cap_drop"] == ["ALL"] and service["read_only"]


def test_every_image_has_a_fixed_tag() -> None:
    images = {service["image"] for tree in (ENGINE, PROCESSORS) for service in tree["services"].values()}
    images |= set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    images |= {service["image"] for service in OPS["services"].values() if "image" in service}  # nginx has one
    images -= set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))
    assert all(re.fullmatch(r"([a-z]+/)?[a-z-]+:v?[0-9][\w.-]*", image) for image in images)


def test_with_the_ledger_all_processes_have_it_and_its_packages() -> None:
    services = OPS["services"]
    own = {*of_engine_image(), "ledger", "reconcile", "console", "nginx-log"}
    assert services.keys() == {*own, "nginx", "ledger-database", "prometheus", "grafana"}
    assert services["dispatcher"]["build"]["target"] == "ops" and "AS ops" in DOCKERFILE
    for name in own:
        service = services[name]
        assert service["image"].startswith("payment-engine-ops:")
        merged = SERVICES.get(name, {}).get("environment", {}) | service["environment"]
        read = read_settings({"environment": {key: value for key, value in merged.items() if key != "PGPASSWORD"}})
        assert read.ledger.is_on and read.ledger_url == "postgresql://engine@ledger-database/engine"


def test_the_ledger_has_the_memory_and_the_rights_of_the_others() -> None:
    ledger, dispatcher = OPS["services"]["ledger"], SERVICES["dispatcher"]
    for key in ("volumes", "restart", "read_only", "cap_drop", "security_opt", "logging"):
        assert ledger[key] == dispatcher[key]
    same = ("ENGINE_RUN_DIR", "ENGINE_API_PROCESSES", "ENGINE_DURABILITY", "ENGINE_DATA_DIR", "ENGINE_FEE_DEFAULT_PPM",
            "ENGINE_FEE_FALLBACK_PPM")  # fmt: skip
    assert [ledger["environment"][name] for name in same] == [dispatcher["environment"][name] for name in same]


def test_with_the_ledger_the_shared_memory_has_room_for_the_journal() -> None:
    blocks = OPS["volumes"]["memory"]["driver_opts"]["o"].split("nr_blocks=${MEMORY_BLOCKS:-")[1].removesuffix("k}")
    read = read_settings(SERVICES["dispatcher"])
    journal = journal_layout.journal_words(read.ledger.journal_slots) * WORD_BYTES
    assert int(blocks) * 1024 * PAGE_BYTES >= int(12 * 1024 * PAGE_BYTES) + journal
