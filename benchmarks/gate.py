"""Does the gate catch a real regression on this machine, and let an unchanged version pass?

Each trial draws 20 configurations of an ONNX Runtime network, a Latin hypercube in which the levels of an option
occur alike, and measures each in three versions: the old one, the same again, and a "new version" that silently
ignores graph optimisation. It is a campaign of three environments: the versions take turns in random order, so that
what disturbs one disturbs the others, rows that were too disturbed to count are made again once, and rows come with
their standard errors. `check_regression` with the rule "p90 slowdown > 10%" must pass the second and fail the third,
and name graph optimisation as the cause. Measured for real; run it on an otherwise idle machine (a quarter of an hour).

    python benchmarks/gate.py                  # 10 trials
    python benchmarks/gate.py --trials 1       # a minute or two
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from perfport.advise.regression.check import RegressionCheck, check_regression
from perfport.data.dataset import Dataset
from perfport.data.environment import Fact
from perfport.data.store import Store
from perfport.measure.base import Configuration, Session
from perfport.measure.campaign.plan import task_of
from perfport.measure.campaign.run import measure_tasks
from perfport.measure.protocol import Protocol
from perfport.measure.rows import configurations_of
from perfport.measure.runner.rig import Rig, make_rig
from perfport.measure.systems.onnxruntime import OnnxRuntimeSystem
from perfport.sampling.designs import LatinHypercube
from perfport.seeding import rng_for
from perfport.space.space import Space

TIME = "inference_time_s"
RULE, CAUSE = "p90 slowdown > 10%", "graph_optimisation"
N_ROWS = 20
OPTIONS = (
    *("intra_op_threads", "execution_mode", "inter_op_threads", "spinning", "graph_optimisation"),
    *("memory_arena", "memory_pattern"),
)
PROTOCOL = Protocol(label="gate", warm_up_max_s=0.2, min_time_s=0.15, budget_s=0.4)


class SilentlyOff(OnnxRuntimeSystem):
    """The same runtime, but what is asked of graph optimisation is lost on the way."""

    name = "onnxruntime"

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Open with graph optimisation off, whatever the configuration says."""
        with super().open({**configuration, CAUSE: "off"}, workload, seed=seed) as session:
            yield session


def measured(store: Store, rigs: Sequence[Rig], rows: pd.DataFrame, trial: int) -> list[Dataset]:
    """Measure the rows on every rig, in turn."""
    rng = rng_for(trial, "benchmark", "turns")
    tasks = [
        task_of(rigs[index], configuration, 0, trial)
        for configuration in configurations_of(rigs[0].space, rows)
        for index in rng.permutation(len(rigs))
    ]
    measure_tasks(tasks, store, PROTOCOL, meters=())
    return [store.dataset(rig.environment, space=rig.space) for rig in rigs]


def checked(store: Store, rigs: Sequence[Rig], trial: int) -> tuple[RegressionCheck, RegressionCheck]:
    """Return the checks of the unchanged version and of the one that lost its optimisation."""
    rows = LatinHypercube().propose(rigs[0].space, N_ROWS, rng=rng_for(trial, "benchmark", "gate"))
    old, same, off = measured(store, rigs, rows, trial)
    unchanged, lost = (check_regression(old, new, rule=RULE, property=TIME, seed=trial) for new in (same, off))
    return unchanged, lost


def _rig(version: str, system: OnnxRuntimeSystem, side: int) -> Rig:
    """Return the rig of one version, whose environment differs from the others' in that fact alone."""
    rig = make_rig(version, system, workload={"side": side}, space=_part(system.space()))
    software = {**rig.environment.software, "release": version}
    return replace(rig, environment=replace(rig.environment, software=software))


def _part(space: Space) -> Space:
    """Return the options that are tuned in practice, with their conditions."""
    conditions = [found for found in space.conditions if found.option in OPTIONS]
    return Space([space.option(name) for name in OPTIONS], conditions=conditions, name=space.name)


def main() -> None:
    """Print each trial and how many went as they should."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--trials", type=int, default=10)
    arguments.add_argument("--network", default="ppocr_det")
    arguments.add_argument("--side", type=int, default=160, help="of the image, in pixels")
    given = arguments.parse_args()
    # A child process imports the system by the name of its module, and this one is called __main__ here.
    sys.path.insert(0, str(Path(__file__).parent))
    systems = {"old": OnnxRuntimeSystem, "same": OnnxRuntimeSystem, "off": import_module("gate").SilentlyOff}
    rigs = [_rig(version, system(given.network, batches=()), given.side) for version, system in systems.items()]
    passed = caught = named = 0
    start = time.perf_counter()
    for trial in range(given.trials):
        # A store of its own: every trial measures anew.
        with TemporaryDirectory() as folder, Store.open(Path(folder) / "perfport.db") as store:
            unchanged, lost = checked(store, rigs, trial)
        first = " × ".join(lost.suspects[0].options) if lost.suspects else "none"
        passed, caught, named = passed + unchanged.passed, caught + (not lost.passed), named + (first == CAUSE)
        print(f"trial {trial}: unchanged: {unchanged}\n         lost:      {lost}", flush=True)
    print(f"{given.trials} trials of {N_ROWS} measurements, rule '{RULE}', {time.perf_counter() - start:.0f} s:")
    print(f"unchanged version passed {passed}, lost optimisation caught {caught}, named as the cause {named}")


if __name__ == "__main__":
    main()
