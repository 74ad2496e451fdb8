"""The model a mixture of members gives: the point of least relative error, median and intervals."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtri
from scipy.stats import t as student_t

from perfport.data.measurement import Property
from perfport.model.predictive import Predictive
from perfport.transfer.calibration import CalibratedMember
from perfport.transfer.kernels import Prior, Seen
from perfport.transfer.members import FittedMember
from perfport.transfer.rows import TargetRows
from perfport.transfer.stacking import Mixture, stack_weights
from perfport.transfer.verdict import Verdict

__all__ = ["MixedModel", "loo_errors_pct", "mixed"]

FloatArray = NDArray[np.float64]

CHUNK_ROWS = 4096  # rows predicted at a time; bounds the memory of the kernel stack
# The point of least expected relative error of a log-normal response lies one variance below its
# centre; members overstate their variance, and 0.5 to 0.7 of it was best on the systems of the benchmark.
SHIFT = 0.6
MAX_SHIFT = 1.5
# Errors at this ratio to those of the mean of the rows leave half a doubt; the slope makes it nearly a decision.
DOUBT_RATIO = 0.65
DOUBT_SLOPE = 8.0
MIN_ROWS_DOUBT = 8
ROOM = 2.0  # predictions stay within the target rows' range, widened by this many spans and units


@dataclass(frozen=True, slots=True, repr=False)
class MixedModel:
    """A performance model of the target: a weighted mixture of Gaussian processes on the log response.

    Attributes:
        property: What is predicted.
        prior: How configurations are seen.
        rows: The target rows the members rest on.
        members: By name, their variances calibrated.
        weights: Of the members, in their order, shape (k,), summing to 1.
        doubt: Share of the prediction that is the mean of the target rows, because the members hardly
            explain more.
        verdict: How the sources were used.
    """

    property: Property
    prior: Prior
    rows: TargetRows
    members: Mapping[str, CalibratedMember]
    weights: FloatArray
    doubt: float
    verdict: Verdict

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the prediction that (nearly) minimises the expected relative error, shape (m,).

        It lies below the median where the model is uncertain, because predicting too much costs
        more than predicting too little; rank configurations by `predict_median`.
        """
        return self._each_chunk(configurations, self.point)

    def predict_median(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the centre of the prediction without regard to a loss, shape (m,); for ranking."""
        return self._each_chunk(configurations, self.centre)

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits that hold a new reading with probability `coverage`, each shape (m,)."""
        if len(configurations) == 0:
            return np.empty(0), np.empty(0)
        lower, upper = self._each_chunk(configurations, lambda mixture: self.limits(mixture, coverage=coverage))
        return lower, upper

    def limits(self, mixture: Mixture, *, coverage: float) -> FloatArray:
        """Return what `predict_interval` answers where this is the predictive mixture, shape (2, m)."""
        tail, widen = (1.0 - coverage) / 2.0, self._widening(coverage)
        return np.stack([self._to_response(mixture.quantile(p, widen=widen)) for p in (tail, 1.0 - tail)])

    def shares(self) -> dict[str, float]:
        """Return "member:<name>" -> weight; that of the mean of the target rows is "member:mean"."""
        weights = (1.0 - self.doubt) * self.weights
        shares = {f"member:{name}": float(weight) for name, weight in zip(self.members, weights, strict=True)}
        return shares | {"member:mean": self.doubt}

    def left_out_errors(self) -> FloatArray:
        """Return response minus leave-one-out mean (doubt aside) of every row, in units of z, shape (n,)."""
        return Mixture.of(self.weights, *_left_out(self.members)).moments()[0]

    def with_verdict(self, verdict: Verdict) -> "MixedModel":
        """Return the same model with another verdict."""
        return replace(self, verdict=verdict)

    def predict_distribution(self, configurations: pd.DataFrame) -> Predictive:
        """Return the distribution of a new reading of each configuration, as wide as the 90 % intervals."""
        parts = [self._predictive(mixture) for mixture in self.mixtures(configurations)]
        return Predictive.joined(parts).widened(self._widening(0.9))

    def predictive_of(self, seen: Seen) -> Predictive:
        """Return the distribution of a new reading of rows the prior has seen already, the learned scales for true."""
        return self._predictive(self._mixture(seen))

    def point(self, mixture: Mixture) -> FloatArray:
        """Return what `predict` answers where this is the predictive mixture, shape (m,)."""
        mean, variance = mixture.moments()
        log_variance = variance * self.prior.sd**2
        return self._to_response(self._inside(mean), -np.minimum(SHIFT * log_variance, MAX_SHIFT))

    def centre(self, mixture: Mixture) -> FloatArray:
        """Return what `predict_median` answers where this is the predictive mixture, shape (m,)."""
        return self._to_response(self._inside(mixture.moments()[0]))

    def mixture_of(self, means: FloatArray, variances: FloatArray) -> Mixture:
        """Return the predictive mixture at rows where the members say this, both of shape (k, m)."""
        mixture = Mixture.of(self.weights, means, variances)
        z = self.rows.z[self.rows.is_exact]
        return mixture.diluted(self.doubt, float(z.mean()), _mean_variance(z))

    def mixtures(self, configurations: pd.DataFrame) -> Iterator[Mixture]:
        """Yield the predictive mixture in units of the prior, a few thousand rows at a time."""
        for start in range(0, len(configurations), CHUNK_ROWS):
            yield self._mixture(self.prior.see(configurations.iloc[start : start + CHUNK_ROWS]))

    def _mixture(self, seen: Seen) -> Mixture:
        cross, diagonals = self.prior.kernels(seen, self.rows.seen), self.prior.diagonals(seen)
        parts = [member.predict(seen, cross, diagonals) for member in self.members.values()]
        return self.mixture_of(np.stack([mean for mean, _ in parts]), np.stack([variance for _, variance in parts]))

    def _predictive(self, mixture: Mixture) -> Predictive:
        means = self.prior.mean + self.prior.sd * mixture.means
        return Predictive(mixture.weights, means, self.prior.sd * np.sqrt(mixture.variances))

    def _widening(self, coverage: float) -> float:
        # Level and amplitude were learned from n rows, so the limits are Student's, not Gauss's; and never narrower
        # than the left-out rows ask for. (Narrower would be wrong: these errors flatter the model, see `_doubt`.)
        upper = 0.5 + coverage / 2.0
        student = float(student_t.ppf(upper, df=max(int(self.rows.is_exact.sum()) - 2, 1)) / ndtri(upper))
        left_out = Mixture.of(self.weights, *_left_out(self.members, self.rows.is_exact))
        return max(student, left_out.conformal_widening(coverage))

    def _each_chunk(self, configurations: pd.DataFrame, answer: Callable[[Mixture], FloatArray]) -> FloatArray:
        if len(configurations) == 0:
            return np.empty(0)
        return np.concatenate([answer(mixture) for mixture in self.mixtures(configurations)], axis=-1)

    def _inside(self, z: FloatArray) -> FloatArray:
        low, high = float(self.rows.z.min()), float(self.rows.z.max())
        room = ROOM * (high - low) + ROOM
        return np.clip(z, low - room, high + room)

    def _to_response(self, z: FloatArray, shift: FloatArray | float = 0.0) -> FloatArray:
        return np.asarray(np.exp(self.prior.mean + self.prior.sd * z + shift))


def mixed(
    prior: Prior,
    rows: TargetRows,
    members: Mapping[str, FittedMember],
    prior_weights: Mapping[str, float],
    *,
    property: Property,
) -> MixedModel:
    """Calibrate and weigh the members, and return their mixture.

    Args:
        prior: How configurations are seen.
        rows: The target rows.
        members: Fitted on them.
        prior_weights: Member -> weight before any row is seen; those of absent members are shared out.
        property: What is predicted.
    """
    wanted = np.asarray([prior_weights[name] for name in members])
    calibrated = {name: CalibratedMember.of(member, rows.is_exact) for name, member in members.items()}
    errors, variances = _left_out(calibrated, rows.is_exact)
    n_effective = np.asarray([member.n_effective for member in members.values()])
    weights = stack_weights(errors, variances, n_effective, wanted / wanted.sum())
    doubt = _doubt(rows.z[rows.is_exact], Mixture.of(weights, errors, variances).moments()[0])
    return MixedModel(property, prior, rows, calibrated, weights, doubt, Verdict("no help"))


def loo_errors_pct(model: MixedModel) -> FloatArray:
    """Return the leave-one-out absolute percentage error of every row that was read, shape (n,)."""
    z = model.rows.z[model.rows.is_exact]
    error, _ = Mixture.of(model.weights, *_left_out(model.members, model.rows.is_exact)).moments()
    error = (1.0 - model.doubt) * error + model.doubt * _mean_errors(z)
    # A row predicted e too low in log units is predicted exp(-e) times its value.
    return np.asarray(100.0 * np.abs(np.expm1(-np.clip(error * model.prior.sd, -50.0, 50.0))))


def _left_out(
    members: Mapping[str, FittedMember], of: NDArray[np.bool_] | slice = slice(None)
) -> tuple[FloatArray, FloatArray]:
    """Return leave-one-out errors and variances of the chosen rows, each of shape (k, n)."""
    errors = np.stack([member.loo_error for member in members.values()])
    variances = np.stack([member.loo_variance for member in members.values()])
    return errors[:, of], variances[:, of]


def _doubt(z: FloatArray, loo_errors: FloatArray) -> float:
    """Return how much of the prediction should be the mean of the target rows, 0 to 1.

    Leave-one-out errors flatter members with dozens of hyper-parameters that were fitted to all rows:
    on noise they seem to explain a quarter of it. Only errors clearly below those of the mean count.
    """
    if len(z) < MIN_ROWS_DOUBT:
        return 0.0
    of_mean = float(np.mean(np.abs(_mean_errors(z))))
    if of_mean == 0.0:
        return 0.0
    ratio = float(np.mean(np.abs(loo_errors))) / of_mean
    return float(expit(DOUBT_SLOPE * np.log(max(ratio, 1e-12) / DOUBT_RATIO)))


def _mean_errors(z: FloatArray) -> FloatArray:
    """Return the leave-one-out errors of predicting the mean, shape (n,)."""
    return np.asarray((z - z.mean()) * len(z) / max(len(z) - 1, 1))


def _mean_variance(z: FloatArray) -> float:
    """Return the variance of a new reading around the mean; never zero."""
    n = len(z)
    return max(float(z.var(ddof=1)) * (1.0 + 1.0 / n), 1e-12) if n > 1 else 1.0
