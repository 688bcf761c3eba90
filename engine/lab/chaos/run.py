"""One chaos run: a contest in a world that a driver disturbs, and then the evidence."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from engine.lab import launch
from engine.lab.chaos import checks, evidence, faults, requests
from engine.lab.chaos.apart import SmallMemory
from engine.lab.chaos.checks import Check
from engine.lab.chaos.driver import Driver
from engine.lab.chaos.mounts import MountError
from engine.lab.chaos.name_server import NameServer
from engine.lab.chaos.plan import LEDGER_FULL_S, plan
from engine.lab.chaos.report import Findings
from engine.lab.chaos.requests import Sent
from engine.lab.chaos.surroundings import Surroundings
from engine.lab.chaos.watcher import Watcher
from engine.lab.chaos.world import Shape, World, name_of
from engine.lab.contest import live
from engine.lab.contest.recording import Recording
from engine.lab.contest.run import Contest, ContestError
from engine.lab.contest.samples import LoadError
from engine.lab.contest.scenario import Scenario
from engine.lab.contest.timetable import Clock
from engine.lab.launch import LaunchError
from engine.lab.ledger.place import PlaceError
from engine.lab.machine import processes
from engine.lab.services.addresses import Addresses
from engine.lab.services.service import ServiceError
from engine.memory.errors import SegmentError

if TYPE_CHECKING:
    from engine.lab.chaos.witness import Witness

ASKING_S = 120.0  # starting before the load, and all requests after the settling, take less
ACCEPTED_ASKED_MAX = 1000  # accepted payments whose status is asked for, beside all that saw an error


class ChaosError(Exception):
    """The run cannot be held; the text says why."""


@dataclass(frozen=True)
class Wishes:
    """What is to be done to the world.

    Parameters:
      kills: of processes, the supervisor among them if ``kill_supervisor``.
      troubles: on the way to the processors.
      faults: chance of each fault of the processors, by the names of `engine.lab.simulate.faults.Fault`.
      hang_s: how long a hang lasts.
      durability: ENGINE_DURABILITY.
      fill_disk: the disk of rings and books is full for a while, if a small one can be had.
      bouts: faults of the surroundings.
      within_s: how soon after each the engine must serve.
      is_apart: the run is in a world apart (:mod:`engine.lab.chaos.apart`).
      ledger: where the engine records what happens, one of `engine.lab.ledger.place.KINDS`.
      settle_s: how long the engine may take to settle everything after the last trouble.
      engine_port, processor_ports: where they are to listen; 0 takes a free port.
    """

    kills: int
    kill_supervisor: bool
    troubles: int
    faults: Mapping[str, float]
    hang_s: float
    durability: str
    fill_disk: bool
    bouts: int
    within_s: float
    is_apart: bool
    ledger: str
    settle_s: float
    engine_port: int
    processor_ports: Mapping[str, int]


def hold(scenario: Scenario, wishes: Wishes, seed: int, directory: Path, console: Console) -> Findings:
    """Holds a run and gathers evidence; files go to ``directory``, what happens to ``console``. Raises ChaosError."""
    shape = Shape(
        fees=scenario.fees.by_name,
        durability=wishes.durability,
        recent_s=scenario.load.duration_s + wishes.settle_s + ASKING_S,
        faults={name: chance for name, chance in wishes.faults.items() if chance},
        hang_s=wishes.hang_s,
        has_small_disk=wishes.fill_disk,
        has_names=wishes.is_apart,
        ledger=wishes.ledger,
    )
    known = {name_of(processor): "127.0.0.1" for processor in wishes.processor_ports}
    try:
        with ExitStack() as held:
            name_server = held.enter_context(NameServer(known)) if wishes.is_apart else None
            world = held.enter_context(World(_addresses(wishes), shape, directory, seed))
            surroundings = Surroundings(world, name_server, SmallMemory() if wishes.is_apart else None)
            witness = held.enter_context(_witness(world)) if world.has_ledger else None
            return _hold_on(world, witness, surroundings, scenario, wishes, seed, directory, console)
    except (MountError, PlaceError, ContestError, LaunchError, ServiceError, SegmentError, LoadError, OSError) as error:
        raise ChaosError(str(error)) from error


@contextmanager
def _witness(world: World) -> Iterator[Witness]:
    # Imported here: not every installation has the packages of a ledger, and the command has looked.
    from engine.lab.chaos.witness import Witness
    from engine.ledger.errors import LedgerError

    try:
        with closing(Witness(world)) as witness:
            yield witness
    except LedgerError as error:
        raise ChaosError(str(error)) from error


def _addresses(wishes: Wishes) -> Addresses:
    """The ports that were asked for, and free ones in place of the others."""
    free = launch.free_addresses(wishes.processor_ports)
    origins = {name: f"http://127.0.0.1:{port}" for name, port in wishes.processor_ports.items() if port}
    engine = f"http://127.0.0.1:{wishes.engine_port}" if wishes.engine_port else free.engine
    return Addresses(engine, {**free.processors, **origins})


def _hold_on(
    world: World,
    witness: Witness | None,
    surroundings: Surroundings,
    scenario: Scenario,
    wishes: Wishes,
    seed: int,
    directory: Path,
    console: Console,
) -> Findings:
    events = plan(
        seed,
        scenario.load.duration_s,
        roles=[*world.roles, *([processes.SUPERVISOR] if wishes.kill_supervisor else [])],
        kills=wishes.kills,
        processors=list(world.addresses.processors),
        troubles=wishes.troubles,
        with_faults=any(wishes.faults.values()),
        with_full_disk=world.disk is not None,
        full_s_max=LEDGER_FULL_S if world.has_ledger else float("inf"),
        faults=surroundings.possible,
        bouts=wishes.bouts,
        apis=world.apis,
    )

    def watch(clock: Clock) -> Watcher:
        amount = Decimal(scenario.load.amount_cents) / 100
        return Watcher(world.addresses.engine, [world.socket_of(api) for api in world.apis], amount, clock)

    def tell(line: str) -> None:
        console.print(line, style="magenta", markup=False, highlight=False)

    driver = Driver(world, surroundings, events, tell, watch)
    view = live.view(console)
    contest = Contest(
        scenario, world.addresses, directory, wishes.settle_s, {}, view.show, driver.begin,
        lambda: len(driver.watcher.sent) if driver.watcher is not None else 0,
    )  # fmt: skip
    try:
        contest.prepare()
        with view:
            recording = contest.run()
            if recording.interrupted:
                raise KeyboardInterrupt
            driver.finish()
    finally:
        driver.stop()
        contest.close()
    recording.notes.extend(world.notes)
    assert driver.calm_s is not None, "finished, so that all is calm"
    sent = requests.read((directory / "k6.log").read_text(errors="replace").splitlines())
    all_told = checks.all_told(sent, recording.load.requested if recording.load else None)
    watcher = driver.watcher
    sent += watcher.sent if watcher is not None else []
    served = faults.served(driver.bouts, watcher.samples if watcher is not None else [])
    kills = [*driver.kills, *checks.as_kills(served)]
    blamed = checks.blame(sent, kills, world.apis, recording.begin_epoch_s, scenario.load.timeout_s)
    done = [
        all_told,
        *_questions(world, recording, driver.calm_s, wishes.settle_s, sent, seed),
        checks.errors(blamed),
        checks.carried_out(len(events), len(driver.done), driver.kills),
        checks.own_deaths(world.engine_log, may_collide=world.engine_starts > 1, may_start_anew=bool(wishes.bouts)),
    ]
    if watcher is not None:
        done += [
            checks.serving(served, wishes.bouts, wishes.within_s),
            checks.one_amount(watcher.taken_twice, sum(one.is_accepted for one in watcher.sent)),
        ]
    story = None
    if witness is not None:
        story = witness.story(recording.begin_epoch_s, sent, driver.kills, recording.samples.ordered_ms())
        done += story.checks
    return Findings(
        seed=seed,
        options=_options(wishes) | {"scenario": scenario.name, "seconds": scenario.load.duration_s},
        recording=recording,
        done=driver.done,
        kills=driver.kills,
        served=served,
        calm_s=driver.calm_s,
        resets=world.resets(),
        faults=evidence.fault_counts(world.processors.values()),
        blame=blamed,
        checks=done,
        ledger=story,
    )


def _questions(
    world: World, recording: Recording, calm_s: float, settle_s: float, sent: list[Sent], seed: int
) -> list[Check]:
    """Asks engine and processors, once everything is settled or should be."""
    clock = Clock(recording.begin_epoch_s)
    queues = evidence.await_empty(world.addresses, calm_s + settle_s - clock.now_s())
    # The contest has seen it if all was settled by the time it ended; what is unresolved or parked is pending too.
    end_s, drain_s = recording.end_s, recording.drain_s
    settled_s = clock.now_s() if end_s is None or drain_s is None else end_s + drain_s
    charges = evidence.charges(world.processors)
    # Each ring remembers the last `ring_slots` payments that it took, so these are remembered wherever they are.
    remembered = sent[-world.settings.storage.ring_slots :]
    accepted = [request.correlation_id for request in remembered if request.is_accepted]
    asked = random.Random(f"{seed} statuses").sample(accepted, min(len(accepted), ACCEPTED_ASKED_MAX))
    asked += [request.correlation_id for request in remembered if not request.is_accepted]
    amount_cents = recording.scenario.load.amount_cents
    return [
        *checks.payments(sent, charges, amount_cents),
        *checks.settled(queues, max(settled_s - calm_s, 0.0), settle_s),
        checks.statuses(asked, evidence.statuses(world.addresses, asked), charges),
        checks.books(evidence.audits(world.addresses, recording.scenario.audit, recording.begin_epoch_s, seed)),
    ]


def _options(wishes: Wishes) -> dict[str, object]:
    """What was asked for, as the result has it: a port for each processor."""
    options = asdict(wishes)
    ports: dict[str, int] = options.pop("processor_ports")
    return options | {f"{name}_port": port for name, port in ports.items()}
