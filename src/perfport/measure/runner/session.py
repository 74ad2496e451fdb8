"""One configuration from open to close: what the child does, and the runner itself for recorded systems."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import Status
from perfport.errors import InvalidConfigurationError
from perfport.measure.base import AddsReadings, Configuration, HasOutput, Outcome, ReportsReadings, Session, System
from perfport.measure.machine.conditions import process_conditions
from perfport.measure.machine.watch import Watch
from perfport.measure.meters.clock import ClockMeter
from perfport.measure.properties import PRIMARY
from perfport.measure.protocol import Protocol
from perfport.measure.runner.outputs import read_reference, write_reference, wrong_output
from perfport.measure.runner.timing import Follower, Timing, relative_trend, run_reader, time_session

__all__ = ["Hooks", "measure_in_session"]

_REASON_CHARS = 300


def _ignore(_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What happens around the loop; nothing by default.

    Attributes:
        stage: Told what begins: "reference", "open", "check", "time", "window".
        run: Told before each timed run how long the last one took per input (None before the first) and how many
            inputs a run serves; only where runs are long and the clock is what counts.
        check_alive: Called before each run; raises or exits to end it.
        window: Runs the session on while meters outside are read.
    """

    stage: Callable[[str], None] = _ignore
    run: Callable[[float | None, int], None] = lambda last_s, inputs: None
    check_alive: Callable[[], None] = lambda: None
    window: Callable[[Session], None] = _ignore


def measure_in_session(
    system: System,
    configuration: Configuration,
    workload: Mapping[str, Fact],
    *,
    protocol: Protocol,
    seed: int = 0,
    reference: Path | None = None,
    hooks: Hooks | None = None,
) -> Outcome:
    """Open `system` with `configuration`, check its output, time it, close it.

    Args:
        system: The system under test.
        configuration: Levels of the system's own options.
        workload: Facts about the input.
        protocol: How to time.
        seed: For what is random about the run itself.
        reference: File with the outputs of the default configuration; made if it does not exist;
            None for no check.
        hooks: What happens around the loop.

    Returns:
        The outcome; whatever the system raises is a FAILED (or INVALID) one. `cost_s` covers all of it
        (in virtual time: the runs).
    """
    hooks = hooks or Hooks()
    begin = time.perf_counter()
    conditions: dict[str, object] = process_conditions()
    try:
        if reference is not None and not reference.exists():
            hooks.stage("reference")
            _make_reference(system, workload, reference, seed)
        hooks.stage("open")
        open_begin = time.perf_counter()
        with system.open(configuration, workload, seed=seed) as session:
            conditions["open_s"] = round(time.perf_counter() - open_begin, 6)
            outcome = _run(session, reference, protocol, hooks, is_watched=system.is_isolated)
    except InvalidConfigurationError as error:
        outcome = Outcome(Status.INVALID, error.message)
    except MemoryError as error:
        outcome = Outcome(Status.FAILED, _told("out of memory", error))
    except Exception as error:  # noqa: BLE001  # what a system under test raises is data
        outcome = Outcome(Status.FAILED, _told(type(error).__name__, error))
    # In virtual time, what the runs say they took is what they cost.
    elapsed_s = time.perf_counter() - begin if system.is_isolated else outcome.cost_s
    return replace(outcome, conditions={**conditions, **outcome.conditions}, cost_s=elapsed_s)


def _make_reference(system: System, workload: Mapping[str, Fact], path: Path, seed: int) -> None:
    """Store the outputs of the default configuration; none at all if the system shows none."""
    with system.open({}, workload, seed=seed) as session:
        outputs: Sequence[NDArray[Any]] = ()
        if isinstance(session, HasOutput):
            session.run_once()
            outputs = session.output()
        write_reference(path, outputs)


def _run(session: Session, reference: Path | None, protocol: Protocol, hooks: Hooks, *, is_watched: bool) -> Outcome:
    hooks.stage("check")
    begin = time.perf_counter()
    problem = _output_problem(session, reference, protocol)
    # The first run of all, with the comparison: what a cold start costs.
    checked: dict[str, object] = {"first_run_s": round(time.perf_counter() - begin, 6)}
    if problem:
        return Outcome(Status.FAILED, problem, conditions=checked)
    hooks.stage("time")
    outcome = _timed(session, protocol, hooks, is_watched=is_watched)
    hooks.stage("window")
    if outcome.status is Status.OK:
        hooks.window(session)
    return replace(outcome, conditions={**checked, **outcome.conditions})


def _output_problem(session: Session, reference: Path | None, protocol: Protocol) -> str:
    if reference is None or not isinstance(session, HasOutput):
        return ""
    session.run_once()
    return wrong_output(session.output(), read_reference(reference), protocol.output_tolerance)


def _timed(session: Session, protocol: Protocol, hooks: Hooks, *, is_watched: bool) -> Outcome:
    begin = time.perf_counter()
    reader = run_reader(session, ClockMeter())
    # Not before the output was checked: that may have kept threads of our own busy.
    watch = Watch(protocol.scheduling, protocol.budget_s) if is_watched else None
    timing = time_session(
        reader, protocol, check_alive=hooks.check_alive, pacer=watch, follower=_follower(session, hooks)
    )
    conditions: dict[str, object] = {"timing_s": round(time.perf_counter() - begin, 6), **_loop_facts(timing)}
    if watch is not None:
        conditions |= watch.facts()
    repetitions = {name: np.asarray(values, dtype=np.float64) for name, values in timing.repetitions.items()}
    for name, values in repetitions.items():
        # A system's own readings can be anything; only numbers that can be true are kept.
        wrong = values[~(np.isfinite(values) & (values >= 0))]
        if len(wrong):
            return Outcome(Status.FAILED, f"the system reported {name} = {wrong[0]:g}", conditions=conditions)
    return Outcome(Status.OK, repetitions=repetitions, conditions=conditions, cost_s=timing.elapsed_s)


def _follower(session: Session, hooks: Hooks) -> Follower:
    def follow(before: Sequence[float]) -> None:
        if _is_by_the_clock(session):
            hooks.run(before[-1] if before else None, session.inputs_per_run)

    return follow


def _is_by_the_clock(session: Session) -> bool:
    """Whether the time of a run is what the clock reads; asked when a run has ended."""
    if isinstance(session, ReportsReadings):
        return False
    return not isinstance(session, AddsReadings) or PRIMARY not in session.added_readings()


def _loop_facts(timing: Timing) -> dict[str, object]:
    facts: dict[str, object] = {
        "warm_up_runs": timing.warm_up_runs,
        "warm_up_stable": timing.is_stable,
        "stopped_by": timing.stopped_by,
        "interval_width": round(timing.interval_width, 6) if np.isfinite(timing.interval_width) else None,
        "trend": round(relative_trend(timing.repetitions[PRIMARY]), 6),
    }
    cpu_s = timing.repetitions.get("cpu_time_s")
    if cpu_s and min(timing.repetitions[PRIMARY]) > 0:
        ratios = np.asarray(cpu_s) / np.asarray(timing.repetitions[PRIMARY])
        middle, best = (float(value) for value in np.quantile(ratios, [0.5, 0.95]))
        facts["cpu_per_wall"] = round(middle, 4)
        # The runs of one configuration need the same processor time: the one that got less of it waited.
        facts["cpu_dip"] = round(1 - middle / best, 4) if best > 0 else 0.0
    return facts


def _told(kind: str, error: BaseException) -> str:
    text = " ".join(str(error).split())[:_REASON_CHARS]
    return f"{kind}: {text}" if text else kind
