"""What can be measured and set on this machine, and why not: each part asked, nothing guessed."""

import inspect
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from perfport import plugins
from perfport.data.environment import Fact
from perfport.errors import MissingPackageError, PerfError
from perfport.measure import actuators, meters, systems
from perfport.measure.actuators import Journal, Restored, restore_abandoned
from perfport.measure.base import Absent, Actuator, Availability, Available
from perfport.measure.machine.conditions import conditions_now, process_conditions, stolen_s
from perfport.measure.machine.lease import device_lease
from perfport.measure.machine.probe import hardware_facts, software_facts
from perfport.measure.networks import Form, ask_network, known_networks, network

__all__ = ["Check", "DoctorReport", "NoiseTest", "doctor", "noise_self_test", "restore_machine"]

CheckKind = Literal["system", "network", "meter", "actuator", "journal"]
CHECK_KINDS: tuple[CheckKind, ...] = get_args(CheckKind)

_NEEDS_DATA = "replay"
# What runtimes take that do not take ONNX files.
_FORMS: Mapping[str, Form] = {"torch": "torch", "litert": "tflite"}


@dataclass(frozen=True, slots=True)
class Check:
    """Whether one part works here.

    Attributes:
        kind: What kind of part.
        name: Its name in files and on the command line.
        ok: Whether it works.
        detail: What was found, or exactly why not.
    """

    kind: CheckKind
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class NoiseTest:
    """How evenly this machine runs the same piece of work, over and over.

    Attributes:
        n_runs: How often it was run.
        wall_spread_pct: 90 % quantile of its wall time above the 10 % quantile, in percent of the median.
        cpu_spread_pct: The same of its processor time.
        worst_pct: Longest wall time above the median, in percent of the median.
        stolen_s: Time the hypervisor gave to others meanwhile, all processors; None if not told.
        verdict: What to think of it.
    """

    n_runs: int
    wall_spread_pct: float
    cpu_spread_pct: float
    worst_pct: float
    stolen_s: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Everything `doctor` found.

    Attributes:
        hardware: Facts about the machine.
        software: Facts about the system.
        conditions: What the machine is like right now.
        checks: One for each system, network, meter and actuator, and one for the journal.
        noise: Result of the self-test; None if it was left out.
    """

    hardware: Mapping[str, Fact]
    software: Mapping[str, Fact]
    conditions: Mapping[str, object]
    checks: tuple[Check, ...]
    noise: NoiseTest | None

    @property
    def can_measure(self) -> bool:
        """Whether at least one real system and one network work here."""
        kinds = {check.kind for check in self.checks if check.ok and check.name not in ("synthetic", _NEEDS_DATA)}
        return {"system", "network"} <= kinds

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON data."""
        return {
            "hardware": dict(self.hardware),
            "software": dict(self.software),
            "conditions": dict(self.conditions),
            "checks": [{"kind": c.kind, "name": c.name, "ok": c.ok, "detail": c.detail} for c in self.checks],
            "noise": None
            if self.noise is None
            else {name: getattr(self.noise, name) for name in NoiseTest.__dataclass_fields__},
            "can_measure": self.can_measure,
        }


def doctor(*, noise_test_s: float = 1.0, kinds: tuple[CheckKind, ...] = CHECK_KINDS) -> DoctorReport:
    """Ask every system, network, meter and actuator whether it works here, and the journal what is left.

    Args:
        noise_test_s: Length of the noise self-test in seconds; 0 leaves it out.
        kinds: Which to ask; asking the systems loads their runtimes.
    """
    checks_of: Mapping[CheckKind, Callable[[], Iterable[Check]]] = {
        "system": _system_checks,
        "network": _network_checks,
        "meter": _meter_checks,
        "actuator": _actuator_checks,
        "journal": lambda: [_attempt("journal", "journal", _ask_journal)],
    }
    checks = tuple(check for kind in CHECK_KINDS if kind in kinds for check in checks_of[kind]())
    noise = noise_self_test(noise_test_s) if noise_test_s > 0 else None
    return DoctorReport(hardware_facts(), software_facts(), {**conditions_now(), **process_conditions()}, checks, noise)


def restore_machine(*, lease: Path | None = None) -> tuple[Restored, ...]:
    """Put back what killed campaigns had set on this machine, to what they had found; return what became of each.

    Args:
        lease: Lock file of the device; that of this machine if None.

    Raises:
        MeasurementError: If a campaign is measuring: what is set now is its own, and it will restore it.
        ActuationError: If the journal cannot be read.
    """
    with device_lease("doctor --restore", path=lease):
        return restore_abandoned()


def noise_self_test(seconds: float = 1.0) -> NoiseTest:
    """Run the same small loop for a while and see how evenly it goes.

    One thread, no memory to speak of: what varies is the machine. Times of several threads vary more.

    Args:
        seconds: How long, at least.
    """
    wall_s: list[float] = []
    cpu_s: list[float] = []
    stolen_before_s = stolen_s()
    end = time.perf_counter() + seconds
    while len(wall_s) < 20 or time.perf_counter() < end:
        cpu_begin = time.process_time()
        begin = time.perf_counter()
        _work()
        wall_s.append(time.perf_counter() - begin)
        cpu_s.append(time.process_time() - cpu_begin)
    stolen_after_s = stolen_s()
    stolen = None if stolen_before_s is None or stolen_after_s is None else round(stolen_after_s - stolen_before_s, 3)
    spread = _spread_pct(wall_s)
    middle = statistics.median(wall_s)
    worst = 100 * (max(wall_s) - middle) / middle
    return NoiseTest(len(wall_s), spread, _spread_pct(cpu_s), round(worst, 1), stolen, _verdict(spread))


def _work() -> int:
    total = 0
    for number in range(20_000):
        total += number * number
    return total


def _spread_pct(values: list[float]) -> float:
    deciles = statistics.quantiles(values, n=10)
    return round(100 * (deciles[8] - deciles[0]) / statistics.median(values), 1)


def _verdict(spread_pct: float) -> str:
    if spread_pct < 5:
        return "quiet"
    if spread_pct < 20:
        return "uneven: replicate, and read the replicate error beside every model error"
    return "loud: something else is running; small differences cannot be measured now"


def _system_checks() -> Iterator[Check]:
    for name in plugins.known_names("system", systems.BUILTIN):
        if name == _NEEDS_DATA:
            yield Check("system", name, ok=True, detail="serves measured tables; give it a folder")
        else:
            yield _attempt("system", name, partial(_ask_system, name))


def _ask_system(name: str) -> Availability:
    parameters = inspect.signature(plugins.resolve("system", name, systems.BUILTIN)).parameters.values()
    settings = (
        {"network": _present_network(_FORMS.get(name, "onnx"))}
        if any(found.name == "network" for found in parameters)
        else {}
    )
    needed = [found.name for found in parameters if found.default is found.empty and found.name not in settings]
    if needed:
        return Available(f"give it {', '.join(needed)} in its settings")
    system = systems.make_system(name, settings)
    space = system.space()
    version = system.facets()["software"].get(name)
    prefix = f"version {version}, " if version is not None else ""
    return Available(f"{prefix}{len(space)} options, {space.size():,} configurations")


def _present_network(form: Form) -> str:
    """Return a network that is installed, so that a runtime is not called missing because a network is."""
    problems = []
    for name in known_networks(form):
        try:
            network(name, form)
        except PerfError as error:
            problems.append(error.message)
        else:
            return name
    raise MissingPackageError(f"no network is installed: {problems[0]}")


def _network_checks() -> Iterator[Check]:
    for name in known_networks():
        yield _attempt("network", name, partial(ask_network, name))


def _meter_checks() -> Iterator[Check]:
    for name in plugins.known_names("meter", meters.BUILTIN):
        yield _attempt("meter", name, partial(_ask_meter, name))


def _ask_meter(name: str) -> Availability:
    return meters.make_meters([name])[0].availability()


def _actuator_checks() -> Iterator[Check]:
    for name in plugins.known_names("actuator", actuators.BUILTIN):
        yield _attempt("actuator", name, partial(_ask_actuator, name))


def _ask_actuator(name: str) -> Availability:
    actuator: Actuator = actuators.make_actuator(name)
    availability = actuator.availability()
    if isinstance(availability, Absent):
        return availability
    return Available(f"{', '.join(option.name for option in actuator.options)}: {availability.detail}")


def _ask_journal() -> Availability:
    journal = Journal()
    left = journal.abandoned()
    if not left:
        return Available(f"nothing is left to restore, in {journal.folder}")
    told = "; ".join(f"{', '.join(entry.asked)} (by process {entry.pid}, which is gone)" for entry in left)
    return Absent(f"not restored: {told}; put it back: perfport doctor --restore")


def _attempt(kind: CheckKind, name: str, ask: Callable[[], Availability]) -> Check:
    """Turn what a part answers, or raises, into a check."""
    try:
        availability = ask()
    except PerfError as error:
        return Check(kind, name, ok=False, detail=error.message)
    except Exception as error:  # noqa: BLE001  # a broken plug-in must not hide the others
        return Check(kind, name, ok=False, detail=f"{type(error).__name__}: {error}")
    if isinstance(availability, Absent):
        return Check(kind, name, ok=False, detail=availability.reason)
    return Check(kind, name, ok=True, detail=availability.detail)
