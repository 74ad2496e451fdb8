"""Running campaigns: every finished measurement is stored before the next one begins.

    Campaign (YAML) -> rigs -> tasks in block-randomised order -> Runner -> Measurement -> Store

What is in the store under (environment fingerprint, configuration, protocol, block) is never
measured again, unless it was too disturbed to count, or failed and is asked for (see `requeue`). So the
same call goes on where it stopped, after Ctrl-C, `kill -9` or a power cut.

Example:
    >>> campaign = Campaign.read("campaign.yaml")  # doctest: +SKIP
    >>> result = run_campaign(campaign, Store.open("perfport.db"))  # doctest: +SKIP
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pandas as pd

from perfport.data.measurement import Measurement, Property
from perfport.data.store import Store
from perfport.errors import ActuationError
from perfport.measure.actuators import restore_abandoned
from perfport.measure.base import HasProperties, Meter, Outcome
from perfport.measure.blocks import is_replicate
from perfport.measure.campaign.plan import Task, TaskKey, attempts_of, measurements_of, task_of, tasks_of
from perfport.measure.campaign.progress import CampaignResult, Limits, ProgressCallback, StoppedBy, Tally
from perfport.measure.campaign.requeue import Remeasure, to_measure_again, to_retry
from perfport.measure.campaign.spec import Campaign, EnvironmentSpec, rig_of
from perfport.measure.machine.lease import device_lease
from perfport.measure.machine.scratch import remove_abandoned
from perfport.measure.meters import DEFAULT_METERS, make_meters
from perfport.measure.meters.clock import ClockMeter
from perfport.measure.protocol import Protocol
from perfport.measure.quality.grading import judge
from perfport.measure.rows import configurations_of
from perfport.measure.runner.metering import properties_read
from perfport.measure.runner.rig import Rig
from perfport.measure.runner.runner import OutOfTimeError, Runner
from perfport.measure.runner.strays import end_abandoned
from perfport.seeding import rng_for
from perfport.signals import ending_in_order

__all__ = ["measure_configurations", "measure_tasks", "run_campaign"]


def run_campaign(
    campaign: Campaign,
    store: Store,
    *,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
    max_runs: int | None = None,
    max_time_s: float | None = None,
    lease: Path | None = None,
    retry_failed: bool = False,
) -> CampaignResult:
    """Measure what a campaign still lacks.

    Ctrl-C once finishes the present measurement and returns; twice stops at once, and the present
    measurement is made again next time.

    Args:
        campaign: What is to be measured.
        store: Where measurements are kept and looked up.
        progress: Called before and after each measurement.
        stop: Asked between measurements; true ends the run.
        max_runs: Most measurements in this run.
        max_time_s: The run ends within one repetition of this time: no measurement begins that would, by
            those so far, end later, and one that does is broken off and made again next time.
        lease: Lock file of the device; that of this machine if None.
        retry_failed: Whether what has failed or timed out in earlier runs is measured once more; the earlier
            attempts stay in the store, and the best one counts.

    Raises:
        UsageError: If a system, network, option, level or actuator is not known here.
        MissingPackageError: If a system or network needs a package that is not installed.
        MeasurementError: If another campaign measures on this machine, or a system cannot be started.
        ActuationError: If an actuator cannot be used here, or something set cannot be put back.
        StoreError: If the store cannot be written.
    """
    rigs = campaign.rigs()
    tasks, _ = tasks_of(campaign, rigs)
    store.begin_campaign(campaign.name, _record(campaign, rigs))
    result = measure_tasks(
        tasks,
        store,
        campaign.protocol,
        campaign=campaign.name,
        meters=campaign.meters,
        progress=progress,
        limits=Limits(stop, max_runs, max_time_s),
        lease=lease,
        remeasure=Remeasure(campaign.worst_kept, campaign.remeasure),
        retry_failed=retry_failed,
    )
    made = measurements_of(rigs, store, campaign.protocol)
    return result.with_outcomes(made[key] for key in dict.fromkeys(task.key for task in tasks) if key in made)


def measure_configurations(
    environment: EnvironmentSpec | Rig,
    configurations: pd.DataFrame,
    store: Store,
    *,
    protocol: Protocol | None = None,
    block: int = 0,
    campaign: str | None = None,
    meters: Sequence[str] = DEFAULT_METERS,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
    lease: Path | None = None,
    remeasure: Remeasure | None = None,
) -> list[Measurement]:
    """Measure the rows of a frame in one environment; rows already in the store are not measured again.

    Args:
        environment: Where; a specification or a rig.
        configurations: What, shape (n, d): one column for each option of the space.
        store: Where measurements are kept and looked up.
        protocol: How; the default protocol if None.
        block: Replicate block.
        campaign: Name under which they are stored.
        meters: Read beside the clock, as in a campaign.
        seed: Decides the order in which they are measured.
        progress: Called before and after each measurement.
        stop: Asked between measurements; true ends early.
        lease: Lock file of the device; that of this machine if None.
        remeasure: Which rows are measured again at the end, those the store had already included. If None,
            those graded D of the rows this call has measured, once: a second call measures nothing.

    Returns:
        One measurement a row (of several attempts the one that counts), in the order of the rows; fewer
        (a subsequence) only if stopped.
    """
    protocol = protocol or Protocol()
    rig = environment if isinstance(environment, Rig) else rig_of(environment)
    rows = configurations_of(rig.space, configurations)
    tasks = [task_of(rig, row, block, seed) for row in rows]
    order = rng_for(seed, "order", block).permutation(len(tasks))
    measure_tasks(
        [tasks[index] for index in order],
        store,
        protocol,
        campaign=campaign,
        meters=meters,
        progress=progress,
        limits=Limits(stop),
        lease=lease,
        remeasure=remeasure,
        again_if_stored=remeasure is not None,
    )
    made = measurements_of([rig], store, protocol)
    return [made[task.key] for task in tasks if task.key in made]


def measure_tasks(
    tasks: Sequence[Task],
    store: Store,
    protocol: Protocol,
    *,
    meters: Sequence[str],
    campaign: str | None = None,
    progress: ProgressCallback | None = None,
    limits: Limits | None = None,
    lease: Path | None = None,
    keep_children: bool = False,
    remeasure: Remeasure | None = None,
    again_if_stored: bool = True,
    retry_failed: bool = False,
) -> CampaignResult:
    """Make the measurements of `tasks` that the store does not have, in order, then those that must be made again.

    Arguments are those of a campaign, whose meters must be told, and of `run_campaign`; `keep_children` lets one child
    serve several blocks, and without `again_if_stored` only what this call measures is made again. What is to be
    retried comes between the two: it may turn out too disturbed as well.
    """
    remeasure = remeasure or Remeasure()
    n_total = len({task.key for task in tasks})
    left, made = _left(tasks, store, protocol, campaign)
    again = to_measure_again(tasks, made, remeasure) if again_if_stored else []
    if not left and not again and not (retry_failed and to_retry(tasks, made)):
        return Tally(n_total, n_total, progress).result("finished")
    outside = make_meters(meters)
    with (
        _interrupts() as is_interrupted,
        device_lease(campaign or "measurements", path=lease),
        Runner(protocol, meters=outside) as runner,
    ):
        end_abandoned()
        remove_abandoned()
        _restore_machine()
        # Asked again under the lease: whoever held it may have measured the same.
        left, made = _left(tasks, store, protocol, campaign)
        retried = to_retry(tasks, made) if retry_failed else []
        tally = Tally(n_total + len(retried), n_total - len(left), progress)
        loop = _Loop(runner, store, protocol, campaign, outside, tally, limits or Limits(), is_interrupted)
        stopped_by = loop.measure(left, keep_children=keep_children)
        if stopped_by is None and retried:
            # In fresh children: the old ones may be why it failed.
            runner.end_children()
            stopped_by = loop.measure(retried, keep_children=keep_children)
        judged = tasks if again_if_stored else [*left, *retried]
        while stopped_by is None and judged:
            again = to_measure_again(judged, _left(judged, store, protocol, campaign)[1], remeasure)
            if not again:
                break
            # One at a time: after some that are as bad again, the rest is not worth the time.
            tally.expect(len(again))
            runner.end_children()
            stopped_by = loop.measure(again[:1])
        return tally.result(stopped_by or "finished")


@dataclass(frozen=True, slots=True)
class _Loop:
    """What measuring one task after the other needs."""

    runner: Runner
    store: Store
    protocol: Protocol
    campaign: str | None
    meters: Sequence[Meter]
    tally: Tally
    limits: Limits
    is_interrupted: Callable[[], bool]

    def measure(self, tasks: Sequence[Task], *, keep_children: bool = False) -> StoppedBy | None:
        """Measure and store; return what ended it before the last task, None if nothing did."""
        block = tasks[0].block if tasks else 0
        for task in tasks:
            reached = "asked" if self.is_interrupted() else self.limits.reached(self.tally)
            if reached is not None:
                return reached
            if task.block != block and is_replicate(task.block) and is_replicate(block) and not keep_children:
                # Replicates are worth more when nothing of the first process is left to share.
                self.runner.end_children()
            block = task.block if is_replicate(task.block) else block
            self.tally.begin(task)
            try:
                measurement = _measure(self.runner, task, self.protocol, until=self.limits.until(self.tally))
            except OutOfTimeError:
                return "max_time"
            properties = _properties(task.rig, self.meters)
            self.store.append([measurement], campaign=self.campaign, properties=properties)
            self.tally.end(task, measurement)
        return None


def _restore_machine() -> None:
    """Put back what a killed campaign had set, before its settings are taken for the machine's own.

    Raises:
        ActuationError: If that is not possible.
    """
    problems = [f"{done.actuator}: {done.problem}" for done in restore_abandoned() if done.problem]
    if problems:
        raise ActuationError(
            f"what an earlier campaign had set on this machine cannot be put back: {'; '.join(problems)}; "
            "see perfport doctor --restore"
        )


def _left(
    tasks: Sequence[Task], store: Store, protocol: Protocol, campaign: str | None
) -> tuple[list[Task], dict[TaskKey, list[Measurement]]]:
    """Return the tasks the store lacks, each once, and every attempt it has.

    Those the store has belong to `campaign` from now on.
    """
    distinct = {task.key: task for task in tasks}
    made = attempts_of([task.rig for task in tasks], store, protocol)
    if campaign is not None:
        fingerprints = {fingerprint for fingerprint, _, _ in distinct}
        linked = {
            (fingerprint, *told)
            for fingerprint in fingerprints
            for told in store.done(fingerprint, protocol.key, campaign)
        }
        theirs = (found for key in distinct for found in made.get(key, ()))
        lacking = [found for found in theirs if (*found.key[:2], *found.key[3:]) not in linked]
        if lacking:
            store.append(lacking, campaign=campaign)
    return [task for key, task in distinct.items() if key not in made], made


def _measure(runner: Runner, task: Task, protocol: Protocol, *, until: float | None) -> Measurement:
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    outcome: Outcome = runner.measure(task.rig, task.configuration, seed=task.seed, block=task.block, until=until)
    judgement = judge(outcome, protocol)
    return Measurement(
        configuration=task.configuration,
        environment=task.rig.environment,
        status=outcome.status,
        repetitions=outcome.repetitions,
        absent=outcome.absent,
        cost_s=outcome.cost_s,
        conditions=outcome.conditions,
        reason=outcome.reason,
        protocol=protocol.key,
        block=task.block,
        started_at=started_at,
        attempt=task.attempt,
        grade=judgement.grade,
        grade_reasons=judgement.reasons,
        log_se=judgement.log_se,
    )


def _properties(rig: Rig, meters: Sequence[Meter]) -> list[Property]:
    own = rig.system.properties() if isinstance(rig.system, HasProperties) else ClockMeter.properties
    return [*own, *properties_read(meters)]


def _record(campaign: Campaign, rigs: Sequence[Rig]) -> dict[str, object]:
    """Return what the store keeps about the campaign; `space` only where all environments share it."""
    spaces = {rig.environment.name: rig.space.to_yaml() for rig in rigs}
    record: dict[str, object] = {"campaign": campaign.model_dump(mode="json", exclude_defaults=True), "spaces": spaces}
    record["protocol"] = campaign.protocol.key
    return record | ({"space": next(iter(spaces.values()))} if len(set(spaces.values())) == 1 else {})


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request that is asked for between measurements; the second one raises.

    A request to end is not put off, but followed in order: what is set on the machine is restored.
    """
    asked = False

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers; whoever started another one has `stop`.
        yield lambda: asked
        return
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        with ending_in_order() as end_if_asked:

            def is_asked() -> bool:
                end_if_asked()
                return asked

            yield is_asked
    finally:
        signal.signal(signal.SIGINT, before)
