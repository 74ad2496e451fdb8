"""The three protocols of the machine wing, and the plain data that passes between them.

A *system* is run, a *meter* reads properties while it runs, an *actuator* sets the machine around
it. None of them knows the others; `runner` brings them together. Extra abilities are small
protocols of their own, asked for with `isinstance`. Conformance kits: `perfport.testing.kits`.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import FloatArray, Property, Status
from perfport.space.options import Level, Option

if TYPE_CHECKING:
    # The child process must start without pandas and ConfigSpace, which a Space brings along.
    from perfport.space.space import Space

__all__ = [
    "Absent",
    "Actuator",
    "AddsReadings",
    "Availability",
    "Available",
    "ChecksWorkload",
    "Configuration",
    "HasOutput",
    "HasProperties",
    "Meter",
    "NeedsNewChild",
    "Outcome",
    "ReportsReadings",
    "RestoresState",
    "ServesOutcomes",
    "Session",
    "SetsAtStart",
    "System",
    "TellsProvenance",
]

Configuration = Mapping[str, Level | None]


@dataclass(frozen=True, slots=True)
class Available:
    """It works here.

    Attributes:
        detail: What was found, for people.
    """

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """It does not work here.

    Attributes:
        reason: What is missing, exactly, and what would help.
    """

    reason: str


Availability = Available | Absent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one configuration, before it is given an environment and stored.

    Attributes:
        status: OK, INVALID, FAILED or TIMED_OUT.
        reason: Why it is not OK; empty otherwise.
        repetitions: Property -> every repetition, shape (r,), per input, in the property's unit; of TIMED_OUT a lower
            bound, if one is known.
        absent: Property -> why it could not be measured.
        conditions: What the machine was like meanwhile; plain JSON data, for diagnosis.
        cost_s: Wall time it took in all, in seconds.
    """

    status: Status
    reason: str = ""
    repetitions: Mapping[str, FloatArray] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, object] = field(default_factory=dict)
    cost_s: float = 0.0


@runtime_checkable
class Session(Protocol):
    """A system that is open with one configuration.

    Attributes:
        inputs_per_run: How many inputs one run serves (the batch); readings are divided by it.
    """

    @property
    def inputs_per_run(self) -> int:
        """How many inputs one run serves."""
        ...

    def run_once(self) -> None:
        """Run once; return when the work is done and the device is idle again. No timing inside."""
        ...


@runtime_checkable
class HasOutput(Protocol):
    """Ability of a session: its result can be compared with that of another configuration."""

    def output(self) -> Sequence[NDArray[Any]]:
        """Return the outputs of the last run for the first input, whatever the batch."""
        ...


@runtime_checkable
class ReportsReadings(Protocol):
    """Ability of a session: it knows the properties of a run itself, so no clock is read around it.

    For systems in virtual time and recorded ones: budgets are charged what the readings say.
    """

    def readings(self) -> Mapping[str, float]:
        """Return property -> value per input of the last run; `inference_time_s` is among them."""
        ...


@runtime_checkable
class AddsReadings(Protocol):
    """Ability of a session: it knows properties of a run that a clock around it cannot tell.

    For runs of many requests (latency beside throughput), streams (time to first token) and programs. What it
    says of a property replaces what the clock reads; budgets are still charged in real time.
    """

    def added_readings(self) -> Mapping[str, float | None]:
        """Return property -> value of the last run, None for what the clock reads in vain.

        Values are final: no division by `inputs_per_run` follows.
        """
        ...


class System(Protocol):
    """The configurable thing that is measured.

    A system is cheap to construct and holds no device; `open` does the work. The child process
    builds its own from the class and `settings`, so `type(system)(**system.settings)` must equal it.

    Attributes:
        name: As in files and on the command line.
        is_isolated: Whether it is run in a child process. False only for systems that execute
            nothing (recorded or virtual time).
    """

    @property
    def name(self) -> str:
        """Name as in files and on the command line."""
        ...

    @property
    def is_isolated(self) -> bool:
        """Whether it needs a child process."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """Arguments that make an equal system, plain JSON data unless `is_isolated` is False."""
        ...

    def space(self) -> "Space":
        """Return the options and levels that the installed version and this machine support."""
        ...

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return the facts the system knows about the environment, by facet.

        At least "network" and "software". A system that names its own "hardware" (a recorded one)
        is not given that of this machine.
        """
        ...

    def open(
        self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0
    ) -> AbstractContextManager[Session]:
        """Open the system with `configuration`; options left out are at their default.

        Args:
            configuration: Levels of the system's own options.
            workload: Facts about the input; the inputs depend on these alone.
            seed: For what is random about the run itself (planted noise, arrival times).

        Raises:
            UsageError: If an option, a level or a workload fact is not known.
        """
        ...


@runtime_checkable
class ChecksWorkload(Protocol):
    """Ability of a system: it knows beforehand which workloads it can run."""

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError, naming the fact, if `workload` cannot be run."""
        ...


@runtime_checkable
class HasProperties(Protocol):
    """Ability of a system: it reports other properties than those of the clock."""

    def properties(self) -> tuple[Property, ...]:
        """Return the properties of its readings or outcomes."""
        ...


@runtime_checkable
class ServesOutcomes(Protocol):
    """Ability of a system: it serves whole recorded outcomes, with their original status and cost."""

    def outcome(self, configuration: Configuration, *, block: int) -> Outcome:
        """Return what became of `configuration` when it was measured; INVALID if it never was."""
        ...


class Meter(Protocol):
    """Reads properties over a window, in SI units.

    `start` and `stop` come in pairs. A meter never answers 0 for "unknown": it is available, or its
    availability says why not and `start` raises MeterUnavailableError.

    Attributes:
        name: As in files and on the command line.
        properties: What it reads.
        min_window_s: Shortest window with a usable reading, for instance ten counter updates.
    """

    @property
    def name(self) -> str:
        """Name as in files and on the command line."""
        ...

    @property
    def properties(self) -> tuple[Property, ...]:
        """What it reads."""
        ...

    @property
    def min_window_s(self) -> float:
        """Shortest usable window, in seconds."""
        ...

    def availability(self) -> Availability:
        """Return whether it can be read here, and why not."""
        ...

    def start(self) -> None:
        """Begin a window."""
        ...

    def stop(self) -> Mapping[str, float]:
        """End the window and return property name -> total over it."""
        ...


@runtime_checkable
class TellsProvenance(Protocol):
    """Ability of a meter: it says how the numbers of its last window came about."""

    def provenance(self) -> Mapping[str, object]:
        """Return plain JSON data about the last window, stored with the row.

        At least `kind` ("counter", "integrated power" or "battery") and `parts`, the names of what was
        read; for integrated power also how many readings there were and what taking them cost.
        """
        ...


class Actuator(Protocol):
    """Sets options of the machine around the system, and reads them back.

    Used through `actuators.applied`, which restores what `read` found.

    Attributes:
        name: As in files and on the command line.
        options: What it can set here; their owner is "actuator".
        scope: "process": set inside the child before the system is loaded, gone with the child;
            "machine": set by the runner around the measurement.
    """

    @property
    def name(self) -> str:
        """Name as in files and on the command line."""
        ...

    @property
    def options(self) -> tuple[Option, ...]:
        """What it can set here."""
        ...

    @property
    def scope(self) -> Literal["process", "machine"]:
        """Where it acts."""
        ...

    def availability(self) -> Availability:
        """Return whether it can set anything here, and why not."""
        ...

    def read(self) -> dict[str, Level | None]:
        """Return the level each of `options` has now; None if it is not set at all."""
        ...

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Set `levels` (None unsets) and return them as read back.

        Raises:
            ActuationError: If an option is not one of `options`, or the read-back differs.
        """
        ...


@runtime_checkable
class RestoresState(Protocol):
    """Ability of an actuator: what it finds is more than levels (a governor for each core, a range of clocks).

    Its state goes into the journal before anything is changed; another process may restore from it.
    """

    def state(self, options: Collection[str]) -> Mapping[str, Any]:
        """Return what setting `options` would change, as it is now; plain JSON data.

        Raises:
            ActuationError: If it cannot be read; then nothing is set either.
        """
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` returned, in this process or an earlier one; harmless if it is there already.

        Raises:
            ActuationError: If it cannot be put back, or is not what is read afterwards.
        """
        ...


@runtime_checkable
class SetsAtStart(Protocol):
    """Ability of a process actuator: some of what it sets must be there when the child is started.

    The dynamic loader and the allocator read their variables before any line of Python runs.
    """

    def variables(self, levels: Mapping[str, Level | None]) -> Mapping[str, str | None]:
        """Return the environment variables a process with `levels` is started with; None unsets one."""
        ...


@runtime_checkable
class NeedsNewChild(Protocol):
    """Ability of a machine actuator: what it changes must be there before the child is started.

    Runtimes ask for the processors once, when they are loaded, and memory that is reused keeps the kind
    of page it was given.

    Attributes:
        needs_new_child: True.
    """

    @property
    def needs_new_child(self) -> bool:
        """Whether a child started under another level cannot be used."""
        ...
