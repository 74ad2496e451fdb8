"""Running campaigns: every finished measurement is stored before the next one begins.

    Campaign (YAML) -> rigs -> tasks in block-randomised order -> Runner -> Measurement -> Store

What is in the store under (environment fingerprint, configuration, protocol, block) is never
measured again, so the same call goes on where it stopped, after Ctrl-C, `kill -9` or a power cut.

Example:
    >>> campaign = Campaign.read("campaign.yaml")  # doctest: +SKIP
    >>> result = run_campaign(campaign, Store.open("perfport.db"))  # doctest: +SKIP
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pandas as pd

from perfport.data.measurement import Measurement, Property
from perfport.data.store import Store
from perfport.errors import ActuationError
from perfport.measure.actuators import restore_abandoned
from perfport.measure.base import HasProperties, Meter, Outcome
from perfport.measure.lease import device_lease
from perfport.measure.metering import properties_read
from perfport.measure.meters import make_meters
from perfport.measure.meters.clock import ClockMeter
from perfport.measure.plan import Task, measurements_of, plan_campaign, task_of, tasks_of
from perfport.measure.progress import CampaignResult, Limits, Progress, ProgressCallback, Tally
from perfport.measure.protocol import Protocol
from perfport.measure.rig import Rig
from perfport.measure.rows import configurations_of
from perfport.measure.runner import Runner
from perfport.measure.spec import Campaign, EnvironmentSpec, rig_of
from perfport.seeding import rng_for

__all__ = [
    "Campaign",
    "CampaignResult",
    "EnvironmentSpec",
    "Progress",
    "ProgressCallback",
    "measure_configurations",
    "measure_tasks",
    "plan_campaign",
    "run_campaign",
]


def run_campaign(
    campaign: Campaign,
    store: Store,
    *,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
    max_runs: int | None = None,
    max_time_s: float | None = None,
    lease: Path | None = None,
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
        max_time_s: No measurement begins that would, by those so far, end after this time.
        lease: Lock file of the device; that of this machine if None.

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
    return measure_tasks(
        tasks,
        store,
        campaign.protocol,
        campaign=campaign.name,
        meters=campaign.meters,
        progress=progress,
        limits=Limits(stop, max_runs, max_time_s),
        lease=lease,
    )


def measure_configurations(
    environment: EnvironmentSpec | Rig,
    configurations: pd.DataFrame,
    store: Store,
    *,
    protocol: Protocol | None = None,
    block: int = 0,
    campaign: str | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
    lease: Path | None = None,
) -> list[Measurement]:
    """Measure the rows of a frame in one environment; rows already in the store are not measured again.

    Args:
        environment: Where; a specification or a rig.
        configurations: What, shape (n, d): one column for each option of the space.
        store: Where measurements are kept and looked up.
        protocol: How; the default protocol if None.
        block: Replicate block.
        campaign: Name under which they are stored.
        seed: Decides the order in which they are measured.
        progress: Called before and after each measurement.
        stop: Asked between measurements; true ends early.
        lease: Lock file of the device; that of this machine if None.

    Returns:
        One measurement a row, in the order of the rows; fewer (a subsequence) only if stopped.
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
        progress=progress,
        limits=Limits(stop),
        lease=lease,
    )
    made = measurements_of([rig], store, protocol)
    return [made[task.key] for task in tasks if task.key in made]


def measure_tasks(
    tasks: Sequence[Task],
    store: Store,
    protocol: Protocol,
    *,
    campaign: str | None = None,
    meters: Sequence[str] = ("energy",),
    progress: ProgressCallback | None = None,
    limits: Limits | None = None,
    lease: Path | None = None,
    keep_children: bool = False,
) -> CampaignResult:
    """Make the measurements of `tasks` that the store does not have, in order.

    Arguments are those of `run_campaign`; `keep_children` lets one child serve several blocks.
    """
    n_total = len({task.key for task in tasks})
    if not _left(tasks, store, protocol, campaign):
        return Tally(n_total, n_total, progress).result("finished")
    outside = make_meters(meters)
    with (
        _interrupts() as is_interrupted,
        device_lease(campaign or "measurements", path=lease),
        Runner(protocol, meters=outside) as runner,
    ):
        _restore_machine()
        # Asked again under the lease: whoever held it may have measured the same.
        left = _left(tasks, store, protocol, campaign)
        tally = Tally(n_total, n_total - len(left), progress)
        block = left[0].block if left else 0
        for task in left:
            reached = "asked" if is_interrupted() else (limits or Limits()).reached(tally)
            if reached is not None:
                return tally.result(reached)
            if task.block != block and not keep_children:
                # Replicates are worth more when nothing of the first process is left to share.
                runner.end_children()
                block = task.block
            tally.begin(task)
            measurement = _measure(runner, task, protocol)
            store.append([measurement], campaign=campaign, properties=_properties(task.rig, outside))
            tally.end(task, measurement)
    return tally.result("finished")


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


def _left(tasks: Sequence[Task], store: Store, protocol: Protocol, campaign: str | None) -> list[Task]:
    """Return the tasks the store lacks, each once; those it has belong to `campaign` from now on."""
    distinct = {task.key: task for task in tasks}
    made = measurements_of([task.rig for task in tasks], store, protocol)
    if campaign is not None:
        fingerprints = {fingerprint for fingerprint, _, _ in distinct}
        linked = {
            (fingerprint, *pair)
            for fingerprint in fingerprints
            for pair in store.done(fingerprint, protocol.key, campaign)
        }
        store.append([made[key] for key in distinct if key in made and key not in linked], campaign=campaign)
    return [task for key, task in distinct.items() if key not in made]


def _measure(runner: Runner, task: Task, protocol: Protocol) -> Measurement:
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    outcome: Outcome = runner.measure(task.rig, task.configuration, seed=task.seed, block=task.block)
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
    """Turn the first Ctrl-C into a request that is asked for between measurements; the second one raises."""
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
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
