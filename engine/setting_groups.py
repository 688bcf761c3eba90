"""The variables, grouped by what they set; see :mod:`engine.settings`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from engine.processors import CONTEST_NAMES, FEE_UNKNOWN_PPM, Processor, parse_fees, parse_urls
from engine.variables import variable


# fmt: off
@dataclass(frozen=True)
class ProcessorSettings:
    """Which processors there are, and what is known of them."""

    listed: str = variable(
        "ENGINE_PROCESSORS", "", "", 0, 2400,
        "The processors, in the order in which they are shown; empty: the contest's two, at the next two addresses.",
        "processors",
    )
    url_default: str = variable(
        "PAYMENT_PROCESSOR_URL_DEFAULT", "http://127.0.0.1:8001", "", 1, 255,
        "Where the default processor is.", "url",
    )
    url_fallback: str = variable(
        "PAYMENT_PROCESSOR_URL_FALLBACK", "http://127.0.0.1:8002", "", 1, 255,
        "Where the fallback processor is.", "url",
    )
    fee_default_ppm: int = variable(
        "ENGINE_FEE_DEFAULT_PPM", -1, "ppm of the amount", -1, 1_000_000,
        "The fee of default; -1: not known (fees that are not known are assumed: docs/routing.md).",
    )
    fee_fallback_ppm: int = variable(
        "ENGINE_FEE_FALLBACK_PPM", -1, "ppm of the amount", -1, 1_000_000,
        "The fee of fallback; -1: not known.",
    )
    fees_ppm: str = variable(
        "ENGINE_FEES_PPM", "", "ppm of the amount", 0, 400,
        "Fees of ENGINE_PROCESSORS; one that is not named has the fee of the two variables above, or none.",
        "fees",
    )
    fee_query: bool = variable(
        "ENGINE_FEE_QUERY", False, "", 0, 1,
        "1: fees that are not known are queried at the processors, under `/admin`: the contest forbids that.",
    )
    token: str = variable(
        "ENGINE_PROCESSOR_TOKEN", "123", "", 0, 256,
        "Token for queries of the processors' fees and sums (header `X-Rinha-Token`).", "printable",
    )

    @cached_property
    def all(self) -> tuple[Processor, ...]:
        """The processors in the order of their numbers."""
        urls = parse_urls(self.listed) or dict(
            zip(CONTEST_NAMES, (self.url_default, self.url_fallback), strict=True)
        )
        fees = dict(zip(CONTEST_NAMES, (self.fee_default_ppm, self.fee_fallback_ppm), strict=True))
        fees |= parse_fees(self.fees_ppm)
        return tuple(Processor(name, url.rstrip("/"), fees.get(name, FEE_UNKNOWN_PPM)) for name, url in urls.items())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the processors."""
        return tuple(processor.name for processor in self.all)

    @property
    def urls(self) -> list[str]:
        """Where each is: an origin or a base path, without a slash at the end."""
        return [processor.url for processor in self.all]


@dataclass(frozen=True)
class HostSettings:
    """What the engine uses on its machine."""

    name: str = variable(
        "ENGINE_NAME", "engine", "", 1, 64,
        "Prefix of the shared-memory segments; engines with different names do not see each other.", "name",
    )
    run_dir_set: str = variable(
        "ENGINE_RUN_DIR", "", "", 0, 80,
        "Directory of the Unix sockets, the doorbell and nginx's files, the engine's own; empty: `/tmp/engine-UID`.",
    )
    run_group: str = variable(
        "ENGINE_RUN_GROUP", "", "", 0, 32,
        "Group whose members may reach the Unix sockets: that of an nginx of another user; empty: the engine's own.",
        "printable",
    )
    port: int = variable(
        "ENGINE_PORT", 9999, "TCP port", 1, 65_535,
        "Where nginx listens under `up`; the containers' port is in `nginx.conf`.",
    )
    client_rate: int = variable(
        "ENGINE_CLIENT_RATE", 0, "requests/s", 0, 1_000_000,
        "How many requests of one client nginx lets through in a second under `up`; more get 429. 0: all of them.",
    )
    nginx_include: str = variable(
        "ENGINE_NGINX_INCLUDE", "", "", 0, 200,
        "A directory; nginx reads its `*.conf` into its server under `up`, such as `ops/nginx/tls.conf`. Empty: none.",
        "printable",
    )
    api_processes: int = variable(
        "ENGINE_API_PROCESSES", 2, "processes", 1, 16,
        "API processes, each with a ring of its own.",
    )

    @property
    def run_dir(self) -> str:
        """The run directory; by default one for each user, because whoever makes it first has it."""
        return self.run_dir_set or f"/tmp/engine-{os.geteuid()}"

    def api_socket(self, index: int) -> str:
        """Path of the Unix socket of API process ``index``."""
        return f"{self.run_dir}/api-{index}.sock"

    @property
    def doorbell_path(self) -> str:
        """Path of the named pipe that wakes the dispatcher."""
        return f"{self.run_dir}/doorbell"


@dataclass(frozen=True)
class StorageSettings:
    """What is kept, how long, and what it survives."""

    durability: str = variable(
        "ENGINE_DURABILITY", "memory", "", 1, 7,
        "What a payment with a 202 survives: `memory`: processes; `disk`: containers too; `sync`: loss of power too; "
        "`cluster`: what the store that cells share survives (docs/cluster.md).", "memory|disk|sync|cluster",
    )
    data_dir: str = variable(
        "ENGINE_DATA_DIR", "", "", 0, 200,
        "Directory of rings and books; `disk` and `sync` need it. It must be on a local disk or a volume of one.",
    )
    ring_slots: int = variable(
        "ENGINE_RING_SLOTS", 65_536, "payments", 64, 1 << 22,
        "Slots of each API process's ring: what can wait, and how many past payments are remembered.",
        "power of two",
    )
    id_memory: int = variable(
        "ENGINE_ID_MEMORY", 0, "payments", 0, 4_000_000_000,
        "Ids of this many past payments are recognised after the rings forget them, and looked up first; 0: off.",
    )
    parked_slots: int = variable(
        "ENGINE_PARKED_SLOTS", 4096, "payments", 8, 1 << 20,
        "Payments that can be parked; when all places are taken, further ones keep their slots.", "power of two",
        was="ENGINE_ASIDE_SLOTS",
    )
    books_recent_seconds: int = variable(
        "ENGINE_BOOKS_RECENT_SECONDS", 300, "s", 30, 86_400,
        "How far back a window of `/payments-summary` is exact to the millisecond.",
    )
    books_horizon_hours: int = variable(
        "ENGINE_BOOKS_HORIZON_HOURS", 24, "h", 1, 720,
        "How far back a window is exact to the second; totals are kept for ever.",
    )


@dataclass(frozen=True)
class LedgerSettings:
    """Whether what happens is recorded, where, and for how long."""

    mode: str = variable(
        "ENGINE_LEDGER", "off", "", 3, 7,
        "`off`: nothing is recorded; `best`: what happens is recorded, and nothing waits for it; `require`: a slot is "
        "used again, and a purge carried out, only when SQL has what was there.", "off|best|require",
    )
    journal_slots: int = variable(
        "ENGINE_JOURNAL_SLOTS", 1 << 18, "records", 1024, 1 << 24,
        "Records of the journal, 64 bytes each, one or more for a payment. What is not read in time is lost.",
        "power of two",
    )
    url_set: str = variable(
        "ENGINE_LEDGER_URL", "", "", 0, 500,
        "The ledger's database; empty: SQLite, `NAME-ledger.db` in ENGINE_DATA_DIR, or without one in ENGINE_RUN_DIR.",
        "database",
    )
    retention_days: int = variable(
        "ENGINE_LEDGER_RETENTION_DAYS", 0, "days", 0, 36_500,
        "How long the ledger keeps what is over; 0: for ever.",
    )

    reconcile_seconds: int = variable(
        "ENGINE_RECONCILE_SECONDS", 0, "s", 0, 2_592_000,
        "How often to compare ledger and processors' sums, under `/admin`: the contest forbids that; 0: never.",
    )

    @property
    def is_on(self) -> bool:
        """Whether anything is recorded."""
        return self.mode != "off"

    @property
    def is_required(self) -> bool:
        """Whether slots, parked places and purges wait until SQL has what became of their payments."""
        return self.mode == "require"


@dataclass(frozen=True)
class IntakeSettings:
    """Which payments are accepted."""

    body_bytes_max: int = variable(
        "ENGINE_BODY_BYTES_MAX", 4096, "bytes", 128, 4096,
        "Longest request body that is read; a longer one gets 413. `nginx.conf` has its own limit, which is higher.",
    )
    amount_cents_max: int = variable(
        "ENGINE_AMOUNT_CENTS_MAX", 10**11, "cents", 1, 10**12,
        "Largest amount of one payment; a larger one gets 400.",
    )
    purge: bool = variable(
        "ENGINE_PURGE", False, "", 0, 1,
        "1: every client may call `POST /purge-payments` (the contest); 0: only with the admin token.",
    )
    admin_token: str = variable(
        "ENGINE_ADMIN_TOKEN", "", "", 0, 256,
        "Token for `POST /purge-payments` (header `X-Engine-Token`); empty: no token is accepted.",
        "printable",
    )


@dataclass(frozen=True)
class RoutingSettings:
    """Where payments go. :class:`engine.routing.router.Router` gets this group as it is."""

    in_flight_max: int = variable(
        "ENGINE_IN_FLIGHT_MAX", 800, "requests", 1, 800,
        "Most requests in flight at each processor, and most connections kept to it.",
    )
    in_flight_min: int = variable(
        "ENGINE_IN_FLIGHT_MIN", 16, "requests", 1, 800,
        "Lowest limit of requests in flight that congestion control sets at a processor.",
    )
    health_interval_ms: int = variable(
        "ENGINE_HEALTH_INTERVAL_MS", 5050, "ms", 5000, 3_600_000,
        "From the end of one health query to the next; a processor allows one in 5 s, measured at its end.",
    )
    breaker_failures: int = variable(
        "ENGINE_BREAKER_FAILURES", 3, "failures", 1, 1000,
        "Failed payments in a row that open a processor's breaker; more are needed while it fails at random.",
    )
    probe_interval_ms: int = variable(
        "ENGINE_PROBE_INTERVAL_MS", 150, "ms", 1, 60_000,
        "Time between two probes at a processor that is not healthy.",
        was="ENGINE_TRIAL_INTERVAL_MS",
    )
    probes_max: int = variable(
        "ENGINE_PROBES_MAX", 24, "requests", 1, 800,
        "Most probes in flight at a processor that fails or hangs.",
        was="ENGINE_TRIALS_MAX",
    )
    suspect_ms: int = variable(
        "ENGINE_SUSPECT_MS", 40, "ms", 5, 60_000,
        "An answer that is overdue by this much makes its processor suspect: only probes go there.",
    )
    wait_cost_ppm: int = variable(
        "ENGINE_WAIT_COST_PPM", 2_000, "ppm of the amount a second", 0, 10_000_000,
        "The cost of a second of waiting: high for a shop that wants its money now, low for the lowest fees.",
    )
    wait_share_ppm: int = variable(
        "ENGINE_WAIT_SHARE_PPM", 45_000, "ppm of all settled", 0, 1_000_000,
        "Most payments at a cheaper processor that is slow, or waiting for it beyond what the other could settle.",
    )
    wait_max_ms: int = variable(
        "ENGINE_WAIT_MAX_MS", 10_000, "ms", 0, 86_400_000,
        "Longest time that a payment waits for the cheaper processor while the other one is healthy.",
    )
    slow_ms: int = variable(
        "ENGINE_SLOW_MS", 1450, "ms", 1, 600_000,
        "A processor that takes this long is slow: an audit may see a charge before us. Less than an audit's 1.5 s.",
        was="ENGINE_LATE_MS",
    )
    audit_interval_ms: int = variable(
        "ENGINE_AUDIT_INTERVAL_MS", 10_000, "ms", 100, 86_400_000,
        "Expected time between audits, until two of them have shown it.",
    )
    audit_guard_ms: int = variable(
        "ENGINE_AUDIT_GUARD_MS", 150, "ms", 0, 60_000,
        "A payment is not sent to a slow processor if it would be settled this close to an expected audit.",
    )


@dataclass(frozen=True)
class DispatchSettings:
    """How payments are sent and given up, and the dispatcher's pacing."""

    connect_timeout_ms: int = variable(
        "ENGINE_CONNECT_TIMEOUT_MS", 1000, "ms", 10, 60_000,
        "How long connecting to a processor may take. A payment that never left is not charged.",
    )
    request_timeout_ms: int = variable(
        "ENGINE_REQUEST_TIMEOUT_MS", 10_000, "ms", 100, 600_000,
        "How long an answer is waited for; then the outcome is unknown and the payment stays with that processor.",
    )
    give_up_seconds: int = variable(
        "ENGINE_GIVE_UP_SECONDS", 86_400, "s", 1, 31_536_000,
        "Age at which a payment that was certainly not charged is given up as failed.",
    )
    refusals_max: int = variable(
        "ENGINE_REFUSALS_MAX", 5, "refusals", 1, 15,
        "A payment that each processor itself refuses this often (400, 404, 413 ...) has failed.",
    )
    park_seconds: int = variable(
        "ENGINE_PARK_SECONDS", 20, "s", 1, 86_400,
        "Age at which a payment that is unknown, or has a back-off of its own, is parked and gives its slot back.",
        was="ENGINE_ASIDE_SECONDS",
    )
    dead_letter_seconds: int = variable(
        "ENGINE_DEAD_LETTER_SECONDS", 86_400, "s", 1, 31_536_000,
        "How long an outcome may be unknown. Then it is only looked up, and a person decides (`dead-letters`).",
    )
    pause_ms: int = variable(
        "ENGINE_DISPATCH_PAUSE_MS", 60, "ms", 0, 1000,
        "Longest pause of the dispatcher between two passes: longer uses less CPU, shorter settles sooner.",
    )
    target_batch: int = variable(
        "ENGINE_DISPATCH_TARGET_BATCH", 12, "payments", 1, 4096,
        "Payments that should come during a pause: more use less CPU, fewer meet a processor that begins to fail.",
        was="ENGINE_DISPATCH_GATHER",
    )
    batch: int = variable(
        "ENGINE_DISPATCH_BATCH", 64, "payments", 1, 4096,
        "Most payments that are sent, and most that are settled, in one pass of the dispatcher.",
    )
    nice: int = variable(
        "ENGINE_DISPATCHER_NICE", 19, "nice", 0, 19,
        "Niceness of the dispatcher: the processes that answer clients go first.",
    )
    drain_seconds: int = variable(
        "ENGINE_DRAIN_SECONDS", 5, "s", 0, 3600,
        "How long a stop waits for accepted payments to settle; the others stay in the rings.",
    )
# fmt: on
