"""Members held against their own left-out errors, so that none outvotes the others by being too sure of itself."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfport.transfer.kernels import Seen
from perfport.transfer.members import FittedMember

__all__ = ["CalibratedMember"]

FloatArray = NDArray[np.float64]

EXPECTED_ROWS = 2.0  # how many left-out rows the belief that a member's variances are right counts as
MAX_SQUARE = 25.0  # a left-out row is at most this many times further off, squared, than expected


@dataclass(frozen=True, slots=True)
class CalibratedMember:
    """A member whose variances are as large as its left-out errors turned out to be.

    The few rows that chose a member's scales do not tell them well; one that is too sure of itself would outvote
    the others.

    Attributes:
        member: As fitted.
        factor: On its variances: posterior mean of a scale, of which `EXPECTED_ROWS` rows said before that it is 1.
    """

    member: FittedMember
    factor: float

    @classmethod
    def of(cls, member: FittedMember, is_exact: NDArray[np.bool_]) -> "CalibratedMember":
        """Calibrate on the rows that were read, as `is_exact` tells, shape (n,); one row leaves nothing to compare."""
        squares = np.minimum(np.square(member.loo_error) / member.loo_variance, MAX_SQUARE)[is_exact]
        if len(squares) < 2:
            return cls(member, 1.0)
        return cls(member, (EXPECTED_ROWS + float(squares.sum())) / (EXPECTED_ROWS + len(squares)))

    @property
    def loo_error(self) -> FloatArray:
        """See `FittedMember`."""
        return self.member.loo_error

    @property
    def loo_variance(self) -> FloatArray:
        """See `FittedMember`."""
        return self.factor * self.member.loo_variance

    @property
    def n_effective(self) -> float:
        """See `FittedMember`."""
        return self.member.n_effective

    @property
    def log_evidence(self) -> float:
        """See `FittedMember`."""
        return self.member.log_evidence

    def predict(self, seen: Seen, cross: FloatArray, diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `FittedMember`."""
        mean, variance = self.member.predict(seen, cross, diagonals)
        return mean, self.factor * variance
