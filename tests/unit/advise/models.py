"""Performance models whose influences are known, because they are written down."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
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


Terms = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Planted:
    """log y = sum of effect times product of codes; a code runs from -1 at the first level to 1 at the last."""

    space: Space
    effects: Terms
    property: Property = TIME

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        codes = {}
        for option in self.space.options:
            levels = option.levels or ()
            code = {level: 2.0 * number / (len(levels) - 1) - 1.0 for number, level in enumerate(levels)}
            codes[option.name] = configurations[option.name].map(code).to_numpy(np.float64)
        total = np.zeros(len(configurations))
        for options, effect in self.effects.items():
            total += effect * np.prod([codes[name] for name in options], axis=0)
        return np.asarray(0.01 * np.exp(total))

    def measured(self, configurations: pd.DataFrame, noise: float, rng: np.random.Generator, name: str) -> Dataset:
        """Measure configurations with the given noise on the log scale."""
        y = self.predict(configurations) * np.exp(noise * rng.standard_normal(len(configurations)))
        return Dataset(
            self.space, Environment(name), {self.property.name: self.property}, configurations, {self.property.name: y}
        )


def mixed_space(n_options: int) -> Space:
    """Booleans, ordered numbers and unordered categories in turn."""
    kinds: tuple[dict[str, object], ...] = (
        {"type": "boolean"},
        {"type": "ordinal", "values": (1, 2, 4, 8)},
        {"type": "categorical", "values": ("a", "b", "c")},
    )
    return Space([Option.model_validate({"name": f"o{i}"} | kinds[i % 3]) for i in range(n_options)])


def plant(
    space: Space, rng: np.random.Generator, *, n_main: int, n_pairs: int, n_changed: int
) -> tuple[Terms, Terms, dict[tuple[str, ...], str]]:
    """Draw source effects, target effects, and what becomes of each: one also appears."""

    def effect() -> float:
        return float(rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.5))

    names = [str(name) for name in rng.permutation(space.names)]
    source: Terms = {(name,): effect() for name in names[:n_main]}
    pairs = [(a, b) for i, a in enumerate(names[:n_main]) for b in names[i + 1 : n_main]]
    source |= {pairs[i]: effect() for i in rng.permutation(len(pairs))[:n_pairs]}
    target, kinds = dict(source), dict.fromkeys(source, "stays")
    for i in rng.permutation(len(source))[:n_changed]:
        term = list(source)[i]
        kinds[term] = str(rng.choice(["scales", "flips", "vanishes"]))
        factor = {"scales": float(rng.choice([0.5, 2.0])), "flips": -1.0, "vanishes": 0.0}[kinds[term]]
        target[term] = source[term] * factor
    appearing = (names[n_main],)
    target[appearing], kinds[appearing] = effect(), "appears"
    return source, target, kinds
