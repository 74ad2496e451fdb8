"""What a transferred model was made from: enough to make it again."""

from collections.abc import Mapping
from dataclasses import dataclass

from perfport.data.dataset import Dataset
from perfport.transfer.base import TransferStrategy

__all__ = ["Recipe"]


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """The arguments of one call of `perfport.transfer`.

    Attributes:
        sources: As given.
        target: As given.
        property: Name of the response.
        strategy: Name of the strategy, or the object itself.
        seed: Of all randomness.
        rename: Option in the sources -> the same option in the target.
    """

    sources: tuple[Dataset, ...]
    target: Dataset
    property: str
    strategy: str | TransferStrategy
    seed: int
    rename: Mapping[str, str] | None
