"""How long the steps of a transfer take, beside a yardstick of the same machine.

    python benchmarks/speed.py                                     # a made-up system of 768 rows
    python benchmarks/speed.py DATA/opml19_xception_tx2 --property inference_time_s

Every step is repeated in turn with the yardstick (a random forest of 100 trees on 768 rows of 10 columns, the kind of
model a user would fit otherwise), so that whatever else the machine does slows both. Printed are the median seconds
of a step and the median of its ratios to the yardstick runs beside it; compare ratios between machines and days.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor

import perfport
from perfport.data.dataset import Dataset
from perfport.model.threads import one_thread
from perfport.space.encoding import Encoder
from perfport.transfer.source import cached_sources, fit_source

N_ENCODED = 100_000
N_TARGET = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", type=Path, nargs="?", help="a folder of tables with two environments or more")
    parser.add_argument("--property", help="the first one of the system if not given")
    parser.add_argument("--rows", type=int, default=768, help="at most so many rows of the source")
    parser.add_argument("--repetitions", type=int, default=5)
    a = parser.parse_args()
    source, target = made_up() if a.system is None else first_two(a.system)
    prop = a.property or next(iter(source.properties))
    source = source.take(np.arange(min(a.rows, len(source))))
    print(f"source {len(source)} rows of {len(source.space.names)} options, target {len(target)} rows, property {prop}")
    print(f"{'step':40s} {'seconds':>9s} {'/ yardstick':>12s}")
    with one_thread():
        for name, step in steps(source, target, prop).items():
            seconds, ratio = beside_yardstick(step, a.repetitions)
            print(f"{name:40s} {seconds:9.4f} {ratio:12.2f}")


def steps(source: Dataset, target: Dataset, prop: str) -> dict[str, Callable[[], object]]:
    """Return name -> what is timed; the source of the cached steps is fitted here."""
    usable = np.flatnonzero(np.nan_to_num(target.response(prop)) > 0)
    told = target.take(np.random.default_rng(0).choice(usable, min(N_TARGET, len(usable)), replace=False))
    encoder = Encoder(source.space, fitted_on=source.configurations)
    many = source.configurations.sample(N_ENCODED, replace=True, random_state=0)
    model = perfport.transfer(sources=[source], target=told, property=prop)
    cached_sources([source], property=prop)
    return {
        "fit a source model": lambda: fit_source(source, property=prop),
        f"transfer, source cached, {len(told)} rows": lambda: perfport.transfer(
            sources=[source], target=told, property=prop
        ),
        "predict 1000 configurations": lambda: model.predict(target.configurations.head(1000)),
        f"propose {N_TARGET} rows": lambda: perfport.propose(
            sources=[source], candidates=target.configurations, property=prop, budget=N_TARGET
        ),
        f"encode {N_ENCODED} configurations": lambda: encoder.transform(many),
    }


def beside_yardstick(step: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """Return the median seconds of a step, and the median of its ratios to the yardstick run next to it."""
    X = np.random.default_rng(0).normal(size=(768, 10))
    forest = RandomForestRegressor(100, random_state=0, n_jobs=1)
    pairs = [(seconds_of(step), seconds_of(lambda: forest.fit(X, X[:, 0] * X[:, 1]))) for _ in range(repetitions)]
    times, yardsticks = np.array(pairs).T
    return float(np.median(times)), float(np.median(times / yardsticks))


def seconds_of(step: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def first_two(folder: Path) -> tuple[Dataset, Dataset]:
    """Return the first two environments of a system."""
    environments = perfport.read_tables(folder).environments
    names = sorted(environments)
    return environments[names[0]], environments[names[1]]


def made_up() -> tuple[Dataset, Dataset]:
    """Return two environments of a system with three options of 4, 12 and 16 levels."""
    grid = pd.MultiIndex.from_product([range(1, 5), range(1, 13), [f"m{k}" for k in range(16)]])
    frame = grid.to_frame(index=False, name=["threads", "clock_hz", "mode"])
    speed = frame["mode"].str[1:].astype(int).to_numpy() % 5
    work = 1.0 / frame["clock_hz"].to_numpy() + 0.1 * speed / frame["threads"].to_numpy()
    rng = np.random.default_rng(0)
    return tuple(  # type: ignore[return-value]
        Dataset.from_frame(
            frame.assign(time_s=scale * work * rng.lognormal(0.0, 0.02, len(frame))), properties=["time_s"]
        )
        for scale in (1.0, 1.7)
    )


if __name__ == "__main__":
    main()
