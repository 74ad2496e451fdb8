"""The runner: turns (rig, configuration) into an outcome, whatever the system does meanwhile.

The only place where systems, meters and actuators meet:

    machine actuators   |<- set, read back ------------------------------------------------- restore ->|
    child process       | (kept for many configurations) open | warm up | timed runs | window | close  |
    meters outside      |                                                            |<-read->|

A child serves configurations of one rig with one set of process-level actuator levels and is
replaced after `Protocol.configurations_per_child`, after a crash and after a time-out. Children
of several rigs wait side by side, asleep on their pipes, so that environments can be interleaved.
"""

import math
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from perfport.data.measurement import Status
from perfport.errors import ActuationError, MeasurementError
from perfport.measure.actuators import Journal, actuators_for, applied, restore_abandoned, start_variables
from perfport.measure.base import (
    Actuator,
    Configuration,
    Meter,
    NeedsNewChild,
    Outcome,
    RestoresState,
    ServesOutcomes,
)
from perfport.measure.machine.conditions import conditions_now, stolen_s
from perfport.measure.machine.scratch import new_scratch
from perfport.measure.properties import PRIMARY
from perfport.measure.protocol import Protocol
from perfport.measure.runner.child_process import ChildLostError, ChildProcess, ChildTimedOutError
from perfport.measure.runner.metering import Metering, Window
from perfport.measure.runner.rig import Rig
from perfport.measure.runner.session import measure_in_session
from perfport.space.options import Level

__all__ = ["OutOfTimeError", "Runner"]

_START_S = 60.0  # a child that has not loaded its system after this hangs
_MOST_CHILDREN = 12  # children asleep use memory only, but not without limit
_PRINTED_CHARS = 200


class OutOfTimeError(Exception):
    """The time given to the whole run was up in the middle of a measurement, which was broken off."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One configuration to measure, split by who gets which levels."""

    rig: Rig
    system_levels: Mapping[str, Level | None]
    process_levels: Mapping[str, Level | None]
    machine_levels: Mapping[str, Level | None]
    load_levels: Mapping[str, Level | None]  # those of the machine's that runtimes look at when they are loaded
    seed: int
    until: float | None = None

    @property
    def child_key(self) -> tuple[object, ...]:
        levels = {**self.process_levels, **self.load_levels}
        return (self.rig, *sorted((name, str(level)) for name, level in levels.items()))

    @property
    def machine_key(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted((name, str(level)) for name, level in self.machine_levels.items()))


class Runner:
    """Measures configurations, one at a time. A context manager: leaving it ends every child.

    Args:
        protocol: How to measure.
        meters: Read outside the child, in a window of their own; one that is absent is recorded so.
    """

    def __init__(self, protocol: Protocol, *, meters: Sequence[Meter] = ()) -> None:
        self._protocol = protocol
        self._metering = Metering(meters)
        self._journal = Journal()
        self._children: dict[tuple[object, ...], ChildProcess] = {}
        self._references: dict[Rig, Path] = {}
        self._no_reference: dict[Rig, str] = {}
        self._scratch = new_scratch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every child."""
        self.end_children()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def end_children(self) -> None:
        """End every child; the next configuration starts a fresh one (at the end of a block)."""
        while self._children:
            self._end_child(next(iter(self._children)))

    def measure(
        self, rig: Rig, configuration: Configuration, *, seed: int = 0, block: int = 0, until: float | None = None
    ) -> Outcome:
        """Return what becomes of `configuration`; everything the system does wrong is an outcome.

        Args:
            rig: System, workload and space.
            configuration: Levels of the rig's options.
            seed: For what is random about the run itself.
            block: Replicate block, for systems that serve recorded outcomes.
            until: When it must have ended, on the monotonic clock; None for `Protocol.timeout_s` alone.

        Raises:
            OutOfTimeError: If that moment came first; there is no outcome then.
            MeasurementError: If the rig cannot be started at all (a package is missing, say).
            ActuationError: If something set on the machine could not be restored.
        """
        broken = rig.space.violations(configuration)
        if broken:
            return Outcome(Status.INVALID, "; ".join(broken))
        if isinstance(rig.system, ServesOutcomes):
            return rig.system.outcome(configuration, block=block)
        system_levels, around = rig.split(configuration)
        actuators = actuators_for(around)
        machine = [actuator for actuator in actuators if actuator.scope == "machine"]
        request = _Request(
            rig,
            system_levels,
            process_levels=_levels_of([actuator for actuator in actuators if actuator.scope == "process"], around),
            machine_levels=_levels_of(machine, around),
            load_levels=_levels_of([actuator for actuator in machine if isinstance(actuator, NeedsNewChild)], around),
            seed=seed,
            until=until,
        )
        begin = time.perf_counter()
        outcome = self._with_machine(request, machine)
        absent = {**self._metering.absent, **outcome.absent}
        cost_s = time.perf_counter() - begin
        if not rig.system.is_isolated:
            read = (found.name for meter in self._metering.meters for found in meter.properties)
            absent |= dict.fromkeys(read, "the system runs nothing")
            cost_s = outcome.cost_s
        return replace(outcome, absent=absent if outcome.status is Status.OK else {}, cost_s=cost_s)

    def _with_machine(self, request: _Request, machine: Sequence[Actuator]) -> Outcome:
        conditions = conditions_now()
        stolen_before_s = stolen_s()
        with ExitStack() as stack:
            try:
                back = stack.enter_context(applied(machine, request.machine_levels, journal=self._journal))
            except ActuationError as error:
                if "unrestored" in error.details:
                    raise
                return Outcome(Status.FAILED, error.message, conditions=conditions)
            if back:
                conditions["set"] = back
            if request.rig.system.is_isolated:
                self._metering.measure_idle(request.machine_key, self._protocol.window_s)
            outcome = self._run(request)
        stolen_after_s = stolen_s()
        if stolen_before_s is not None and stolen_after_s is not None:
            conditions["stolen_s"] = round(stolen_after_s - stolen_before_s, 3)
        return replace(outcome, conditions={**conditions, **outcome.conditions})

    def _run(self, request: _Request) -> Outcome:
        if request.rig.system.is_isolated:
            return self._in_child(request)
        return measure_in_session(
            request.rig.system,
            request.system_levels,
            request.rig.workload,
            protocol=self._protocol,
            seed=request.seed,
        )

    def _in_child(self, request: _Request) -> Outcome:
        try:
            child = self._child(request)
        except MeasurementError as error:
            if not request.process_levels.keys() - request.rig.actuators.keys():
                raise
            # Only this configuration sets what keeps the system from starting.
            return Outcome(Status.FAILED, error.message)
        is_usable = False
        try:
            outcome = self._converse(child, request, self._reference(request.rig))
            is_usable = child.served < self._protocol.configurations_per_child
        except ChildTimedOutError as error:
            if request.until is not None and time.monotonic() >= request.until:
                self._end_child(request.child_key)
                raise OutOfTimeError from None
            outcome = self._timed_out(child, error.at_least_s)
        except ChildLostError as error:
            outcome = Outcome(Status.FAILED, f"{error} {_doing(child)}{_said(child)}")
        if not is_usable:
            self._end_child(request.child_key)
        if outcome.status is not Status.OK and child.stage == "reference":
            # The default configuration is to blame, not this one: measure it without the check.
            self._no_reference[request.rig] = outcome.reason
            return self._in_child(request)
        return outcome

    def _timed_out(self, child: ChildProcess, at_least_s: float | None) -> Outcome:
        """Return the outcome of a time-out, with the lower bound of an input's time that the timed runs give."""
        reason = f"no answer for {self._protocol.timeout_s:g} s {_doing(child)}"
        if at_least_s is None:
            return Outcome(Status.TIMED_OUT, reason)
        told = f"{reason}; an input takes at least {at_least_s:.3g} s"
        return Outcome(Status.TIMED_OUT, told, repetitions={PRIMARY: np.array([at_least_s])})

    def _reference(self, rig: Rig) -> str:
        """Return the file of the default configuration's outputs, or "" if there can be none."""
        if rig in self._no_reference:
            return ""
        return str(self._references.setdefault(rig, self._scratch / f"{len(self._references)}.npz"))

    def _converse(self, child: ChildProcess, request: _Request, reference: str) -> Outcome:
        deadline = time.monotonic() + self._protocol.timeout_s
        if request.until is not None:
            deadline = min(deadline, request.until)
        child.served += 1
        child.stage = "open"
        child.send(
            {
                "configuration": request.system_levels,
                "seed": request.seed,
                "reference": reference,
                "window_s": self._metering.length_s(self._protocol.window_s),
            }
        )
        window = Window()
        try:
            message = child.receive(deadline)
            while message["event"] == "window":
                window, message = self._read_meters(child, deadline, request)
            return _outcome(message, window, self._no_reference.get(request.rig, ""))
        except (KeyError, TypeError, ValueError) as error:
            child.close()
            raise ChildLostError("the child sent an outcome that cannot be read") from error

    def _read_meters(self, child: ChildProcess, deadline: float, request: _Request) -> tuple[Window, dict[str, Any]]:
        """Let the child run on between start and stop of every meter.

        Returns:
            Readings per input, and what the child said after the window: an outcome.
        """
        inputs = 1
        self._metering.start()
        try:
            child.send({"go": True})
            message = child.receive(deadline)
            # A run that raised ends the window early: the outcome comes in place of its end.
            is_whole = message["event"] != "outcome"
            if is_whole:
                inputs = int(message["inputs"])
        finally:
            # Also when the child is lost: no meter may go on reading.
            window = self._metering.stop(inputs, idle=request.machine_key)
        return window, child.receive(deadline) if is_whole else message

    def _end_child(self, key: tuple[object, ...]) -> None:
        """End a child, and undo what it had set beyond itself: it is killed and cannot."""
        child = self._children[key]
        child.close()
        if child.leaves_traces:
            restore_abandoned(self._journal)
        del self._children[key]

    def _child(self, request: _Request) -> ChildProcess:
        """Return the child of this rig and these process-level levels, started if there is none."""
        key = request.child_key
        if key in self._children:
            # To the end: the one that was not used for longest is the first to go.
            self._children[key] = self._children.pop(key)
            return self._children[key]
        while len(self._children) >= _MOST_CHILDREN:
            self._end_child(next(iter(self._children)))
        child, problem = self._start(request)
        if problem and child.was_killed:
            # From outside, or because memory was short for a moment: that says nothing about the system.
            child, problem = self._start(request)
        if problem:
            name, system = request.rig.environment.name, request.rig.system.name
            raise MeasurementError(f"environment '{name}': system '{system}' cannot be started: {problem}")
        self._children[key] = child
        return child

    def _start(self, request: _Request) -> tuple[ChildProcess, str]:
        """Return a new child, and why it does not serve; it is closed then."""
        child = ChildProcess(start_variables(request.process_levels))
        child.leaves_traces = any(
            isinstance(actuator, RestoresState) for actuator in actuators_for(request.process_levels)
        )
        system = request.rig.system
        child.send(
            {
                "parent": os.getpid(),
                "sys_path": sys.path,
                "folder": request.rig.folder,
                "system": f"{type(system).__module__}:{type(system).__qualname__}",
                "settings": dict(system.settings),
                "workload": dict(request.rig.workload),
                "protocol": self._protocol.model_dump(),
                "actuators": dict(request.process_levels),
            }
        )
        problem = "it was not told"
        try:
            problem = _problem_at_start(child, request.until)
        finally:
            if problem:
                child.close()
                if child.leaves_traces:
                    restore_abandoned(self._journal)
        return child, problem


def _levels_of(actuators: Sequence[Actuator], levels: Mapping[str, Level | None]) -> dict[str, Level | None]:
    names = {option.name for actuator in actuators for option in actuator.options}
    return {name: level for name, level in levels.items() if name in names}


def _problem_at_start(child: ChildProcess, until: float | None) -> str:
    try:
        message = child.receive(min(time.monotonic() + _START_S, math.inf if until is None else until))
    except ChildTimedOutError:
        if until is not None and time.monotonic() >= until:
            raise OutOfTimeError from None
        return f"the child did not load it within {_START_S:g} s{_said(child)}"
    except ChildLostError as error:
        return f"{error}{_said(child)}"
    return "" if message["event"] == "ready" else str(message["reason"])


def _outcome(message: Mapping[str, Any], window: Window, no_reference: str) -> Outcome:
    repetitions = {name: np.asarray(values, dtype=np.float64) for name, values in message["repetitions"].items()}
    status = Status(message["status"])
    conditions = {**message["conditions"], **window.conditions}
    if no_reference:
        conditions["output_unchecked"] = f"the default configuration failed: {no_reference}"
    return Outcome(
        status=status,
        reason=str(message["reason"]),
        repetitions=repetitions | window.readings if status is Status.OK else {},
        absent=window.absent,
        conditions=conditions,
    )


def _doing(child: ChildProcess) -> str:
    return {
        "reference": "while the default configuration was run for comparison",
        "open": "while opening the configuration",
        "check": "in the first run",
        "time": "while running",
        "window": "after the timed runs",
    }.get(child.stage, f"({child.stage})")


def _said(child: ChildProcess) -> str:
    lines = child.printed.splitlines()
    return f"; it printed '{lines[-1][-_PRINTED_CHARS:]}'" if lines else ""
