"""The measured target rows as the members of a mixture need them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfport.transfer.kernels import Prior, Seen

__all__ = ["TargetRows"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TargetRows:
    """The measured target rows, ready for the members.

    Attributes:
        seen: As the prior sees them.
        z: Responses, shape (n,).
        noise: Variance of each response as its repetitions tell it, not a number where it was read once, shape (n,).
        suspicion: Variance of each beside that, because the other rows speak against it, shape (n,); see outliers.py.
        is_exact: Whether each was read; the others timed out, their response is an expectation, shape (n,).
        kernels: Of `seen` with itself, shape (n_kernels, n, n).
        names: Of the kernels.
        unit: Of z: the prior's standard deviation of the log response.
    """

    seen: Seen
    z: FloatArray
    noise: FloatArray
    suspicion: FloatArray
    is_exact: NDArray[np.bool_]
    kernels: FloatArray
    names: tuple[str, ...]
    unit: float

    @classmethod
    def of(
        cls, prior: Prior, seen: Seen, z: FloatArray, noise: FloatArray, is_exact: NDArray[np.bool_]
    ) -> "TargetRows":
        """Compute the kernels of the rows."""
        kernels = prior.kernels(seen, seen)
        return cls(seen, z, noise, np.zeros(len(z)), is_exact, kernels, prior.names, prior.sd)

    @property
    def variance(self) -> FloatArray:
        """Of each response around what the model learns, as far as it is known, shape (n,)."""
        return np.nan_to_num(self.noise, nan=0.0) + self.suspicion

    @property
    def may_be_wrong(self) -> NDArray[np.bool_]:
        """Whether each was read just once, so that nothing but other rows can speak for it, shape (n,)."""
        return self.is_exact & np.isnan(self.noise)
