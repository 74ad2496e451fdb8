"""Actuators: what is set on the machine around the system, noted, read back and restored."""

import re
from collections.abc import Iterable, Mapping, Sequence

from perfport import plugins
from perfport.errors import ActuationError, UsageError
from perfport.measure.actuators.applying import Restored, applied, restore_entries
from perfport.measure.actuators.journal import Journal
from perfport.measure.actuators.process import EnvironmentVariables
from perfport.measure.base import Absent, Actuator, SetsAtStart
from perfport.space.options import Level, Option

__all__ = [
    "BUILTIN",
    "Journal",
    "Restored",
    "actuators_for",
    "applied",
    "check_settable",
    "make_actuator",
    "options_named",
    "restore_abandoned",
    "start_variables",
]

BUILTIN = {
    "affinity": "perfport.measure.actuators.process:CpuAffinity",
    "allocator": "perfport.measure.actuators.allocator:Allocator",
    "cpu_quota": "perfport.measure.actuators.cgroup:CpuQuota",
    "cpufreq": "perfport.measure.actuators.processor:CpuFrequency",
    "devfreq": "perfport.measure.actuators.devfreq:JetsonClocks",
    "environment": "perfport.measure.actuators.process:EnvironmentVariables",
    "hotplug": "perfport.measure.actuators.processor:CpuHotplug",
    "hugepages": "perfport.measure.actuators.memory:HugePages",
    "nvml": "perfport.measure.actuators.nvml:NvmlSettings",
    "nvpmodel": "perfport.measure.actuators.nvpmodel:PowerMode",
    "opml19": "perfport.measure.actuators.opml19:Opml19Profile",
    "smt": "perfport.measure.actuators.processor:Smt",
}

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def make_actuator(name: str) -> Actuator:
    """Return the actuator of a name.

    Raises:
        UnknownPluginError: If no built-in and no plug-in has it.
    """
    actuator: Actuator = plugins.resolve("actuator", name, BUILTIN)()
    return actuator


def actuators_for(names: Iterable[str]) -> list[Actuator]:
    """Return the actuators that set the options named.

    A name that no actuator offers, but that is written as environment variables are (capitals,
    digits, underscores), is an environment variable.

    Raises:
        UsageError: If nothing sets one of the names; the message lists what can be set here.
    """
    wanted = set(names)
    variables = sorted(name for name in wanted if _VARIABLE.fullmatch(name))
    found: list[Actuator] = [EnvironmentVariables(variables)] if variables else []
    wanted -= set(variables)
    known = list(EnvironmentVariables().options)
    for kind in plugins.known_names("actuator", BUILTIN):
        if not wanted or kind == EnvironmentVariables.name:
            continue
        actuator = make_actuator(kind)
        known += actuator.options
        offered = {option.name for option in actuator.options}
        if offered & wanted:
            found.append(actuator)
            wanted -= offered
    if wanted:
        raise UsageError(
            f"no actuator sets {', '.join(sorted(wanted))}; known are {', '.join(option.name for option in known)} "
            "and any environment variable in capitals",
            options=sorted(wanted),
        )
    return found


def options_named(names: Iterable[str]) -> list[Option]:
    """Return the options of these names, in that order; the name of an actuator stands for all its options.

    Raises:
        UsageError: If nothing sets one of the names.
        ActuationError: If an actuator named sets nothing here, with the reason.
    """
    options: dict[str, Option] = {}
    for name in names:
        if name in plugins.known_names("actuator", BUILTIN):
            actuator = make_actuator(name)
            _require_available(actuator)
            options |= {option.name: option for option in actuator.options}
        else:
            options |= {
                option.name: option
                for found in actuators_for([name])
                for option in found.options
                if option.name == name
            }
    return list(options.values())


def check_settable(levels: Mapping[str, Sequence[Level]]) -> None:
    """Check before the first run that every option can be set here, to each of its levels.

    Args:
        levels: Option -> the levels it will be set to.

    Raises:
        UsageError: If nothing sets an option, or a level is not one of it.
        ActuationError: If an actuator cannot set anything here (it needs root, say), with the reason.
    """
    for actuator in actuators_for(levels):
        mine = [option for option in actuator.options if option.name in levels]
        _require_available(actuator)
        for option in mine:
            wrong = [level for level in levels[option.name] if not option.contains(level)]
            # Variables take any text, and processors can be listed in more ways than there are levels.
            if wrong and actuator.name not in ("environment", "affinity"):
                raise UsageError(
                    f"option '{option.name}': {wrong[0]!r} cannot be set here; {option.allowed}", option=option.name
                )


def start_variables(levels: Mapping[str, Level | None]) -> dict[str, str | None]:
    """Return the environment variables a child with these process-level `levels` is started with; None unsets one."""
    variables: dict[str, str | None] = {}
    for actuator in actuators_for(levels):
        if isinstance(actuator, SetsAtStart):
            mine = {option.name: levels[option.name] for option in actuator.options if option.name in levels}
            variables |= actuator.variables(mine)
    return variables


def restore_abandoned(journal: Journal | None = None) -> tuple[Restored, ...]:
    """Put back what processes that are gone had found on this machine; return what became of each entry.

    Hold the device lease meanwhile, or a campaign that begins could be undone.

    Args:
        journal: That of this machine if None.

    Raises:
        ActuationError: If the journal cannot be read.
    """
    journal = journal or Journal()
    return restore_entries(journal, journal.abandoned(), make_actuator)


def _require_available(actuator: Actuator) -> None:
    availability = actuator.availability()
    if isinstance(availability, Absent):
        raise ActuationError(
            f"actuator '{actuator.name}' cannot be used here: {availability.reason}", actuator=actuator.name
        )
