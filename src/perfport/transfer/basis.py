"""Options as kernels: how alike two configurations are, knowing nothing of any source.

Similarities on the encoded options: `main` (any option may matter), `inter` (any pair may), `iso`
(anything smooth may) and, where options form groups, `count` (how many options of a group have a level)
and `count2` (any two such numbers together: the logarithm of a sum bends). Each is divided by its centred
mean variance over reference rows, so that the scale in front of it reads "share of the reference's
variance".
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.model.gp import gaussian
from perfport.space.encoding import Encoder

__all__ = ["OptionBasis", "centred_variance"]

FloatArray = NDArray[np.float64]

N_REFERENCE = 300  # rows that set the size of a kernel


@dataclass(frozen=True, slots=True)
class OptionBasis:
    """The encoded options and the kernels on them.

    Attributes:
        encoder: From configurations to columns.
        primary: Positions of the columns that carry an option by themselves.
        counts: Positions of the count columns, possibly none.
        sizes: Kernel name -> its centred mean variance over the reference rows.
    """

    encoder: Encoder
    primary: NDArray[np.int64]
    counts: NDArray[np.int64]
    sizes: dict[str, float]

    @classmethod
    def fit(cls, encoder: Encoder, reference: FloatArray) -> "OptionBasis":
        """Measure the kernels on encoded reference rows, shape (n, d); a few hundred are enough."""
        columns = encoder.columns
        primary = np.asarray([i for i, column in enumerate(columns) if column.primary], dtype=np.int64)
        counts = np.asarray([i for i, column in enumerate(columns) if column.kind == "count"], dtype=np.int64)
        basis = cls(encoder, primary, counts, {})
        raw = basis._raw(reference, reference)
        return cls(encoder, primary, counts, {name: centred_variance(K) for name, K in raw.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the kernels, in the order of `kernels` and `diagonals`."""
        return tuple(self.sizes)

    def encode(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the encoded configurations, shape (n, d)."""
        return self.encoder.transform(configurations)

    def kernels(self, A: FloatArray, B: FloatArray) -> dict[str, FloatArray]:
        """Return every kernel between encoded rows, each of shape (len(A), len(B))."""
        raw = self._raw(A, B)
        return {name: raw[name] / size for name, size in self.sizes.items()}

    def diagonals(self, A: FloatArray) -> dict[str, FloatArray]:
        """Return every kernel of encoded rows with themselves, each of shape (len(A),)."""
        d, p = max(A.shape[1], 1), max(len(self.primary), 1)
        squares = np.square(A)
        of_primary = squares[:, self.primary]
        of_counts = squares[:, self.counts].sum(axis=1) / max(len(self.counts), 1)
        found = {
            "main": squares.sum(axis=1) / d,
            "inter": (of_primary.sum(axis=1) ** 2 - np.square(of_primary).sum(axis=1)) / max(p * (p - 1), 1),
            "iso": np.ones(len(A)),
            "count": of_counts,
            "count2": np.square(of_counts),
        }
        return {name: found[name] / size for name, size in self.sizes.items()}

    def _raw(self, A: FloatArray, B: FloatArray) -> dict[str, FloatArray]:
        d, p = max(A.shape[1], 1), max(len(self.primary), 1)
        scale = np.sqrt(2.0 / (3.0 * d))
        P, Q = A[:, self.primary], B[:, self.primary]
        # sum over pairs i < j of (p_i p_j)(q_i q_j) = ((p.q)^2 - sum_i (p_i q_i)^2) / 2
        pairs = np.square(P @ Q.T) - np.square(P) @ np.square(Q).T
        found = {
            "main": (A / d) @ B.T,
            "inter": pairs / max(p * (p - 1), 1),
            "iso": gaussian(A * scale, B * scale),
        }
        if len(self.counts):
            found["count"] = A[:, self.counts] @ B[:, self.counts].T / len(self.counts)
            found["count2"] = np.square(found["count"])
        return found


def centred_variance(K: FloatArray) -> float:
    """Return the mean variance a zero-mean process with Gram matrix K has around its own average.

    Never zero: a kernel that does not vary over the reference rows keeps its size.
    """
    size = float(np.mean(np.diag(K)) - np.mean(K))
    return size if size > 1e-9 else 1.0
