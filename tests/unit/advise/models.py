"""Performance models whose influences are known, because they are written down."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from perfport.data.measurement import FloatArray, Property
from perfport.space.options import Option
from perfport.space.space import Space

TIME = Property("inference_time_s", "s")


@dataclass(frozen=True)
class Written:
    """Predicts what a function says."""

    law: Callable[[pd.DataFrame], FloatArray]
    property: Property = TIME

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        return np.asarray(self.law(configurations), dtype=np.float64)


@dataclass(frozen=True)
class Unsure(Written):
    """Knows that each prediction may be off by a factor of about exp(`sd_log`)."""

    sd_log: float = 0.1

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        assert coverage == 0.9
        y = self.predict(configurations)
        return y * np.exp(-1.645 * self.sd_log), y * np.exp(1.645 * self.sd_log)


@dataclass(frozen=True)
class Sampled(Written):
    """Draws from a posterior in which only the coefficient of one boolean option is unknown."""

    option: str = "a"
    sd: float = 0.1
    asked: list[int] = field(default_factory=list)

    def predict_samples(self, configurations: pd.DataFrame, n: int, *, rng: np.random.Generator) -> FloatArray:
        self.asked.append(n)
        shift = rng.normal(0.0, self.sd, (n, 1)) * (configurations[self.option].to_numpy(float) - 0.5)
        return np.asarray(self.predict(configurations) * np.exp(shift))


def booleans(*names: str) -> Space:
    """A space of boolean options without rules."""
    return Space([Option(name=name, type="boolean") for name in names])


def numbers(frame: pd.DataFrame, name: str) -> FloatArray:
    """The levels of an option as numbers, inactive ones as zero."""
    return np.asarray(np.nan_to_num(frame[name].to_numpy(np.float64, na_value=np.nan)))
