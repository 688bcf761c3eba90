"""Everything that can be set from outside: each field of a group is an environment variable.

The two processor URLs keep the contest's names; everything else has the prefix ``ENGINE_``. The table in ``tuning.md``
is made from these variables (`./engine.sh settings --markdown`). Reading is pure: the caller passes the
environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from engine import cluster_settings
from engine.addresses import normalized
from engine.cluster_settings import ClusterSettings
from engine.console_settings import ConsoleSettings
from engine.log_settings import LogSettings
from engine.logs import masking
from engine.logs.logger import Logger
from engine.processors import ROUTED_MAX, one_and_the_same, parse_fees
from engine.setting_groups import (
    DispatchSettings,
    HostSettings,
    IntakeSettings,
    LedgerSettings,
    ProcessorSettings,
    RoutingSettings,
    StorageSettings,
)
from engine.variables import PREFIX, Variable

PREFIXES = (PREFIX, "PAYMENT_PROCESSOR_")
SPARE_DESCRIPTORS = 128  # of the dispatcher, in addition to the connections of payments
NEAR = 0.84  # how much of two names must be equal for one to be taken for the other (difflib's ratio)
PROCESSOR_URL_NAMES = ("PAYMENT_PROCESSOR_URL_DEFAULT", "PAYMENT_PROCESSOR_URL_FALLBACK")

log = Logger(__name__)


class SettingsError(Exception):
    """The environment has an unknown name, or a value that cannot be used. Holds one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Settings:
    """The values of all variables, in their groups; each variable has its unit and effect."""

    processors: ProcessorSettings = field(default_factory=ProcessorSettings)
    host: HostSettings = field(default_factory=HostSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    intake: IntakeSettings = field(default_factory=IntakeSettings)
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    dispatch: DispatchSettings = field(default_factory=DispatchSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    logs: LogSettings = field(default_factory=LogSettings)

    @property
    def ledger_url(self) -> str:
        """The address of the ledger's database."""
        place = self.storage.data_dir or self.host.run_dir
        return self.ledger.url_set or f"sqlite:///{os.path.abspath(place)}/{self.host.name}-ledger.db"

    @property
    def console_keys_file(self) -> str:
        """The file of the console's keys."""
        place = self.storage.data_dir or self.host.run_dir
        return self.console.keys_file_set or f"{os.path.abspath(place)}/{self.host.name}-console-keys"

    @property
    def descriptors_max(self) -> int:
        """The most descriptors that the dispatcher may need."""
        return len(self.processors.all) * self.routing.in_flight_max + SPARE_DESCRIPTORS

    def value(self, variable: Variable) -> int | str | bool:
        """The value of a variable."""
        value: int | str | bool = getattr(getattr(self, variable.group), variable.field)
        return value


def _variables() -> Iterator[Variable]:
    settings = Settings()
    for group in fields(Settings):
        for one in fields(getattr(settings, group.name)):
            yield replace(one.metadata["variable"], group=group.name, field=one.name)


VARIABLES: tuple[Variable, ...] = tuple(_variables())
_NAMES = [variable.name for variable in VARIABLES]
_KNOWN = {*_NAMES, *(variable.was for variable in VARIABLES)}
_OF_A_SERVICE = re.compile(r"_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT_[0-9]+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)$")
# Of each pair the first must not be above the second: in the names of the fields, with the factor from unit to unit.
_PAIRS = (
    ("in_flight_min", "in_flight_max", 1),
    ("connect_timeout_ms", "request_timeout_ms", 1),
    ("books_recent_seconds", "books_horizon_hours", 3600),
    ("audit_guard_ms", "audit_interval_ms", 1),
    ("wait_max_ms", "give_up_seconds", 1000),
)


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in ``environment``. An old name of a variable is accepted, with a warning in the log.

    Raises SettingsError, which names every unknown variable that looks like one of ours, every bad value, and every
    contradiction.
    """
    problems = [_unknown(name) for name in _strange(environment)]
    values: dict[str, dict[str, Any]] = {group.name: {} for group in fields(Settings)}
    for variable in VARIABLES:
        text, name = environment.get(variable.name), variable.name
        if variable.was in environment:
            if text is not None:
                problems.append(f"{variable.was} is the old name of {variable.name}, and both are set")
                continue
            text, name = environment[variable.was], variable.was
            log.warning("old_name", old=variable.was, new=variable.name)
        if text is not None:
            try:
                values[variable.group][variable.field] = variable.parse(text)
            except ValueError as error:
                problems.append(_without_secrets(name, text, f"{name}={text!r}: {error}"))
    if not problems:
        settings = _made(values)
        problems = _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def _without_secrets(name: str, text: str, problem: str) -> str:
    """A problem of the variable ``name``, whose value ``text`` may be a secret, or have one in it."""
    return masking.mask_of({name: text})(problem)


def _strange(environment: Mapping[str, str]) -> list[str]:
    """The names in ``environment`` that begin like ours and are none: a start ignores none of them, for a fee or an
    address that is not read costs money.

    Of those that begin with ``PAYMENT_PROCESSOR_`` the ones that Kubernetes sets for a service called
    payment-processor-... are nobody's mistake. Of those for a service called engine one is ENGINE_PORT: a start with
    them is refused.
    """
    strange = sorted(name for name in environment if name.startswith(PREFIXES) and name not in _KNOWN)
    return [name for name in strange if name.startswith(PREFIX) or not _OF_A_SERVICE.search(name)]


def nearest(name: str) -> str:
    """`` Did you mean X?`` with the variable that ``name`` may be meant to be; "" when none is near."""
    import difflib

    found = difflib.get_close_matches(name, _NAMES, 1, NEAR)
    return f" Did you mean {found[0]}?" if found else ""


def _unknown(name: str) -> str:
    if _OF_A_SERVICE.search(name):
        return f"{name}: set by Kubernetes for a service called engine; `enableServiceLinks: false` prevents it"
    return f"{name}: unknown.{nearest(name)} tuning.md lists the variables"


def _made(values: Mapping[str, Mapping[str, Any]]) -> Settings:
    defaults = Settings()
    return Settings(**{name: replace(getattr(defaults, name), **changes) for name, changes in values.items()})


def _contradictions(settings: Settings) -> list[str]:
    """Problems of values that are valid alone, but not together."""
    problems = [*_crossed(settings)]
    storage, processors = settings.storage, settings.processors
    problems += cluster_settings.contradictions(
        storage.durability, settings.cluster, settings.ledger.mode, storage.id_memory
    )
    if storage.durability in ("disk", "sync") and not os.path.isabs(storage.data_dir):
        problems.append(
            f"ENGINE_DATA_DIR={storage.data_dir!r}: ENGINE_DURABILITY={storage.durability} needs the absolute path "
            "of a directory on a local disk"
        )
    if settings.ledger.reconcile_seconds and not settings.ledger.is_on:
        problems.append("ENGINE_RECONCILE_SECONDS: there is nothing to compare while ENGINE_LEDGER is off")
    same = one_and_the_same(processors.all)
    if same is not None:
        names = PROCESSOR_URL_NAMES if not processors.listed else [f"{one.name} in ENGINE_PROCESSORS" for one in same]
        problems.append(f"{' and '.join(names)} are one and the same: {normalized(same[0].url)}")
    unknown = parse_fees(processors.fees_ppm).keys() - {processor.name for processor in processors.all}
    if unknown:
        problems.append(f"ENGINE_FEES_PPM names {', '.join(sorted(unknown))}, which is no processor")
    return problems


def _crossed(settings: Settings) -> Iterator[str]:
    """A sentence for each pair whose lower end is above its upper one.

    A lower end that nobody has set stands in nobody's way: everything that uses it takes the upper end for it then.
    """
    fields_of = {variable.field: variable for variable in VARIABLES}
    for low, high, factor in _PAIRS:
        lower, upper = fields_of[low], fields_of[high]
        value, bound = settings.value(lower), settings.value(upper)
        assert isinstance(value, int) and isinstance(bound, int), "pairs are of numbers"
        if value > bound * factor and value != lower.default:
            yield f"{_told(lower, value)} is more than {_told(upper, bound)}: change one of them"


def _told(variable: Variable, value: int) -> str:
    return f"{variable.name}={value} {variable.unit}" + (" (its default)" if value == variable.default else "")


def check_routable(settings: Settings) -> None:
    """Raises SettingsError when there are more processors than routing decides between."""
    names = settings.processors.names
    if len(names) > ROUTED_MAX:
        raise SettingsError(
            [
                f"ENGINE_PROCESSORS names {len(names)} processors, and routing decides between {ROUTED_MAX} so far: "
                f"name {ROUTED_MAX} to have payments sent"
            ]
        )


def as_environment(settings: Settings) -> dict[str, str]:
    """The environment that :func:`read` turns into ``settings``: how a parent hands its settings to a child."""
    result = {}
    for variable in VARIABLES:
        value = settings.value(variable)
        result[variable.name] = str(int(value)) if isinstance(value, bool) else str(value)
    return result


def inherited(environment: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """``environment`` for a child process: ``settings`` replace all variables of the engine in it."""
    old = {variable.was for variable in VARIABLES}
    return {name: value for name, value in environment.items() if name not in old} | as_environment(settings)
