"""Everything that can be set from outside: each field of a group is an environment variable.

The two processor URLs keep the contest's names; everything else has the prefix ``ENGINE_``. The table in ``tuning.md``
is made from these variables (`python -m engine settings --markdown`). Reading is pure: the caller passes the
environment.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from engine.addresses import normalized
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

PROCESSOR_URL_NAMES = ("PAYMENT_PROCESSOR_URL_DEFAULT", "PAYMENT_PROCESSOR_URL_FALLBACK")

log = logging.getLogger(__name__)


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
    ledger: LedgerSettings = field(default_factory=LedgerSettings)

    @property
    def ledger_url(self) -> str:
        """The address of the ledger's database."""
        place = self.storage.data_dir or self.host.run_dir
        return self.ledger.url_set or f"sqlite:///{os.path.abspath(place)}/{self.host.name}-ledger.db"

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


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in ``environment``. An old name of a variable is accepted, with a warning in the log.

    Raises SettingsError, which names every unknown ``ENGINE_`` variable and every bad value at once.
    """
    problems = []
    known = {name for variable in VARIABLES for name in (variable.name, variable.was)}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            problems.append(f"{name}: unknown; tuning.md lists the variables")
    values: dict[str, dict[str, Any]] = {group.name: {} for group in fields(Settings)}
    for variable in VARIABLES:
        text, name = environment.get(variable.name), variable.name
        if variable.was in environment:
            if text is not None:
                problems.append(f"{variable.was} is the old name of {variable.name}, and both are set")
                continue
            text, name = environment[variable.was], variable.was
            log.warning("%s is called %s now", variable.was, variable.name)
        if text is not None:
            try:
                values[variable.group][variable.field] = variable.parse(text)
            except ValueError as error:
                problems.append(f"{name}={text!r}: {error}")
    if not problems:
        settings = _made(values)
        problems = _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def _made(values: Mapping[str, Mapping[str, Any]]) -> Settings:
    defaults = Settings()
    return Settings(**{name: replace(getattr(defaults, name), **changes) for name, changes in values.items()})


def _contradictions(settings: Settings) -> list[str]:
    """Problems of values that are valid alone, but not together."""
    problems = []
    storage, processors = settings.storage, settings.processors
    if storage.durability != "memory" and not os.path.isabs(storage.data_dir):
        problems.append(
            f"ENGINE_DATA_DIR={storage.data_dir!r}: ENGINE_DURABILITY={storage.durability} needs the absolute path "
            "of a directory on a local disk"
        )
    same = one_and_the_same(processors.all)
    if same is not None:
        names = PROCESSOR_URL_NAMES if not processors.listed else [f"{one.name} in ENGINE_PROCESSORS" for one in same]
        problems.append(f"{' and '.join(names)} are one and the same: {normalized(same[0].url)}")
    unknown = parse_fees(processors.fees_ppm).keys() - {processor.name for processor in processors.all}
    if unknown:
        problems.append(f"ENGINE_FEES_PPM names {', '.join(sorted(unknown))}, which is no processor")
    return problems


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
