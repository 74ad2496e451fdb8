"""A rig: one system in one environment, ready to be measured.

Made from a system and a workload; knows its space and its environment.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from perfport.data.environment import FACETS, Environment, Fact
from perfport.errors import UsageError
from perfport.measure.actuators import check_settable
from perfport.measure.base import ChecksWorkload, Configuration, System
from perfport.measure.machine.probe import hardware_facts, software_facts
from perfport.space.options import Level
from perfport.space.space import Space

__all__ = ["Rig", "make_rig"]


@dataclass(frozen=True, eq=False)
class Rig:
    """One system in one environment.

    Attributes:
        system: The system under test.
        workload: Facts about the input.
        actuators: Levels that hold for the whole environment (an instruction-set cap, the processors used).
        space: The options that configurations of this rig have.
        environment: Name and facets of where it is measured.
        folder: Where the module of a system or network is looked for last; "" for nowhere.
    """

    system: System
    workload: Mapping[str, Fact]
    actuators: Mapping[str, Level]
    space: Space
    environment: Environment
    folder: str = ""

    def split(self, configuration: Configuration) -> tuple[dict[str, Level | None], dict[str, Level | None]]:
        """Return the levels the system is opened with and those actuators set, fixed ones included."""
        owners = {option.name: option.owner for option in self.space.options}
        active = {name: level for name, level in configuration.items() if level is not None}
        system: dict[str, Level | None] = {name: level for name, level in active.items() if owners[name] == "system"}
        around: dict[str, Level | None] = {name: level for name, level in active.items() if owners[name] == "actuator"}
        return system, {**self.actuators, **around}


def make_rig(
    name: str,
    system: System,
    *,
    workload: Mapping[str, Fact] | None = None,
    actuators: Mapping[str, Level] | None = None,
    space: Space | None = None,
    folder: str = "",
) -> Rig:
    """Return the rig of `system` under `workload` on this machine.

    Args:
        name: What people call the environment.
        system: The system under test.
        workload: Facts about the input.
        actuators: Levels that hold for the whole environment; they count among its facets.
        space: Options and levels to use, some or all of the system's; all if None.
        folder: Where the child looks last for the module of the system, or of its network: beside the campaign.

    Raises:
        UsageError: If the space has options or levels that neither the system nor an actuator has.
        ActuationError: If something cannot be set here (it needs root, say): known before the first run.
    """
    actuators = dict(actuators or {})
    check_settable({name: (level,) for name, level in actuators.items()})
    if isinstance(system, ChecksWorkload):
        system.check_workload(workload or {})
    chosen = space if space is not None else system.space()
    _check_space(chosen, system)
    both = sorted(set(actuators) & set(chosen.names))
    if both:
        raise UsageError(
            f"{', '.join(both)}: fixed for environment '{name}' and an option as well; keep one of the two"
        )
    environment = _environment(name, system, workload or {}, actuators)
    return Rig(system, dict(workload or {}), actuators, chosen, environment, folder)


def _check_space(space: Space, system: System) -> None:
    known = system.space()
    missing = [option.name for option in space.options if option.owner == "system" and option.name not in known.names]
    if missing:
        raise UsageError(
            f"system '{system.name}' has no option {', '.join(missing)}; it has {', '.join(known.names)}",
            options=missing,
        )
    for option in space.options:
        if option.owner != "system":
            continue
        theirs = known.option(option.name)
        wrong = [level for level in option.levels or () if not theirs.contains(level)]
        if wrong:
            raise UsageError(
                f"system '{system.name}', option '{option.name}': {wrong[0]!r} is not possible here; {theirs.allowed}",
                option=option.name,
            )
    check_settable(
        {option.name: option.levels or option.bounds for option in space.options if option.owner == "actuator"}
    )


def _environment(
    name: str, system: System, workload: Mapping[str, Fact], actuators: Mapping[str, Level]
) -> Environment:
    given = system.facets()
    facets: dict[str, dict[str, Fact]] = {facet: dict(given.get(facet, {})) for facet in FACETS}
    if "hardware" not in given:
        facets["hardware"] = dict(hardware_facts())
        facets["software"] = {**software_facts(), **facets["software"]}
    facets["workload"] |= workload
    # What is fixed around the system decides what is measured, as much as a version does.
    facets["software"] |= {f"set.{option}": level for option, level in actuators.items()}
    return Environment(name, **facets)
