"""What a transfer strategy is: sources and a few target rows in, a performance model of the target out."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from perfport.data.dataset import Dataset
from perfport.model.base import PerformanceModel
from perfport.transfer.verdict import Verdict

__all__ = ["HasVerdict", "TransferStrategy"]


class TransferStrategy(Protocol):
    """Builds a model of the target environment from source environments and a few target rows.

    Strategies are called by `perfport.transfer`, which has already done what all of them need, so a
    strategy may rely on it:

    - every dataset has `property`, and every response of it is positive and finite;
    - all responses are in the unit of the target's property;
    - the configurations of every source have the options of the target, in the same order and with
      the same meaning (renamed and matched by `perfport.space.alignment`); an option the source
      lacks is constant at the target's default, and the source's own levels are kept;
    - rows and sources come in an order that depends on their content alone; columns of
      `perfport.space.encoding.Encoder` come sorted by option, so permutations change nothing;
    - the target has at least one row, and each configuration once. There may be no source.

    A strategy reads no target row but those given and draws randomness from `rng` alone.
    """

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> PerformanceModel:
        """Return a model of `property` in the target environment.

        Args:
            sources: Measured source environments, possibly none.
            target: The target rows that were measured, at least one.
            property: Name of the response.
            rng: Source of all randomness.

        Raises:
            NotEnoughDataError: If the strategy needs more target rows or a source it does not have.
        """
        ...


@runtime_checkable
class HasVerdict(Protocol):
    """Ability: a fitted model that knows itself how far its sources helped."""

    @property
    def verdict(self) -> Verdict:
        """How the sources were used."""
        ...
