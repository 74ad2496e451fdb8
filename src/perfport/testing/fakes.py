"""Fakes of what is measured, read and set: they satisfy the protocols and pass the kits, without a device."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import Property
from perfport.errors import ActuationError, InvalidConfigurationError, MeterUnavailableError
from perfport.measure.base import Absent, Availability, Available, Configuration, Session
from perfport.space.options import Level, Option

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["FAULTS", "FakeActuator", "FakeMeter", "FaultySystem"]


class FakeMeter:
    """Reads a constant power, or is absent.

    Attributes:
        power_w: What it reads.
        windows: Number of windows that were ended.
    """

    name = "fake"
    properties = (Property("energy_j", "J"),)

    def __init__(
        self,
        power_w: float = 2.0,
        *,
        min_window_s: float = 0.0,
        absent: str = "",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Choose what it reads.

        Args:
            power_w: Constant power.
            min_window_s: What it says it needs.
            absent: Why it is not there; "" if it is.
            clock: Time in seconds.
        """
        self.min_window_s = min_window_s
        self.windows = 0
        self.power_w = power_w
        self._absent = absent
        self._clock = clock
        self._begin_s = 0.0

    def availability(self) -> Availability:
        """Return what was asked for."""
        return Absent(self._absent) if self._absent else Available("constant power")

    def start(self) -> None:
        """Begin a window."""
        if self._absent:
            raise MeterUnavailableError(f"meter 'fake': {self._absent}", meter=self.name)
        self._begin_s = self._clock()

    def stop(self) -> Mapping[str, float]:
        """Return power times the length of the window."""
        self.windows += 1
        return {"energy_j": self.power_w * (self._clock() - self._begin_s)}


class FakeActuator:
    """Sets options in a dictionary.

    Attributes:
        state: What is set now.
        log: Every `apply`, in order.
    """

    def __init__(
        self,
        options: tuple[Option, ...] = (
            Option(name="clock_hz", type="ordinal", values=(1e9, 2e9), unit="Hz", default=2e9, owner="actuator"),
            Option(name="boost", type="boolean", owner="actuator"),
        ),
        *,
        name: str = "fake",
        scope: Literal["process", "machine"] = "machine",
        refuses: tuple[Level, ...] = (),
        log: list[tuple[str, dict[str, Level | None]]] | None = None,
    ) -> None:
        """Choose what it sets.

        Args:
            options: What it can set.
            name: What it is called.
            scope: Where it says it acts.
            refuses: Levels it silently does not take.
            log: List to which every `apply` is added, for the order among several actuators.
        """
        self.name = name
        self.options = options
        self.scope: Literal["process", "machine"] = scope
        self.state: dict[str, Level | None] = {option.name: option.default_level for option in options}
        self.log = log if log is not None else []
        self._refuses = refuses

    def availability(self) -> Availability:
        """Return that it is there."""
        return Available("a dictionary")

    def read(self) -> dict[str, Level | None]:
        """Return what is set now."""
        return dict(self.state)

    def apply(self, levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
        """Set levels and read them back."""
        unknown = [name for name in levels if name not in self.state]
        if unknown:
            raise ActuationError(f"actuator '{self.name}' does not set {', '.join(unknown)}", options=unknown)
        self.log.append((self.name, dict(levels)))
        self.state |= {name: level for name, level in levels.items() if level not in self._refuses}
        back = {name: self.state[name] for name in levels}
        if back != dict(levels):
            raise ActuationError(f"actuator '{self.name}': asked {dict(levels)}, found {back}", asked=dict(levels))
        return back


class FaultySystem:
    """A system that goes wrong in the way its option `fault` says; the planted time is one millisecond."""

    name = "faulty"
    is_isolated = True

    def __init__(self, default: str = "none") -> None:
        """Choose which fault the default configuration has."""
        self._default = default

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return {"default": self._default}

    def space(self) -> "Space":
        """Return one option, the fault."""
        from perfport.space.space import Space

        option = Option(name="fault", type="categorical", values=("none", *FAULTS), default=self._default)
        return Space(options=[option], forbidden=["fault == 'invalid'"], name=self.name)

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return facts that never change."""
        return {"network": {"name": "faulty"}, "software": {"runtime": self.name}}

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Open; the fault "open" strikes here, the others in a run."""
        fault = configuration.get("fault", self._default)
        if set(configuration) - {"fault"} or fault not in ("none", *FAULTS):
            raise InvalidConfigurationError(f"system 'faulty' cannot be opened with {dict(configuration)}")
        if fault == "open":
            raise RuntimeError("cannot be opened like this")
        yield _FaultySession(str(fault))


class _FaultySession:
    inputs_per_run = 1

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def run_once(self) -> None:
        if self._fault in FAULTS:
            FAULTS[self._fault]()
        time.sleep(0.001)

    def output(self) -> list[NDArray[Any]]:
        return [np.full(3, 7.0 if self._fault == "wrong" else 1.0)]


def _raise() -> None:
    raise RuntimeError("the run broke\nin two lines")


def _spin() -> None:
    while True:
        pass


def _leave_a_daemon() -> None:
    """Start a program that leaves our process group, as servers do, and go on."""
    if not _DAEMONS:
        sleeper = [sys.executable, "-c", "import time; time.sleep(3600)"]
        _DAEMONS.append(subprocess.Popen(sleeper, start_new_session=True))  # noqa: S603  # our own interpreter


def _hang() -> None:
    while True:
        time.sleep(3600)


def _eat_memory() -> None:
    hoard = []
    while True:
        hoard.append(bytearray(1 << 26))


def _print_garbage() -> None:
    os.write(1, b"\xff{ not a message\n" * 100)
    os.write(2, b"nor this\n")


def _garble_pipes() -> None:
    """Write into every pipe that is open, the runner's included."""
    for fd in range(3, 64):
        try:
            os.write(fd, b"garbage\n")
        except OSError:
            continue


def _speak() -> None:
    """Write into every pipe what could be a message, but is none."""
    for fd in range(3, 64):
        try:
            os.write(fd, b'{"event": "outcome", "status": "splendid"}\n')
        except OSError:
            continue


def _fork() -> None:
    """Leave a copy of this process that goes on where we are, as a careless library does."""
    os.fork()


def _leave_a_program() -> None:
    """Start a program that outlives us and holds our output open."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])  # our own interpreter
    os.abort()


_DAEMONS: "list[subprocess.Popen[bytes]]" = []

FAULTS: Mapping[str, Callable[[], object]] = {
    "invalid": _raise,
    "open": _raise,
    "wrong": lambda: None,
    "raise": _raise,
    "exit": lambda: os._exit(3),
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": _hang,
    "spin": _spin,
    "daemon": _leave_a_daemon,
    "memory": _eat_memory,
    "print": _print_garbage,
    "garble": _garble_pipes,
    "speak": _speak,
    "fork": _fork,
    "program": _leave_a_program,
}
