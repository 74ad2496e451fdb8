"""Several objectives on a space too large to be gone through: NSGA-II, by pymoo (extra `moo`).

Individuals are valid configurations all along: a child takes each option from one of its parents, some
options from a third configuration drawn at random, and a mixture that breaks a rule gives way to a parent.

Source:
    NSGA-II: Deb, Pratap, Agarwal, Meyarivan, IEEE Transactions on Evolutionary Computation 6(2), 2002.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.pareto import first_fronts
from perfport.data.measurement import FloatArray, configuration_key
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


def evolved(space: Space, score: Callable[[pd.DataFrame], FloatArray], *, seed: int) -> tuple[pd.DataFrame, FloatArray]:
    """Return the last population and its scores.

    Args:
        space: To choose from.
        score: Returns shape (m, q); less is better in every column.
        seed: Of all chance.

    Raises:
        MissingPackageError: If pymoo is not installed.
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
    sample = space.sample(N_SAMPLED, rng)
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
        **_operators(space, pool, rng),
    )
    found = minimize(Wanted(scores.shape[1]), algorithm, ("n_gen", GENERATIONS), seed=int(rng.integers(2**31)))
    last = space.frame([individual.X[0] for individual in found.pop])
    return last, np.stack([individual.F for individual in found.pop])


def _operators(space: Space, pool: Sequence[Configuration], rng: np.random.Generator) -> dict[str, Any]:
    """Return crossover, mutation and the test for duplicates."""
    from pymoo.core.crossover import Crossover
    from pymoo.core.duplicate import ElementwiseDuplicateElimination
    from pymoo.operators.mutation.nom import NoMutation

    def child(first: Configuration, second: Configuration) -> Configuration:
        stranger = pool[int(rng.integers(len(pool)))]
        chance = rng.random(len(space))
        mixed = {
            name: (stranger if u < STRANGE else first if u < 0.5 + STRANGE / 2 else second)[name]
            for name, u in zip(space.names, chance, strict=True)
        }
        return first if space.violations(mixed) else mixed

    class Mixing(Crossover):  # type: ignore[misc]  # ships no types
        """Two children of two parents."""

        def __init__(self) -> None:
            super().__init__(2, 2, prob=1.0)

        def _do(self, _problem: Any, parents: NDArray[np.object_], **_: Any) -> NDArray[np.object_]:
            pairs = list(zip(parents[0, :, 0], parents[1, :, 0], strict=True))
            return np.stack([_column([child(a, b) for a, b in pairs]), _column([child(b, a) for a, b in pairs])])

    class Same(ElementwiseDuplicateElimination):  # type: ignore[misc]  # ships no types
        """Equal configurations."""

        def is_equal(self, a: Any, b: Any) -> bool:
            return configuration_key(a.X[0]) == configuration_key(b.X[0])

    return {"crossover": Mixing(), "mutation": NoMutation(), "eliminate_duplicates": Same()}


def _column(configurations: Sequence[Configuration]) -> NDArray[np.object_]:
    column = np.empty((len(configurations), 1), dtype=object)
    for row, configuration in enumerate(configurations):
        column[row, 0] = configuration
    return column
