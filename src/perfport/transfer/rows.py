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
        noise: Known variance of each response (from repetitions), 0 where unknown, shape (n,).
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
        return self.noise + self.suspicion
