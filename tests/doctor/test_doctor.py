"""The doctor finds each fault by its name, and nothing on a good deployment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from engine import settings as settings_module
from engine.doctor import finding, machine, processors, running
from engine.doctor import settings as settings_checks
from engine.doctor.finding import Finding, Grade
from engine.lab.launch import free_ports
from engine.memory import layout
from engine.processors import Processor
from engine.settings import Settings
from engine.storage import filesystem, mapping
from engine.storage.disks import Room
from tests.doctor.served import PROCESSOR, Manner, certificate, server
from tests.lab.simulate import processes
from tests.storage import remembered
from tests.system import running as engines
from tests.system.client import wait_until

PAST, FUTURE = "20200101000000Z", "20990101000000Z"


def read(**variables: str) -> Settings:
    return settings_module.read(variables)


def wrongs(findings: Sequence[Finding]) -> dict[str, str]:
    """What is wrong, by name."""
    return {one.name: one.what for one in findings if one.grade is Grade.WRONG}


def with_processors(*ports: int, scheme: str = "http", **variables: str) -> Settings:
    first, second = ports if len(ports) == 2 else (*ports, *free_ports(1))
    return read(
        PAYMENT_PROCESSOR_URL_DEFAULT=f"{scheme}://localhost:{first}",
        PAYMENT_PROCESSOR_URL_FALLBACK=f"{scheme}://localhost:{second}",
        **variables,
    )


@contextlib.contextmanager
def answering(manner: Manner, **variables: str) -> Iterator[list[Finding]]:
    """What is found of a processor that answers so, beside a good one."""
    with server(manner) as port, server(Manner(PROCESSOR)) as other:
        yield processors.look(with_processors(port, other, **variables), is_asking=False)


# --- processors ------------------------------------------------------------------------------------------------------


def test_processors_that_are_well_have_nothing_wrong() -> None:
    with answering(Manner(PROCESSOR), ENGINE_FEE_QUERY="1") as found:
        assert not wrongs(found)
        assert {one.name for one in found} == {
            "default", "default clock", "default token", "fallback", "fallback clock", "fallback token", "addresses",
        }  # fmt: skip


def test_an_address_where_something_else_answers() -> None:
    with answering(Manner({"/": (200, {"welcome": "to nginx"})})) as found:
        assert "no processor" in wrongs(found)["default"] and wrongs(found).keys() == {"default"}


def test_a_processor_that_does_not_tell_its_health() -> None:
    with answering(Manner({**PROCESSOR, "/payments/service-health": (500, "")})) as found:
        assert "does not tell its health" in wrongs(found)["default"]


def test_a_processor_that_says_that_it_fails() -> None:
    health = {"/payments/service-health": (200, {"failing": True, "minResponseTime": 3})}
    with answering(Manner({**PROCESSOR, **health})) as found:
        assert "says that it fails" in wrongs(found)["default"]


def test_a_wrong_token() -> None:
    with answering(Manner({**PROCESSOR, "/admin/": (401, {})}), ENGINE_FEE_QUERY="1") as found:
        assert "refuses the token" in wrongs(found)["default token"]


@pytest.mark.parametrize("seconds", [-5, 5])
def test_a_clock_that_is_five_seconds_off(seconds: float) -> None:
    with answering(Manner(PROCESSOR, seconds)) as found:
        assert ("ahead of" if seconds > 0 else "behind") in wrongs(found)["default clock"]
        assert "fallback clock" not in wrongs(found)


def test_nobody_at_an_address() -> None:
    found = processors.look(with_processors(*free_ports(2)), is_asking=False)
    assert wrongs(found).keys() == {"default", "fallback"} and "cannot connect" in wrongs(found)["default"]


def test_a_name_that_does_not_resolve() -> None:
    with server(Manner(PROCESSOR)) as port:
        settings = read(
            PAYMENT_PROCESSOR_URL_DEFAULT="http://nobody.invalid:8080",
            PAYMENT_PROCESSOR_URL_FALLBACK=f"http://localhost:{port}",
        )
        found = processors.look(settings, is_asking=False)
    assert wrongs(found) == {"default": "the name nobody.invalid is not found"}


def test_two_names_of_one_address() -> None:
    (found,) = processors.same_place([Processor("a", "http://127.0.0.1:80"), Processor("b", "http://localhost:80")])
    assert found.grade is Grade.WRONG and "a and b are both at 127.0.0.1 port 80" in found.what
    apart = [Processor("a", "http://127.0.0.1:80/a"), Processor("b", "http://localhost:80/b")]
    assert [one.grade for one in processors.same_place(apart)] == [Grade.GOOD]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
@pytest.mark.parametrize(
    ("begin", "end", "is_trusted", "said"),
    [
        (PAST, FUTURE, True, ""),
        (PAST, FUTURE, False, "self-signed certificate"),
        (PAST, "20200102000000Z", True, "certificate has expired"),
    ],
)
def test_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: str, end: str, is_trusted: bool, said: str
) -> None:
    made = certificate(tmp_path, begin, end)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "signed.pem"))
        assert ssl.get_default_verify_paths().cafile == str(tmp_path / "signed.pem")
    with server(Manner(PROCESSOR), made) as first, server(Manner(PROCESSOR), made) as second:
        found = wrongs(processors.look(with_processors(first, second, scheme="https"), is_asking=False))
    assert found.keys() == ({"default", "fallback"} if said else set())
    assert all("no TLS that can be trusted" in what and said in what for what in found.values())


# --- the machine -----------------------------------------------------------------------------------------------------


def test_too_little_room_for_the_memory() -> None:
    settings = read(ENGINE_NAME="doctor-no-engine")
    needed = machine.needed_bytes(settings)
    assert machine.room(settings, lambda _: needed).grade is Grade.GOOD
    found = machine.room(settings, lambda _: needed - 1)
    assert found.grade is Grade.WRONG and "/dev/shm" in found.what and "shm_size" in found.do


def test_the_room_that_is_needed_is_what_an_engine_takes(tmp_path: Path) -> None:
    # Sizes of which some are no powers of two, so that nothing is right by chance.
    settings = read(
        ENGINE_NAME="doctor-room", ENGINE_DURABILITY="disk", ENGINE_DATA_DIR=str(tmp_path), ENGINE_RING_SLOTS="128",
        ENGINE_ID_MEMORY="1000", ENGINE_API_PROCESSES="3", ENGINE_PARKED_SLOTS="16",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filesystem, "complaint", lambda _: "")
        opened = [mapping.open_books(settings), *mapping.open_rings(settings)]
        ids = mapping.open_ids(settings, opened[1])
        assert ids is not None
    for segment in (*opened, ids):
        segment.close()
    taken = sum(path.stat().st_size for path in tmp_path.glob("doctor-room-*"))
    assert machine.needed_bytes(settings) == taken
    assert machine.room(settings, lambda _: 0).grade is Grade.GOOD  # it has all of it


def test_a_data_directory_in_memory() -> None:
    settings = read(ENGINE_DURABILITY="disk", ENGINE_DATA_DIR="/dev/shm")
    found = wrongs([*machine.directories(settings)])
    assert "on tmpfs" in found["file system"]


def test_a_data_directory_in_a_container_s_own_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = filesystem.Mount(tmp_path.stat().st_dev, "/", "overlay")
    monkeypatch.setattr(filesystem, "mounted", lambda: [layer])
    found = wrongs([*machine.directories(read(ENGINE_DURABILITY="disk", ENGINE_DATA_DIR=str(tmp_path)))])
    assert found.keys() == {"file system"} and "on overlay, a container's own layer" in found["file system"]


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_directory_that_others_may_change(mode: int) -> None:
    with tempfile.TemporaryDirectory() as short:  # a run directory has a short name
        os.chmod(short, mode)
        variables = {"ENGINE_RUN_DIR": short, "ENGINE_DURABILITY": "disk", "ENGINE_DATA_DIR": short}
        found = wrongs([*machine.directories(read(**variables))])
    for name in ("run directory", "data directory"):
        assert f"has mode {stat.S_IMODE(mode):o}" in found[name]


def test_a_disk_that_is_nearly_full() -> None:
    rooms = [("memory", Room(0, 100)), ("run", Room(10, 100)), ("ledger", Room(9, 100)), ("data", Room(0, 0))]
    assert [(one.name, one.grade) for one in machine.left(rooms)] == [
        ("run disk", Grade.GOOD), ("ledger disk", Grade.WRONG),
    ]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_a_directory_of_another_user(tmp_path: Path) -> None:
    os.chown(tmp_path, 12_345, -1)
    settings = read(ENGINE_DURABILITY="disk", ENGINE_DATA_DIR=str(tmp_path), ENGINE_NAME="doctor-owner")
    found = wrongs(machine.look(settings))
    assert "user 12345" in found["owner"] and "belongs to user 12345" in found["data directory"]


def test_too_few_descriptors() -> None:
    settings = read(ENGINE_IN_FLIGHT_MAX="100")
    assert machine.descriptors(settings, 328).grade is Grade.GOOD
    assert machine.descriptors(settings, 327).grade is Grade.WRONG


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"ENGINE_SLOW_MS": "1450", "ENGINE_REQUEST_TIMEOUT_MS": "1400"},
        {"ENGINE_PARK_SECONDS": "60", "ENGINE_GIVE_UP_SECONDS": "30"},
        {"ENGINE_ID_MEMORY": "1000"},
        {"ENGINE_PURGE": "1", "ENGINE_ADMIN_TOKEN": "secret-7f3a"},
    ],
)
def test_settings_that_fight(variables: dict[str, str]) -> None:
    (found,) = wrongs(settings_checks.look(read(**variables))).values()
    assert any(name in found for name in variables) and "secret-7f3a" not in found


def test_settings_that_go_together() -> None:
    assert not wrongs(settings_checks.look(read()))


def test_an_id_memory_that_is_too_small_for_the_time_in_which_shops_repeat() -> None:
    settings = read(ENGINE_ID_MEMORY="1000000")
    assert settings_checks.look_at_memory(settings, None, None).grade is Grade.NOTE
    assert settings_checks.look_at_memory(settings, 1, 277).grade is Grade.GOOD
    found = settings_checks.look_at_memory(settings, 1, 278)
    assert found.grade is Grade.WRONG and "ENGINE_ID_MEMORY=1000800" in found.do


def test_rings_that_are_too_small_for_the_time_in_which_shops_repeat_where_there_is_no_id_memory() -> None:
    settings = read(ENGINE_RING_SLOTS="4096", ENGINE_API_PROCESSES="2")
    assert settings_checks.look_at_memory(settings, 1, 2).grade is Grade.GOOD
    found = settings_checks.look_at_memory(settings, 1, 3)
    assert found.grade is Grade.WRONG and "ENGINE_ID_MEMORY=10800" in found.do


# --- the running engine ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("heartbeat_ms", "grade"), [(0, Grade.WRONG), (6_999, Grade.WRONG), (7_000, Grade.GOOD)])
def test_a_dispatcher_that_does_not_move(heartbeat_ms: int, grade: Grade) -> None:
    assert running.dispatcher(heartbeat_ms, 10_000).grade is grade


@pytest.mark.parametrize(
    ("version", "said"), [(1, "not of one version"), (2, "not of one version"), (99, "version 99")]
)
def test_memory_of_another_version(tmp_path: Path, version: int, said: str) -> None:
    settings = read(ENGINE_NAME="shop", ENGINE_DURABILITY="disk", ENGINE_DATA_DIR=str(tmp_path), **remembered.SIZES)
    for part, words in remembered.segments(min(version, 2), "filled").items():
        if version == 99:
            words[layout.BOOKS_LAYOUT_AT if part == "books" else layout.RING_LAYOUT_AT] = version
        (tmp_path / f"shop-{part}").write_bytes(words.tobytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert said in wrongs(running.look_inside(settings, lambda: 0))["memory"]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before  # nothing is changed


@pytest.mark.parametrize(("security", "is_wrong"), [([{"token": []}], False), ([{"token": []}, {}], True)])
def test_a_purge_that_is_open_on_a_public_port(
    monkeypatch: pytest.MonkeyPatch, security: list[dict[str, list[str]]], is_wrong: bool
) -> None:
    monkeypatch.setattr(running, "_own_addresses", lambda: ["127.0.0.1"])
    api = {"paths": {"/purge-payments": {"post": {"security": security}}}}
    with server(Manner({"/health": (200, {"reasons": []}), "/openapi.json": (200, api)})) as port:
        found = wrongs([*running.look_outside(read(ENGINE_PORT=str(port)), "127.0.0.1", pays=False)])
    assert ("purge" in found) == is_wrong


def test_an_engine_that_is_in_trouble_and_one_that_is_not_there() -> None:
    with server(Manner({"/health": (200, {"reasons": ["ring 0 is full"], "ledger": {"lagMs": 90_000}})})) as port:
        found = wrongs([*running.look_outside(read(ENGINE_PORT=str(port)), "127.0.0.1", pays=False)])
        assert "ring 0 is full" in found["serving"] and "90 s behind" in found["ledger lag"]
    (gone,) = running.look_outside(read(ENGINE_PORT=str(port)), "127.0.0.1", pays=True)
    assert gone.grade is Grade.WRONG and gone.name == "serving"


def doctor(variables: dict[str, str], *words: str) -> tuple[int, list[Finding]]:
    """The command's exit code and findings."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ENGINE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "engine", "doctor", "--json", *words], env=environment | variables,
        capture_output=True, text=True, timeout=120, check=False, cwd=processes.REPOSITORY,
    )  # fmt: skip
    assert not ended.stderr
    document = json.loads(ended.stdout)
    assert document["ok"] == (ended.returncode == 0)
    return ended.returncode, [
        Finding(one["name"], Grade(one["grade"]), one["what"], one["do"] or "") for one in document["findings"]
    ]


def test_a_good_deployment_has_nothing_wrong_and_a_ledger_of_another_engine_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with (
        processes.processors() as simulated,
        engines.engine(simulated, ENGINE_LEDGER="best", ENGINE_LEDGER_URL=url, ENGINE_PURGE="0") as engine,
    ):
        variables = engine.place.settings
        wait_until(lambda: (tmp_path / "ledger.db").exists(), 30, "the ledger is made")
        wait_until(lambda: not wrongs(doctor(variables)[1]), 60, "nothing is wrong")
        code, found = doctor(variables, "--pay", "--retry-hours", "1", "--rate", "10")
        assert code == 0 and not wrongs(found)
        names = {one.name for one in found}
        assert names >= {"owner", "room", "memory", "dispatcher", "serving", "payment", "ledger", "retries", "default"}
        assert sum(len(list(one.charged())) for one in (simulated.default, simulated.fallback)) == 1

        for other in (f"sqlite:///{tmp_path}/none.db", "postgresql://nobody@127.0.0.1:1/none"):
            code, found = doctor(variables | {"ENGINE_LEDGER_URL": other})
            # On a busy machine a processor may be slow for a moment, which is said of what serves.
            assert code == 1 and wrongs(found).keys() - {"serving"} == {"ledger"}
    code, found = doctor(variables | {"ENGINE_NAME": "another"})
    assert code == 1 and "another" in wrongs(found)["ledger"]


def test_bad_settings_are_findings() -> None:
    code, found = doctor({"ENGINE_RING_SLOTS": "7", "ENGINE_RING_SLOT": "128"})
    assert code == 1 and len(wrongs(found)) == 1 and len(found) == 2


def test_what_is_wrong_stands_at_the_end() -> None:
    told = finding.text(
        [finding.wrong("a", "it is off", "switch it on"), finding.note("b", "so"), finding.good("c", "ok")]
    )
    assert told.split("\n") == [
        "good   c: ok", "note   b: so", "wrong  a: it is off", "       -> switch it on", "", "3 looked at, 1 is wrong.",
    ]  # fmt: skip
