"""Several objectives on a space too large to be gone through: NSGA-II, by pymoo (extra `moo`).

Individuals are valid configurations all along: a child takes each option from one of its parents (of a float
range, a value between theirs), some options from a third configuration drawn at random; a mixture that breaks
a rule gives way to a parent.

Source:
    NSGA-II: Deb, Pratap, Agarwal, Meyarivan, IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.recommendation.feasible import Allowed, some_allowed_rows
from perfport.advise.recommendation.pareto import first_fronts
from perfport.data.measurement import FloatArray
from perfport.errors import MissingPackageError
from perfport.seeding import rng_for
from perfport.space.options import Level
from perfport.space.space import Space

__all__ = ["evolved"]

POPULATION = 100
GENERATIONS = 50
N_SAMPLED = 2000  # scored first; the best fronts of them are the first population
STRANGE = 0.1  # share of options a child takes from a random configuration

Configuration = Mapping[str, Level | None]


def evolved(
    space: Space, score: Callable[[pd.DataFrame], FloatArray], *, seed: int, allowed: Allowed | None = None
) -> tuple[pd.DataFrame, FloatArray]:
    """Return the last population and its scores.

    Args:
        space: To choose from.
        score: Returns shape (m, q); less is better in every column.
        seed: Of all chance.
        allowed: Which of them may be chosen; all if None.

    Raises:
        MissingPackageError: If pymoo is not installed.
        NotEnoughDataError: If none may be chosen.
    """
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.problem import Problem
        from pymoo.optimize import minimize
    except ImportError as error:
        raise MissingPackageError(
            "several objectives on a space too large to be gone through need pymoo: pip install 'perfport[moo]'"
        ) from error

    rng = rng_for(seed, "evolution")
    sample = some_allowed_rows(space.sample(N_SAMPLED, rng), allowed)
    pool = space.configurations(sample)

    class Wanted(Problem):  # type: ignore[misc]  # ships no types
        """Scores of configurations, held as the one variable of an individual."""

        def __init__(self, n_objectives: int) -> None:
            super().__init__(n_var=1, n_obj=n_objectives)

        def _evaluate(self, individuals: NDArray[np.object_], out: dict[str, Any], *_: Any, **__: Any) -> None:
            out["F"] = score(space.frame(list(individuals[:, 0])))

    scores = score(sample)
    algorithm = NSGA2(
        pop_size=POPULATION,
        sampling=_column([pool[row] for row in first_fronts(scores, POPULATION)]),
        **_operators(space, pool, rng, allowed),
    )
    found = minimize(Wanted(scores.shape[1]), algorithm, ("n_gen", GENERATIONS), seed=int(rng.integers(2**31)))
    last = space.frame([individual.X[0] for individual in found.pop])
    return last, np.stack([individual.F for individual in found.pop])


def _operators(
    space: Space, pool: Sequence[Configuration], rng: np.random.Generator, allowed: Allowed | None
) -> dict[str, Any]:
    """Return crossover, mutation and the test for duplicates."""
    from pymoo.core.crossover import Crossover
    from pymoo.core.duplicate import DuplicateElimination
    from pymoo.operators.mutation.nom import NoMutation

    def child(first: Configuration, second: Configuration) -> Configuration:
        stranger = pool[int(rng.integers(len(pool)))]
        chance = rng.random(len(space))
        mixed = {
            name: (stranger if u < STRANGE else first if u < 0.5 + STRANGE / 2 else second)[name]
            for name, u in zip(space.names, chance, strict=True)
        }
        for name, level in mixed.items():
            other = second[name]
            if isinstance(level, float) and isinstance(other, float):
                mixed[name] = level + float(rng.random()) * (other - level)
        return mixed

    def children(firsts: Sequence[Configuration], seconds: Sequence[Configuration]) -> NDArray[np.object_]:
        mixed = [child(first, second) for first, second in zip(firsts, seconds, strict=True)]
        frame = space.frame(mixed)
        fits = space.is_valid(frame) if allowed is None else space.is_valid(frame) & allowed(frame)
        return _column([new if is_fit else old for new, old, is_fit in zip(mixed, firsts, fits, strict=True)])

    class Mixing(Crossover):  # type: ignore[misc]  # ships no types
        """Two children of two parents."""

        def __init__(self) -> None:
            super().__init__(2, 2, prob=1.0)

        def _do(self, _problem: Any, parents: NDArray[np.object_], **_: Any) -> NDArray[np.object_]:
            firsts, seconds = parents[:, :, 0]
            return np.stack([children(firsts, seconds), children(seconds, firsts)])

    class Distinct(DuplicateElimination):  # type: ignore[misc]  # ships no types
        """Equal configurations are one."""

        def _do(self, population: Any, other: Any, is_duplicate: NDArray[np.bool_]) -> NDArray[np.bool_]:
            seen = set() if other is None else {tuple(one.X[0].values()) for one in other}
            for row, one in enumerate(population):
                key = tuple(one.X[0].values())
                is_duplicate[row] = key in seen
                # Of equal ones in one population the first stays.
                if other is None:
                    seen.add(key)
            return is_duplicate

    return {"crossover": Mixing(), "mutation": NoMutation(), "eliminate_duplicates": Distinct()}


def _column(configurations: Sequence[Configuration]) -> NDArray[np.object_]:
    column = np.empty((len(configurations), 1), dtype=object)
    for row, configuration in enumerate(configurations):
        column[row, 0] = configuration
    return column
