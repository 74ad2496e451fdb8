"""A system whose performance-influence model is known, because it was planted.

    time(x) = base_s * exp(sum_i e_i phi_i(x) + sum_ij e_ij phi_i(x) phi_j(x)) * noise

phi_i runs from -1 at the first level of option i to 1 at the last, in equal steps; it is 0 where the
option is inactive. So `exp(2 e_i)` is the ratio between the ends of an option. `related` makes a second
system whose influences stay, scale, flip or vanish: source and target of a transfer with a known answer.
"""

import hashlib
import json
import math
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import FloatArray, configuration_key
from perfport.errors import InvalidConfigurationError, UsageError
from perfport.measure.base import Configuration, Session
from perfport.seeding import rng_for
from perfport.space.options import Option

if TYPE_CHECKING:
    import pandas as pd

    from perfport.space.space import Space

__all__ = ["SyntheticSystem"]

Mode = Literal["virtual", "sleep", "burn"]

_LEVELS = ((False, True), (1, 2, 4, 8), ("a", "b", "c"))
_DECAY = 0.7


class SyntheticSystem:
    """A planted performance-influence model that can be opened and run.

    Attributes:
        effects: "option" -> main effect, "option:option" -> interaction, on the logarithm of time.
        noise: Standard deviation of the logarithm of one run's time.
        base_s: Time in the middle of the space, in seconds.
    """

    name = "synthetic"

    def __init__(
        self,
        *,
        n_options: int = 8,
        n_interactions: int = 3,
        seed: int = 0,
        noise: float = 0.02,
        base_s: float = 0.01,
        mode: Mode = "virtual",
        effects: Mapping[str, float] | None = None,
    ) -> None:
        """Plant a model.

        Args:
            n_options: Number of options: booleans, powers of two and categories in turn.
            n_interactions: Number of planted pairs, if `effects` is not given.
            seed: Decides the effects, if they are not given.
            noise: Standard deviation of the logarithm of one run's time.
            base_s: Time in the middle of the space, in seconds.
            mode: "virtual" (reports the time without spending it), "sleep" or "burn" (spends it).
            effects: The model itself, instead of a drawn one.

        Raises:
            UsageError: If a number is out of range or an effect names an unknown option.
        """
        if n_options < 1 or noise < 0 or base_s <= 0 or mode not in ("virtual", "sleep", "burn"):
            raise UsageError(
                f"system 'synthetic': n_options {n_options}, noise {noise}, base_s {base_s}, mode '{mode}'; "
                "n_options is at least 1, noise 0 or more, base_s positive, mode virtual, sleep or burn"
            )
        self.options = tuple(_option(number) for number in range(n_options))
        self.noise = float(noise)
        self.base_s = float(base_s)
        self._mode: Mode = mode
        drawn = (
            effects if effects is not None else _drawn_effects(self.options, n_interactions, rng_for(seed, "planted"))
        )
        self.effects: dict[str, float] = {term: float(effect) for term, effect in drawn.items()}
        known = {option.name for option in self.options}
        unknown = [term for term in self.effects if not known.issuperset(term.split(":"))]
        if unknown:
            raise UsageError(f"effect '{unknown[0]}' names an unknown option; known are {', '.join(sorted(known))}")

    @property
    def is_isolated(self) -> bool:
        """Whether it spends real time, and so needs a child."""
        return self._mode != "virtual"

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return {
            "n_options": len(self.options),
            "noise": self.noise,
            "base_s": self.base_s,
            "mode": self._mode,
            "effects": dict(self.effects),
        }

    def related(
        self,
        seed: int,
        *,
        scale: float | Mapping[str, float] = 1.0,
        flip: Collection[str] = (),
        drop: Collection[str] = (),
        jitter: float = 0.0,
        base_ratio: float = 1.0,
        noise: float | None = None,
    ) -> "SyntheticSystem":
        """Return a system with the same options whose influences are derived from these.

        Args:
            seed: Decides the jitter.
            scale: Factor of every effect, or of those named.
            flip: Terms that change their sign.
            drop: Terms that vanish.
            jitter: Standard deviation of the logarithm of a random factor on each effect.
            base_ratio: Factor of `base_s`: a faster or slower machine.
            noise: Noise of the new system; that of this one if None.

        Raises:
            UsageError: If a term named is none of `effects`.
        """
        named = {*flip, *drop, *(scale if isinstance(scale, Mapping) else ())}
        if not named <= self.effects.keys():
            missing = ", ".join(sorted(named - self.effects.keys()))
            raise UsageError(f"no such term: {missing}; planted are {', '.join(self.effects)}")
        rng = rng_for(seed, "related")
        effects: dict[str, float] = {}
        for term, effect in self.effects.items():
            factor = scale.get(term, 1.0) if isinstance(scale, Mapping) else scale
            # Drawn for every term, so that dropping one does not change the others.
            factor *= math.exp(jitter * rng.standard_normal())
            effects[term] = 0.0 if term in drop else effect * factor * (-1 if term in flip else 1)
        settings = self.settings | {"effects": effects, "base_s": self.base_s * base_ratio}
        if noise is not None:
            settings["noise"] = noise
        return SyntheticSystem(**settings)

    def space(self) -> "Space":
        """Return the options; every combination is valid."""
        from perfport.space.space import Space  # a child has no need of pandas

        return Space(options=self.options, name=self.name)

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return facts that tell planted models apart; in virtual time the hardware is none."""
        planted = json.dumps([self.base_s, self.noise, sorted(self.effects.items())])
        facets: dict[str, Mapping[str, Fact]] = {
            "network": {"name": "planted", "sha256": hashlib.sha256(planted.encode()).hexdigest()[:12]},
            "software": {"runtime": self.name},
        }
        if not self.is_isolated:
            facets["hardware"] = {"device": "virtual time"}
        return facets

    def truth(self, configurations: "pd.DataFrame") -> FloatArray:
        """Return the noiseless time of each configuration, in seconds, shape (n,)."""
        rows = configurations.to_dict(orient="records")
        return np.array([self.time_s({str(name): level for name, level in row.items()}) for row in rows])

    def time_s(self, configuration: Mapping[str, Any]) -> float:
        """Return the noiseless time of one configuration, in seconds."""
        codes = {option.name: _code(option, configuration.get(option.name)) for option in self.options}
        exponent = sum(
            effect * math.prod(codes[name] for name in term.split(":")) for term, effect in self.effects.items()
        )
        return self.base_s * math.exp(exponent)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Open with `configuration`; the noise depends on it and on `seed` alone."""
        known = {option.name: option for option in self.options}
        for name, level in configuration.items():
            if name not in known or (level is not None and level not in (known[name].levels or ())):
                raise InvalidConfigurationError(f"system 'synthetic' has no level {name}={level!r}", option=name)
        defaults = {option.name: option.default_level for option in self.options}
        time_s = self.time_s(defaults | dict(configuration))
        rng = rng_for(seed, "noise", configuration_key(configuration))
        if self._mode == "virtual":
            yield _VirtualSession(time_s, self.noise, rng)
        else:
            yield _RealSession(time_s, self.noise, rng, self._mode)


class _RealSession:
    """Spends the planted time, asleep or awake."""

    inputs_per_run = 1

    def __init__(self, time_s: float, noise: float, rng: np.random.Generator, mode: Mode) -> None:
        self._time_s = time_s
        self._noise = noise
        self._rng = rng
        self._mode = mode

    def run_once(self) -> None:
        seconds = _noisy(self._time_s, self._noise, self._rng)
        if self._mode == "sleep":
            time.sleep(seconds)
            return
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    def output(self) -> list[NDArray[Any]]:
        return [np.ones(1)]


class _VirtualSession:
    """Reports the planted time without spending it."""

    inputs_per_run = 1

    def __init__(self, time_s: float, noise: float, rng: np.random.Generator) -> None:
        self._time_s = time_s
        self._noise = noise
        self._rng = rng
        self._last_s = time_s

    def run_once(self) -> None:
        self._last_s = _noisy(self._time_s, self._noise, self._rng)

    def readings(self) -> dict[str, float]:
        return {"inference_time_s": self._last_s, "cpu_time_s": self._last_s}


def _noisy(time_s: float, noise: float, rng: np.random.Generator) -> float:
    return time_s * math.exp(noise * float(rng.standard_normal()))


def _option(number: int) -> Option:
    levels = _LEVELS[number % len(_LEVELS)]
    name = f"option_{number + 1}"
    if levels == (False, True):
        return Option(name=name, type="boolean")
    return Option(name=name, type="categorical" if isinstance(levels[0], str) else "ordinal", values=levels)


def _code(option: Option, level: Any) -> float:
    """Position of the level, from -1 (first) to 1 (last); 0 where the option is inactive."""
    levels = option.levels or ()
    if level not in levels:
        return 0.0
    return 2.0 * levels.index(level) / (len(levels) - 1) - 1.0


def _drawn_effects(options: tuple[Option, ...], n_interactions: int, rng: np.random.Generator) -> dict[str, float]:
    """Draw a sparse model: two thirds of the options matter, less and less; pairs among those that matter."""
    order = rng.permutation(len(options))
    influential = order[: max(1, (2 * len(options) + 2) // 3)]
    signs = rng.choice([-1.0, 1.0], size=len(influential))
    effects = {
        options[index].name: float(sign * 0.6 * _DECAY**rank)
        for rank, (index, sign) in enumerate(zip(influential, signs, strict=True))
    }
    pairs = [(a, b) for position, a in enumerate(influential) for b in influential[position + 1 :]]
    chosen = rng.permutation(len(pairs))[: min(n_interactions, len(pairs))]
    for rank, index in enumerate(chosen):
        a, b = pairs[index]
        sign = float(rng.choice([-1.0, 1.0]))
        effects[f"{options[a].name}:{options[b].name}"] = sign * 0.3 * _DECAY**rank
    return effects
