"""A small study: three environments of one system, and strategies that misbehave."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import FloatArray, Property
from perfport.study.guard import GuardedTarget
from perfport.study.spec import StudySpec


def _on_board(name: str, log_y: FloatArray, seed: int) -> Dataset:
    here = Environment(name, hardware={"board": name})
    return replace(dataset(noisy(log_y, seed), name), environment=here)


ENVIRONMENTS = {
    "old": _on_board("old", log_time(FRAME), 0),
    "mid": _on_board("mid", 1.0 + log_time(FRAME, threads=-0.4), 1),
    "new": _on_board("new", 2.0 + log_time(FRAME, mode_b=0.2), 2),
}


def environments(system: str, name: str) -> Dataset:
    """Look up an environment, as `study_data` does."""
    return ENVIRONMENTS[name]


def spec(**changes: Any) -> StudySpec:
    """Return a study of a few fast cells."""
    fields: dict[str, Any] = {
        "name": "small",
        "pairs": [{"sources": "old", "target": "new"}],
        "strategies": ["scaled", "target_only:tree"],
        "budgets": [4, 12],
        "seeds": 2,
    }
    return StudySpec(**(fields | changes))


@dataclass(frozen=True)
class Constant:
    """A model that answers one number."""

    property: Property
    value: float

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Answer it for every row."""
        return np.full(len(configurations), self.value)


@dataclass(frozen=True)
class Broken:
    """A strategy that raises."""

    def fit(self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator) -> Constant:
        """Raise."""
        raise RuntimeError("no model\ntoday")


@dataclass(frozen=True)
class Deadly:
    """A strategy that takes its process with it."""

    def fit(self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator) -> Constant:
        """Die at once, as when memory runs out."""
        os._exit(1)


@dataclass(frozen=True)
class NotANumber:
    """A strategy whose model predicts nothing finite."""

    def fit(self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator) -> Constant:
        """Return such a model."""
        return Constant(target.properties[property], float("nan"))


@dataclass(frozen=True)
class Peeking:
    """A strategy that was given the target by a careless author, and reads it while fitting."""

    everything: GuardedTarget

    def fit(self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator) -> Constant:
        """Read what it must not."""
        return Constant(target.properties[property], float(np.mean(self.everything.response(property))))


@dataclass(frozen=True)
class FrameWalker:
    """A strategy that looks for the target in the frames of whoever called it."""

    def fit(self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator) -> Constant:
        """Walk up the stack and take all rows of anything that has some."""
        import inspect

        for caller in inspect.stack():
            for found in _within(caller.frame.f_locals.values()):
                if len(found) > len(target):
                    return Constant(target.properties[property], float(np.mean(found.take([0, 1]).response(property))))
        raise AssertionError("there was nothing to steal")


def _within(values: Any) -> list[Any]:
    values = [inner for value in values for inner in (value, getattr(value, "target", None))]
    return [value for value in values if isinstance(value, GuardedTarget | Dataset) and "new" in _name(value)]


def _name(value: GuardedTarget | Dataset) -> str:
    return value.environment.name if isinstance(value, Dataset) else value.name
