"""The members of the mixture: small Gaussian processes that believe the source in different ways.

`GramMember` has a sum of given kernels as its covariance, around the source's prediction or around
zero ("the source says only what matters"). `PartsMember` takes the response for a sum of parts, each
of which has changed by a factor of its own. `ArdMember` is a GP on the options and the source's
prediction as one more column, with a prior for few relevant options: it finds the step that no
source showed. All work in units of z = (log y - mean) / sd of the prior.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from perfport.model.effective import effective_lengths, effective_scales
from perfport.model.gp import (
    ArdKernel,
    ArdPrior,
    LogNormal,
    Posterior,
    ScaleFit,
    ScalePrior,
    condition,
    fit_ard,
    fit_scales,
)
from perfport.transfer.kernels import Seen
from perfport.transfer.parts import rescaled
from perfport.transfer.priors import MemberPrior
from perfport.transfer.rows import TargetRows

__all__ = [
    "ArdBelief",
    "ArdMember",
    "Around",
    "FittedMember",
    "GramMember",
    "GramProblem",
    "PartsMember",
]

FloatArray = NDArray[np.float64]

# How an `ArdMember` believes the sources: not at all; as one more input; as its mean and an input.
ArdBelief = Literal["none", "input", "mean"]
# What a kernel member's mean is: constant; the sources' readings, smoothed where they have none; always smoothed.
Around = Literal["zero", "readings", "smooth"]

CONSTANT = 25.0  # prior variance of the offset between source and target: anything may be faster
UNKNOWN_SHARE = 0.5  # of the residual variance, added to rows no source measured
NUGGET = 1e-6
N_LINEARISATIONS = 6
MAX_STEP = 1.0  # of a change in one of them


class FittedMember(Protocol):
    """One fitted member."""

    @property
    def loo_error(self) -> FloatArray:
        """Response minus its leave-one-out prediction, in units of z, shape (n,)."""
        ...

    @property
    def loo_variance(self) -> FloatArray:
        """Variance of the leave-one-out predictions, noise included, shape (n,)."""
        ...

    @property
    def n_effective(self) -> float:
        """How many of its learned scales the target rows, not the priors, decided."""
        ...

    @property
    def log_evidence(self) -> float:
        """Log density of the target rows and of what was learned, without constants."""
        ...

    def predict(self, seen: Seen, cross: FloatArray, diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of a new reading at m rows.

        Args:
            seen: The rows as the prior sees them.
            cross: Every kernel between them and the target rows, shape (n_kernels, m, n).
            diagonals: Every kernel of each with itself, shape (n_kernels, m).
        """
        ...


@dataclass(frozen=True, slots=True)
class GramProblem:
    """What a `GramMember` has to be fitted to.

    Attributes:
        used: Positions of the kernels that have a prior.
        kernels: Those kernels between the target rows, shape (k, n, n).
        fixed: Covariance that is not learned, shape (n, n).
        y: Responses minus mean and offset, shape (n,).
        prior: Of the scales of the used kernels.
        offset: Mean of z minus the prediction.
        constant: Prior variance of the offset.
        unknown: Variance added to rows no source measured.
    """

    used: list[int]
    kernels: FloatArray
    fixed: FloatArray
    y: FloatArray
    prior: ScalePrior
    offset: float
    constant: float
    unknown: float

    @classmethod
    def of(cls, rows: TargetRows, prior: MemberPrior, *, around: Around, unknown: float = 0.0) -> "GramProblem":
        """State the problem; arguments as for `GramMember.fitted`."""
        y = rows.z - _mean(rows.seen, around)
        offset = float(y.mean())
        used = prior.usable(rows.names)
        scale_prior = prior.for_kernels([rows.names[i] for i in used], float(rows.z.var()))
        constant = CONSTANT * max(1.0, float(np.exp(scale_prior.amplitude)))
        # Where no target row is known to a source, the learned noise already stands for it.
        charge = UNKNOWN_SHARE * unknown if rows.seen.share_known.any() else 0.0
        diagonal = charge * (1.0 - rows.seen.share_known) + rows.variance + NUGGET
        fixed = constant + np.diag(diagonal)
        return cls(used, rows.kernels[used], fixed, y - offset, scale_prior, offset, constant, charge)


class _KernelMember:
    """What members with learned scales of given kernels have in common."""

    __slots__ = ()
    fit: ScaleFit

    @property
    def loo_error(self) -> FloatArray:
        """See `FittedMember`."""
        return self.fit.posterior.loo_error

    @property
    def loo_variance(self) -> FloatArray:
        """See `FittedMember`."""
        return self.fit.posterior.loo_variance

    @property
    def log_evidence(self) -> float:
        """See `FittedMember`."""
        return self.fit.log_evidence


@dataclass(frozen=True, slots=True)
class GramMember(_KernelMember):
    """A GP whose covariance is a learned sum of the prior's kernels.

    Attributes:
        scales: Learned scale of every kernel of the stack, zero for those it does not use.
        fit: Scales and posterior.
        n_effective: How many scales the rows decided.
        around: What its mean is.
        offset: Mean of z minus the prediction.
        constant: Prior variance of the offset.
        unknown: Variance added to rows no source measured.
    """

    scales: FloatArray
    fit: ScaleFit
    n_effective: float
    around: Around
    offset: float
    constant: float
    unknown: float

    @classmethod
    def fitted(cls, rows: TargetRows, prior: MemberPrior, *, around: Around, unknown: float = 0.0) -> "GramMember":
        """Fit the scales to the target rows.

        Args:
            rows: The target rows.
            prior: Of the scales; kernels it does not name are left out.
            around: What the mean is.
            unknown: Residual variance of the sources, charged where only some rows are known to them.
        """
        problem = GramProblem.of(rows, prior, around=around, unknown=unknown)
        fit = fit_scales(problem.kernels, problem.fixed, problem.y, problem.prior)
        scales = np.zeros(len(rows.names))
        scales[problem.used] = fit.scales
        n_effective = effective_scales(problem.kernels, problem.prior, fit)
        return cls(scales, fit, n_effective, around, problem.offset, problem.constant, problem.unknown)

    def predict(self, seen: Seen, cross: FloatArray, diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `FittedMember`."""
        K = np.tensordot(self.scales, cross, axes=1) + self.constant
        variance = self.scales @ diagonals + self.constant + self.fit.noise + self.unknown * (1.0 - seen.share_known)
        mean, left = self.fit.posterior.predict(K, variance)
        return mean + self.offset + _mean(seen, self.around), left


@dataclass(frozen=True, slots=True)
class PartsMember(_KernelMember):
    """A GP around the source whose parts have changed by factors; the kernels say what else has.

    The response is not linear in the factors. Their logarithms are found by iteration: the GP is linear in them around
    those found last (an iterated extended Kalman filter), and their posterior mean is where it is put next.

    Source:
        Bell and Cathey, "The Iterated Kalman Filter Update as a Gauss-Newton Method", IEEE TAC 38(2), 1993.

    Attributes:
        scales: Learned scale of every kernel of the stack, zero for "parts" and those it does not use.
        fit: Scales and posterior.
        n_effective: How many scales the rows decided.
        part_scale: Learned variance of the changes.
        loadings: How far each change scales each part, shape (k, p).
        changes: Of the parts, as `rescaled` takes them, where the GP was made linear, shape (p,).
        shares: Derivatives by the changes there, at the target rows, shape (p, n).
        offset: Mean of z minus the prediction.
        constant: Prior variance of the offset.
        unit: Of z.
    """

    scales: FloatArray
    fit: ScaleFit
    n_effective: float
    part_scale: float
    loadings: FloatArray
    changes: FloatArray
    shares: FloatArray
    offset: float
    constant: float
    unit: float

    @classmethod
    def fitted(cls, rows: TargetRows, prior: MemberPrior, loadings: FloatArray) -> "PartsMember":
        """Fit factors and scales to the target rows.

        Args:
            rows: The target rows.
            prior: Of the scales; has to name the kernel "parts".
            loadings: Of the prior's parts, shape (k, p); see `CombinedSource`.
        """
        problem = GramProblem.of(rows, prior, around="smooth")
        place = problem.used.index(rows.names.index("parts"))
        found = np.zeros(loadings.shape[1])
        for _ in range(N_LINEARISATIONS):
            changes = found
            gain, shares = rescaled(rows.seen.parts, loadings, changes, rows.unit)
            y = problem.offset + problem.y - gain + shares.T @ changes
            problem.kernels[place] = shares.T @ shares
            fit = fit_scales(problem.kernels, problem.fixed, y - y.mean(), problem.prior)
            step = fit.scales[place] * (shares @ fit.posterior.alpha) - changes
            found = changes + np.clip(step, -MAX_STEP, MAX_STEP)
        scales = np.zeros(len(rows.names))
        scales[problem.used] = fit.scales
        scales[problem.used[place]] = 0.0
        part_scale = float(fit.scales[place])
        n_effective = effective_scales(problem.kernels, problem.prior, fit)
        return cls(
            scales,
            fit,
            n_effective,
            part_scale,
            loadings,
            changes,
            shares,
            float(y.mean()),
            problem.constant,
            rows.unit,
        )

    def predict(self, seen: Seen, cross: FloatArray, diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `FittedMember`."""
        gain, shares = rescaled(seen.parts, self.loadings, self.changes, self.unit)
        K = np.tensordot(self.scales, cross, axes=1) + self.part_scale * (shares.T @ self.shares) + self.constant
        of_parts = self.part_scale * np.square(shares).sum(axis=0)
        variance = self.scales @ diagonals + of_parts + self.constant + self.fit.noise
        mean, left = self.fit.posterior.predict(K, variance)
        return mean + self.offset + _mean(seen, "smooth") + gain - shares.T @ self.changes, left


@dataclass(frozen=True, slots=True)
class ArdMember:
    """A GP with one relevance per option column and, unless it forgets the sources, for their prediction.

    Attributes:
        columns: Positions of the option columns that vary over the target rows.
        belief: How far it believes the sources.
        kernel: Learned relevances.
        posterior: The GP conditioned on the target rows.
        n_effective: How many relevances (and amplitude and noise) the rows decided.
        log_evidence: See `FittedMember`.
        inputs: Its columns at the target rows, shape (n, k).
        centre: Subtracted from z (minus the prediction) before fitting.
        spread: What the rest was divided by.
    """

    columns: NDArray[np.int64]
    belief: ArdBelief
    kernel: ArdKernel
    posterior: Posterior
    n_effective: float
    log_evidence: float
    inputs: FloatArray
    centre: float
    spread: float

    @classmethod
    def fitted(cls, rows: TargetRows, belief: ArdBelief, *, relevance: FloatArray | None = None) -> "ArdMember":
        """Fit relevances to the target rows.

        Args:
            rows: The target rows.
            belief: How far to believe the sources.
            relevance: Prior medians of the columns' inverse squared lengths, shape (d,), as the
                sources have them; None for a prior that expects few relevant options, no matter which.
        """
        varying = np.flatnonzero(rows.seen.X.std(axis=0) > 1e-9)
        inputs = _ard_inputs(rows.seen, varying, belief)
        if relevance is None:
            # Most options do not matter (a small median), a few matter much (a wide spread).
            log_weight, weight_sd = np.full(len(varying), np.log(0.01)), np.full(len(varying), 2.0)
        else:
            log_weight, weight_sd = np.log(relevance[varying]), np.full(len(varying), 1.5)
        if belief != "none":
            log_weight = np.append(log_weight, np.log([0.2, 0.05]))
            weight_sd = np.append(weight_sd, [1.5, 1.5])
        # What the sources leave unexplained is mostly noise, the response itself is not.
        noise = LogNormal(0.1 if belief == "mean" else 0.01, 1.5)
        prior = ArdPrior(amplitude=LogNormal(1.0, 1.0), noise=noise, log_weight=log_weight, weight_sd=weight_sd)
        z = rows.z - _prediction(rows.seen) if belief == "mean" else rows.z
        centre, spread = float(z.mean()), float(z.std()) + 0.02
        y = (z - centre) / spread
        known_noise = rows.variance / spread**2
        kernel = fit_ard(inputs, y, prior, known_noise=known_noise)
        K = kernel.gram(inputs)
        K[np.diag_indices(len(y))] += known_noise
        posterior = condition(K, y)
        n_effective = effective_lengths(inputs, prior, kernel, posterior)
        log_evidence = posterior.log_likelihood + prior.log_density(kernel)
        return cls(varying, belief, kernel, posterior, n_effective, log_evidence, inputs, centre, spread)

    @property
    def loo_error(self) -> FloatArray:
        """See `FittedMember`."""
        return self.posterior.loo_error * self.spread

    @property
    def loo_variance(self) -> FloatArray:
        """See `FittedMember`."""
        return self.posterior.loo_variance * self.spread**2

    def predict(self, seen: Seen, cross: FloatArray, diagonals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """See `FittedMember`."""
        inputs = _ard_inputs(seen, self.columns, self.belief)
        mean, variance = self.posterior.predict(self.kernel.cross(inputs, self.inputs), self.kernel.variance(inputs))
        around = _prediction(seen) if self.belief == "mean" else 0.0
        return around + self.centre + self.spread * mean, self.spread**2 * variance


def _mean(seen: Seen, around: Around) -> FloatArray:
    if around == "readings":
        return _prediction(seen)
    return seen.f if around == "smooth" else np.zeros(len(seen))


def _prediction(seen: Seen) -> FloatArray:
    return seen.f + seen.r


def _ard_inputs(seen: Seen, columns: NDArray[np.int64], belief: ArdBelief) -> FloatArray:
    options = seen.X[:, columns]
    return options if belief == "none" else np.column_stack([options, seen.f, _prediction(seen)])
