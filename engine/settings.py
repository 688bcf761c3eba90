"""Everything that can be set from outside, in one table.

The two processor URLs keep the contest's names; everything else is an environment variable with the prefix ``ENGINE_``.
``tuning.md`` shows the same table (a test compares the two). Reading is pure: the environment is handed in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from engine.addresses import normalized

PREFIX = "ENGINE_"
PROCESSOR_URL_NAMES = ("PAYMENT_PROCESSOR_URL_DEFAULT", "PAYMENT_PROCESSOR_URL_FALLBACK")


class SettingsError(Exception):
    """The environment names something unknown or gives a value that cannot be used. Holds one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Parameters:
      field: the attribute of :class:`Settings` that it sets.
      name: the environment variable.
      default: its value when the environment does not have it; its type (int, str, bool) is the variable's type.
      unit: the unit of the value, ``""`` for none.
      low, high: inclusive bounds of an integer, or of the length of a text.
      effect: what it does, in a sentence.
      check: ``""``, ``"power of two"``, ``"url"``, ``"name"``, ``"printable"``, or the words that
        are allowed, separated by ``|``.
    """

    field: str
    name: str
    default: int | str | bool
    unit: str
    low: int
    high: int
    effect: str
    check: str = ""

    @property
    def bounds(self) -> str:
        """The bounds as people write them."""
        if isinstance(self.default, bool):
            return "0 or 1"
        if isinstance(self.default, str):
            if "|" in self.check:
                return ", ".join(self.check.split("|"))
            shown = {"url": "http://host[:port]", "name": "letters, digits, - and _", "printable": "ASCII"}
            return shown.get(self.check, "text")
        return f"{self.low} to {self.high}" + (f", a {self.check}" if self.check else "")

    def parse(self, text: str) -> int | str | bool:
        """The value of ``text``. Raises ValueError with a reason."""
        if isinstance(self.default, bool):
            if text not in ("0", "1"):
                raise ValueError("must be 0 or 1")
            return text == "1"
        if isinstance(self.default, int):
            if not re.fullmatch(r"-?[0-9]{1,18}", text):
                raise ValueError("must be a whole number")
            number = int(text)
            if not self.low <= number <= self.high:
                raise ValueError(f"must be {self.low} to {self.high}")
            if self.check == "power of two" and number & (number - 1):
                raise ValueError("must be a power of two")
            return number
        if not self.low <= len(text) <= self.high:
            raise ValueError(f"must have {self.low} to {self.high} characters")
        if "|" in self.check and text not in self.check.split("|"):
            raise ValueError(f"must be one of {self.bounds}")
        if self.check == "printable" and not re.fullmatch(r"([!-~]([ -~]*[!-~])?)?", text):
            raise ValueError("may hold printable ASCII characters only, and no space at an end")
        if self.check == "url":
            _check_url(text)
        if self.check == "name" and not re.fullmatch(r"[A-Za-z0-9_-]+", text):
            raise ValueError("may hold letters, digits, - and _ only")
        return text


def _check_url(text: str) -> None:
    """Raises ValueError unless ``text`` is a bare http(s) origin, which is all that a processor's address may be."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be like http://host:port")
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError("must not have a path")
    _ = parts.port, normalized(text)  # raise ValueError when it is no port, and no address in brackets


# fmt: off
VARIABLES: tuple[Variable, ...] = (
    Variable("url_default", "PAYMENT_PROCESSOR_URL_DEFAULT", "http://127.0.0.1:8001", "", 1, 255,
             "Where the default processor is.", "url"),
    Variable("url_fallback", "PAYMENT_PROCESSOR_URL_FALLBACK", "http://127.0.0.1:8002", "", 1, 255,
             "Where the fallback processor is.", "url"),
    Variable("name", "ENGINE_NAME", "engine", "", 1, 64,
             "Prefix of the shared-memory segments; engines with different names do not see each other.", "name"),
    Variable("run_dir", "ENGINE_RUN_DIR", "/tmp/engine", "", 1, 80,
             "Directory of the Unix sockets, the doorbell and nginx's files."),
    Variable("durability", "ENGINE_DURABILITY", "memory", "", 1, 6,
             "What a 202 survives: `memory` every process, `disk` the containers too, `sync` loss of power too.",
             "memory|disk|sync"),
    Variable("data_dir", "ENGINE_DATA_DIR", "", "", 0, 200,
             "Directory of rings and books with `disk` and `sync`, which need it: on a local disk or a volume of one."),
    Variable("port", "ENGINE_PORT", 9999, "TCP port", 1, 65_535,
             "Where nginx listens under `up`; the containers' port is in `nginx.conf`."),
    Variable("api_processes", "ENGINE_API_PROCESSES", 2, "processes", 1, 16,
             "API processes, each with a ring of its own."),
    Variable("ring_slots", "ENGINE_RING_SLOTS", 65_536, "payments", 64, 1 << 22,
             "Slots of each API process's ring: what can wait, and how many past payments are remembered.",
             "power of two"),
    Variable("id_memory", "ENGINE_ID_MEMORY", 0, "payments", 0, 4_000_000_000,
             "How many payments back an id is recognised after its ring forgot it, and looked up first; 0: off."),
    Variable("body_bytes_max", "ENGINE_BODY_BYTES_MAX", 4096, "bytes", 128, 4096,
             "Longest request body that is read; beyond it 413. `nginx.conf` has its own, which lies above."),
    Variable("amount_cents_max", "ENGINE_AMOUNT_CENTS_MAX", 10**11, "cents", 1, 10**12,
             "Largest amount of one payment; beyond it 400."),
    Variable("purge", "ENGINE_PURGE", False, "", 0, 1,
             "1: anybody may call `POST /purge-payments` (the contest); 0: only with the admin token."),
    Variable("admin_token", "ENGINE_ADMIN_TOKEN", "", "", 0, 256,
             "Token for `POST /purge-payments` (header `X-Engine-Token`); empty: no token is accepted.",
             "printable"),
    Variable("in_flight_max", "ENGINE_IN_FLIGHT_MAX", 800, "requests", 1, 800,
             "Most requests in flight at each processor, and most connections kept to it."),
    Variable("in_flight_min", "ENGINE_IN_FLIGHT_MIN", 16, "requests", 1, 800,
             "Congestion control goes no lower: requests in flight at a processor that is slow because of us."),
    Variable("connect_timeout_ms", "ENGINE_CONNECT_TIMEOUT_MS", 1000, "ms", 10, 60_000,
             "How long connecting to a processor may take. A payment that never left is not charged."),
    Variable("request_timeout_ms", "ENGINE_REQUEST_TIMEOUT_MS", 10_000, "ms", 100, 600_000,
             "How long an answer is waited for; after it the outcome is unknown and stays with that processor."),
    Variable("health_interval_ms", "ENGINE_HEALTH_INTERVAL_MS", 5050, "ms", 5000, 3_600_000,
             "From the end of one health question to the next; a processor allows one in 5 s, measured at its end."),
    Variable("breaker_failures", "ENGINE_BREAKER_FAILURES", 3, "failures", 1, 1000,
             "Payments that fail in a row and open a processor's breaker; more while it fails at random."),
    Variable("trial_interval_ms", "ENGINE_TRIAL_INTERVAL_MS", 150, "ms", 1, 60_000,
             "Time between two trial payments at a processor that is not well."),
    Variable("trials_max", "ENGINE_TRIALS_MAX", 24, "requests", 1, 800,
             "Most trial payments in flight at a processor that fails or hangs."),
    Variable("suspect_ms", "ENGINE_SUSPECT_MS", 40, "ms", 5, 60_000,
             "An answer that is overdue by this much makes its processor suspect: only trials go there."),
    Variable("fee_default_ppm", "ENGINE_FEE_DEFAULT_PPM", -1, "ppm of the amount", -1, 1_000_000,
             "What default keeps; -1: not known (fees that are not known are assumed, see below)."),
    Variable("fee_fallback_ppm", "ENGINE_FEE_FALLBACK_PPM", -1, "ppm of the amount", -1, 1_000_000,
             "What fallback keeps; -1: not known."),
    Variable("fee_query", "ENGINE_FEE_QUERY", False, "", 0, 1,
             "1: a processor whose fee is not known is asked for it, under `/admin`: the contest forbids that."),
    Variable("processor_token", "ENGINE_PROCESSOR_TOKEN", "123", "", 0, 256,
             "Token with which the processors are asked for their fees (header `X-Rinha-Token`).", "printable"),
    Variable("wait_cost_ppm", "ENGINE_WAIT_COST_PPM", 2_000, "ppm of the amount a second", 0, 10_000_000,
             "What a second of waiting costs: high for a shop that wants its money now, low for the lowest fees."),
    Variable("wait_share_ppm", "ENGINE_WAIT_SHARE_PPM", 45_000, "ppm of all settled", 0, 1_000_000,
             "Most payments at a cheaper processor that is late, or waiting for it beyond what the other settles."),
    Variable("wait_max_ms", "ENGINE_WAIT_MAX_MS", 10_000, "ms", 0, 86_400_000,
             "Longest time that a payment waits for the cheaper processor while the other one is well."),
    Variable("late_ms", "ENGINE_LATE_MS", 1450, "ms", 1, 600_000,
             "A processor that takes this long is late: an audit may see what we do not know. Below an audit's 1.5 s."),
    Variable("audit_interval_ms", "ENGINE_AUDIT_INTERVAL_MS", 10_000, "ms", 100, 86_400_000,
             "Expected time between audits, until two of them have shown it."),
    Variable("audit_guard_ms", "ENGINE_AUDIT_GUARD_MS", 150, "ms", 0, 60_000,
             "Nothing is sent to a late processor that would be settled this close to an expected audit."),
    Variable("give_up_seconds", "ENGINE_GIVE_UP_SECONDS", 86_400, "s", 1, 31_536_000,
             "Age at which a payment that was certainly not charged is given up as failed."),
    Variable("refusals_max", "ENGINE_REFUSALS_MAX", 5, "refusals", 1, 15,
             "A payment that each processor has refused this often for what it is (400, 404, 413 ...) has failed."),
    Variable("aside_seconds", "ENGINE_ASIDE_SECONDS", 20, "s", 1, 86_400,
             "Age at which a payment that is unknown, or has a back-off of its own, no longer holds its ring's slot."),
    Variable("aside_slots", "ENGINE_ASIDE_SLOTS", 4096, "payments", 8, 1 << 20,
             "Payments that can be put aside; when that is full the rest keep their slots.", "power of two"),
    Variable("dispatch_pause_ms", "ENGINE_DISPATCH_PAUSE_MS", 60, "ms", 0, 1000,
             "Longest rest of the dispatcher between two batches: longer is cheaper, shorter settles sooner."),
    Variable("dispatch_gather", "ENGINE_DISPATCH_GATHER", 12, "payments", 1, 4096,
             "How many shall come during a rest: more is cheaper, fewer are lost on a processor that begins to fail."),
    Variable("dispatch_batch", "ENGINE_DISPATCH_BATCH", 64, "payments", 1, 4096,
             "Most payments that are sent, and most that are settled, in one go of the dispatcher."),
    Variable("dispatcher_nice", "ENGINE_DISPATCHER_NICE", 19, "nice", 0, 19,
             "Niceness of the dispatcher: what answers a client goes first."),
    Variable("books_recent_seconds", "ENGINE_BOOKS_RECENT_SECONDS", 300, "s", 30, 86_400,
             "How far back a window of `/payments-summary` is exact to the millisecond."),
    Variable("books_horizon_hours", "ENGINE_BOOKS_HORIZON_HOURS", 24, "h", 1, 720,
             "How far back a window is exact to the second; totals are kept for ever."),
    Variable("drain_seconds", "ENGINE_DRAIN_SECONDS", 5, "s", 0, 3600,
             "How long a stop waits for accepted payments to settle; the rest stays in the rings."),
)
# fmt: on


@dataclass(frozen=True)
class Settings:
    """The values of :data:`VARIABLES`; see there for units and effects."""

    url_default: str
    url_fallback: str
    name: str
    run_dir: str
    durability: str
    data_dir: str
    port: int
    api_processes: int
    ring_slots: int
    id_memory: int
    body_bytes_max: int
    amount_cents_max: int
    purge: bool
    admin_token: str
    in_flight_max: int
    in_flight_min: int
    connect_timeout_ms: int
    request_timeout_ms: int
    health_interval_ms: int
    breaker_failures: int
    trial_interval_ms: int
    trials_max: int
    suspect_ms: int
    fee_default_ppm: int
    fee_fallback_ppm: int
    fee_query: bool
    processor_token: str
    wait_cost_ppm: int
    wait_share_ppm: int
    wait_max_ms: int
    late_ms: int
    audit_interval_ms: int
    audit_guard_ms: int
    give_up_seconds: int
    refusals_max: int
    aside_seconds: int
    aside_slots: int
    dispatch_pause_ms: int
    dispatch_gather: int
    dispatch_batch: int
    dispatcher_nice: int
    books_recent_seconds: int
    books_horizon_hours: int
    drain_seconds: int

    @property
    def processor_urls(self) -> tuple[str, str]:
        """Origins of default and fallback, without a slash at the end."""
        return self.url_default.rstrip("/"), self.url_fallback.rstrip("/")

    def api_socket(self, index: int) -> str:
        """Path of the Unix socket of API process ``index``."""
        return f"{self.run_dir}/api-{index}.sock"

    @property
    def doorbell_path(self) -> str:
        """Path of the named pipe that wakes the dispatcher."""
        return f"{self.run_dir}/doorbell"


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that ``environment`` asks for.

    Raises SettingsError that names every unknown ``ENGINE_`` variable and every bad value at once.
    """
    problems = []
    known = {variable.name for variable in VARIABLES}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            problems.append(f"{name}: unknown; tuning.md lists the variables")
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        text = environment.get(variable.name)
        if text is None:
            values[variable.field] = variable.default
            continue
        try:
            values[variable.field] = variable.parse(text)
        except ValueError as error:
            problems.append(f"{variable.name}={text!r}: {error}")
    if not problems:
        problems = _contradictions(Settings(**values))
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


def _contradictions(settings: Settings) -> list[str]:
    """What is wrong with values that are fine each by itself."""
    problems = []
    if settings.durability != "memory" and not os.path.isabs(settings.data_dir):
        problems.append(
            f"ENGINE_DATA_DIR={settings.data_dir!r}: ENGINE_DURABILITY={settings.durability} needs the absolute path "
            "of a directory on a local disk"
        )
    default, fallback = map(normalized, settings.processor_urls)
    if default == fallback:
        problems.append(f"{' and '.join(PROCESSOR_URL_NAMES)} are one and the same: {default}")
    return problems


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment that :func:`read` turns into ``settings``: how a parent hands its settings to a child."""
    names = {variable.field: variable.name for variable in VARIABLES}
    result = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        result[names[field.name]] = str(int(value)) if isinstance(value, bool) else str(value)
    return result
