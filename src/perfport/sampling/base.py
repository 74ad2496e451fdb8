"""What a sampler is, and what the built-in ones share.

A sampler sees the space, or a finite table of candidates, never a response it was not given.

Example:
    >>> from perfport.sampling.random import SimpleRandom
    >>> from perfport.space.options import Option
    >>> space = Space([Option(name="threads", type="integer", lower=1, upper=4)])
    >>> sorted(SimpleRandom().propose(space, 3, rng=np.random.default_rng(0))["threads"].tolist())
    [2, 3, 4]
"""

from abc import ABC, abstractmethod
from typing import Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd

from perfport.data.dataset import Dataset
from perfport.errors import UsageError
from perfport.model.threads import one_thread
from perfport.sampling.pool import Pool, Proposal
from perfport.space.space import Space

__all__ = ["LearnsFromSource", "RecordingSampler", "Sampler"]


class Sampler(Protocol):
    """Chooses configurations to measure.

    A sampler must meet these requirements:

    - the configurations are valid, distinct, and none of those in `measured`;
    - there are n of them, fewer only if the space or the candidates have no more;
    - with candidates given, rows of that table are returned, with their index labels;
    - the same arguments and the same state of `rng` give the same answer;
    - the order of rows means nothing: whoever measures randomises it.
    """

    def propose(
        self,
        space: Space,
        n: int,
        *,
        rng: np.random.Generator,
        candidates: pd.DataFrame | None = None,
        measured: Dataset | None = None,
    ) -> pd.DataFrame:
        """Return configurations to measure.

        Args:
            space: The options and the rules between them.
            n: How many, at least 1.
            rng: Source of all randomness.
            candidates: A finite table to choose from, columns as the options; None for the whole space.
            measured: What has been measured already.

        Raises:
            UsageError: If n is less than 1, or no candidate is a valid configuration.
        """
        ...


@runtime_checkable
class LearnsFromSource(Protocol):
    """Ability: a sampler that must see a source environment before it can propose."""

    def with_source(self, source: Dataset, property: str) -> Self:
        """Return the sampler that knows what `source` says about `property`."""
        ...


class RecordingSampler(ABC):
    """Base of the built-in samplers: subclasses say what they choose from a pool, and how."""

    def propose(
        self,
        space: Space,
        n: int,
        *,
        rng: np.random.Generator,
        candidates: pd.DataFrame | None = None,
        measured: Dataset | None = None,
    ) -> pd.DataFrame:
        """Return configurations to measure; see `Sampler.propose`."""
        return self.draw(space, n, rng=rng, candidates=candidates, measured=measured).configurations

    def draw(
        self,
        space: Space,
        n: int,
        *,
        rng: np.random.Generator,
        candidates: pd.DataFrame | None = None,
        measured: Dataset | None = None,
    ) -> Proposal:
        """Return configurations to measure and how they came about; arguments as for `propose`."""
        if n < 1:
            raise UsageError(f"cannot propose {n} configurations; give 1 or more", n=n)
        pool = self.pool(space, n, rng=rng, candidates=candidates, measured=measured)
        if len(pool) <= n:
            return pool.take(np.arange(len(pool)), n_points=len(pool))
        with one_thread():
            return self.choose(pool, n, rng)

    def pool(
        self,
        space: Space,
        n: int,
        *,
        rng: np.random.Generator,
        candidates: pd.DataFrame | None,
        measured: Dataset | None,
    ) -> Pool:
        """Return the configurations to choose from; arguments as for `propose`."""
        return Pool.of(space, n, rng=rng, candidates=candidates, measured=measured)

    @abstractmethod
    def choose(self, pool: Pool, n: int, rng: np.random.Generator) -> Proposal:
        """Return n configurations of a pool that has more."""
