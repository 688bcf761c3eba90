"""What the console shows of a real engine is what the books have, and what becomes of it disturbs nobody."""

from __future__ import annotations

import csv
import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from engine.console.families import FAMILIES, Kind
from engine.lab.machine.processes import CONSOLE
from tests.cost.counting import clean_environment
from tests.lab.simulate.processes import REPOSITORY, Processors, processors
from tests.system.client import Payment, client, new_payments, wait_until
from tests.system.running import Engine, engine, free_port

READY_SECONDS_MAX = 30.0
SCRAPES = 20
SCRAPE_CPU_SECONDS_MAX = 0.02
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# Shown only while there is something to show, or where it is switched on.
SOMETIMES = {"engine_health_failing", "engine_health_age_seconds"}
SOMETIMES |= {family.name for family in FAMILIES if family.name.startswith("engine_cell")}


class Console:
    """The console of a running engine."""

    def __init__(self, running: Engine, port: int) -> None:
        self.running = running
        self.port = port

    def get(self, path: str, accept: str = "") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Accept": accept} if accept else {})
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read().decode()
        finally:
            connection.close()

    def is_up(self) -> bool:
        try:
            return self.get("/healthz") == "ok\n"
        except OSError:
            return False

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.get("/metrics")))

    def samples(self) -> list[Sample]:
        return [sample for one in self.families() for sample in one.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name with these labels."""
        return sum(one.value for one in self.samples() if one.name == name and labels.items() <= one.labels.items())


@pytest.fixture(scope="module")
def simulated() -> Iterator[Processors]:
    with processors() as made:
        yield made


@pytest.fixture(scope="module")
def console(simulated: Processors) -> Iterator[Console]:
    port = free_port()
    settings = {
        "ENGINE_CONSOLE": "1",
        "ENGINE_CONSOLE_PORT": str(port),
        "ENGINE_LEDGER": "best",
        "ENGINE_RECONCILE_SECONDS": "86400",
    }
    with engine(simulated, ENGINE_FEES_PPM="default=50000,fallback=150000", **settings) as running:
        made = Console(running, port)
        wait_until(made.is_up, READY_SECONDS_MAX, "the console answers")
        yield made


def until(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, READY_SECONDS_MAX, what)


def pay(console: Console, count: int) -> list[Payment]:
    """New payments, accepted and settled."""
    payments = new_payments(count)
    with client(console.running.port) as shop:
        for payment in payments:
            assert shop.pay(payment).status == 202
        until(lambda: shop.pending() == 0, "all are settled")
    return payments


def test_a_scrape_agrees_with_what_was_paid_to_the_payment_and_the_cent(console: Console) -> None:
    names = {
        "engine_payments_accepted_total": 150, "engine_accepting_seconds_count": 151,
        "engine_payments_duplicate_total": 1, "engine_payments_refused_total": 1,
    }  # fmt: skip
    before = {name: console.value(name) for name in names}
    payments = pay(console, 150)
    with client(console.running.port) as shop:
        assert shop.pay(payments[0]).status == 202  # again
        assert shop.request("POST", "/payments", b"{}").status == 400
        summary = shop.summary()
    assert {name: console.value(name) - before[name] for name in names} == names
    assert console.value("engine_payments_refused_total", reason="invalid") >= 1
    settled = sum(total.count for total in summary.values())
    until(lambda: console.value("engine_settling_seconds_count") == settled, "the dispatcher has counted them")
    for name, total in summary.items():
        assert console.value("engine_payments_settled_total", processor=name) == total.count
        assert console.value("engine_settled_cents_total", processor=name) == total.cents
        assert console.value("engine_settling_seconds_count", processor=name) == total.count
        assert console.value("engine_requests_total", processor=name, outcome="charged") == total.count
    default, fallback = (summary[name].cents for name in ("default", "fallback"))
    assert console.value("engine_net_cents") == pytest.approx(default * 0.95 + fallback * 0.85, abs=1)
    assert console.value("engine_payments_pending") == console.value("engine_unknown_payments") == 0


def test_every_metric_is_there_and_no_other(console: Console) -> None:
    pay(console, 1)
    until(lambda: console.value("engine_ledger_attempts_total") > 0, "the ledger has carried something")
    kinds = {"counter": Kind.COUNTER, "gauge": Kind.GAUGE, "histogram": Kind.HISTOGRAM}
    found = {one.name + ("_total" if one.type == "counter" else ""): one for one in console.families()}
    assert {family.name for family in FAMILIES} - found.keys() <= SOMETIMES
    for family in FAMILIES:
        if family.name in found:
            one = found.pop(family.name)
            assert (kinds[one.type], one.documentation) == (family.kind, family.help)
            for sample in one.samples:
                assert {*sample.labels} - {"le"} == {*family.labels}
    assert not found


def test_both_formats_are_whole_for_the_official_parsers(console: Console) -> None:
    text = console.get("/metrics", OPENMETRICS)
    assert text.endswith("# EOF\n")
    parsed = list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    assert {one.name for one in parsed} >= {one.name for one in console.families()} - SOMETIMES


def test_the_ledgers_samples_say_how_long_accepting_took(console: Console) -> None:
    command = [sys.executable, "-m", "engine", "report", "samples", "--by", "day", "--format", "csv"]

    def rows() -> list[dict[str, str]]:
        settings = clean_environment(console.running.place.settings)
        done = subprocess.run(command, cwd=REPOSITORY, env=settings, capture_output=True, text=True, check=True)
        return list(csv.DictReader(done.stdout.splitlines()))

    pay(console, 1)
    until(lambda: console.value("engine_ledger_attempts_total") > 0, "the ledger looks")
    pay(console, 20)
    until(lambda: any(row["accept_p50_us"] for row in rows()), "a second with payments is over")
    assert all(0 < int(row["accept_p50_us"]) <= int(row["accept_p99_us"]) for row in rows())


def test_every_process_says_what_it_uses_and_nginx_how_many_it_serves(console: Console) -> None:
    for name in ("api-0", "api-1", "dispatcher", "ledger", "console"):
        assert console.value("engine_process_starts_total", process=name) == 1
        assert console.value("engine_process_resident_bytes", process=name) > 1 << 20
        assert console.value("engine_process_descriptors", process=name) > 3
    assert console.value("engine_nginx_up") == 1 and console.value("engine_nginx_requests_total") > 0
    assert console.value("engine_up") == 1


def test_a_scrape_takes_less_than_20_ms_of_cpu(console: Console) -> None:
    # CPU time and not a clock: the machine may have much else to do.
    process = psutil.Process(console.running.pid(CONSOLE))
    console.get("/metrics")
    before = sum(process.cpu_times()[:2])
    for _ in range(SCRAPES):
        console.get("/metrics")
    assert (sum(process.cpu_times()[:2]) - before) / SCRAPES < SCRAPE_CPU_SECONDS_MAX


def test_the_memory_of_the_engine_cannot_be_written_by_the_console(console: Console) -> None:
    maps = psutil.Process(console.running.pid(CONSOLE)).memory_maps(grouped=False)
    assert not [one.path for one in maps if console.running.place.name in one.path and "w" in one.perms]


def test_a_killed_console_is_started_again_and_payments_go_on(console: Console) -> None:
    pid = console.running.send_signal(CONSOLE, signal.SIGKILL)
    pay(console, 20)
    until(console.is_up, "another console answers")
    assert console.running.pid(CONSOLE) != pid


def test_after_a_killed_dispatcher_the_counts_go_on(console: Console) -> None:
    pay(console, 1)
    until(lambda: console.value("engine_requests_total", outcome="charged") > 0, "the first are counted")
    before = console.value("engine_requests_total", outcome="charged")
    pid = console.running.send_signal("dispatcher", signal.SIGKILL)
    console.running.wait_for_another("dispatcher", pid)
    pay(console, 20)
    until(lambda: console.value("engine_requests_total", outcome="charged") >= before + 20, "they are counted")
    assert console.value("engine_process_starts_total", process="dispatcher") == 2


def test_an_engine_whose_consoles_port_is_taken_serves(simulated: Processors) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with (
            engine(simulated, ENGINE_CONSOLE="1", ENGINE_CONSOLE_PORT=port) as running,
            client(running.port) as shop,
        ):
            until(lambda: "console ended with 1" in running.place.said(), "it has given up once")
            assert shop.pay(new_payments(1)[0]).status == 202
            until(lambda: shop.pending() == 0, "it is settled")
