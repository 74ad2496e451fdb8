"""A small system with known influences, in two or more environments."""

from itertools import product

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray

NAMES = ["clock_hz", "threads", "mode", "cache", "idle"]
FRAME = pd.DataFrame(
    list(product((4e8, 8e8, 1.2e9, 2e9), (1, 2, 4), ("a", "b", "c"), (False, True), (0, 1))), columns=NAMES
)


def log_time(frame: pd.DataFrame, *, mode_b: float = 0.4, threads: float = -0.5) -> FloatArray:
    """Time falls with clock and threads, mode b is slow unless there is a cache, `idle` does nothing."""
    work = np.log(0.2 + 8e8 / frame["clock_hz"].to_numpy(dtype=np.float64))
    slow = mode_b * (frame["mode"] == "b").to_numpy() * (1.0 - 0.7 * frame["cache"].to_numpy(dtype=np.float64))
    return np.asarray(work + threads * np.log(frame["threads"].to_numpy(dtype=np.float64)) + slow, dtype=np.float64)


def dataset(y: FloatArray, name: str, frame: pd.DataFrame = FRAME, unit: str = "s") -> Dataset:
    """Wrap responses of all configurations of `frame`."""
    return Dataset.from_frame(frame.assign(time_s=y), properties={"time_s": unit}, environment=name)


def noisy(log_y: FloatArray, seed: int, sd: float = 0.01) -> FloatArray:
    """Return responses with multiplicative noise."""
    return np.asarray(np.exp(log_y + np.random.default_rng(seed).normal(0.0, sd, len(log_y))), dtype=np.float64)
