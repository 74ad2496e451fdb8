"""Multi-task: one Gaussian process over all environments, sources and target as equals.

The oldest way to transfer a performance model with uncertainty. The rows of every environment are
standardised on the log scale and put into one process (`perfport.model.coregionalised`), which learns
how alike the environments are together with how much each option matters. What it cannot say is that
one option changes more than another: an environment is alike in everything or in nothing.

Example:
    >>> model = transfer(sources=[source], target=rows, property="inference_time_s",
    ...                  strategy="multitask")                                  # doctest: +SKIP
    >>> model.verdict.notes                                                     # doctest: +SKIP
    ("source 'tx2_200': correlation with the target 0.94", ...)

Source:
    Jamshidi, Velez, Kaestner, Siegmund, Kawthekar, "Transfer Learning for Improving Model Predictions
    in Highly Configurable Software", SEAMS 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student_t

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import UsageError
from perfport.model.coregionalised import Coregionalised, fit_coregionalised
from perfport.model.gp import Posterior
from perfport.space.encoding import Encoder
from perfport.transfer.auto import target_only_errors_pct
from perfport.transfer.verdict import Verdict, judged

__all__ = ["MultiTask", "MultiTaskModel"]

IntArray = NDArray[np.int64]

MAX_SOURCE_ROWS = 300  # of one source
MAX_POOLED_ROWS = 600  # of all sources: one step of the fit costs their number cubed
PRIOR_ROWS = 3.0  # rows the spread of an average source is worth when that of the target is estimated
MIN_SD = 1e-3  # of a log response; what varies less is constant
DECIMALS = 10  # of standardised responses: a change of units moves the last bits, and they must not matter
NUGGET = 1e-6  # duplicates that agree leave the covariance singular otherwise
# The point of least expected relative error of a log-normal response lies one variance below its
# centre; that of the process is an upper limit to the error, and half of it is the usual compromise.
SHIFT = 0.5
MAX_SHIFT = 1.5
PRIOR_DF = 4.0  # weight of the process' own variance, in rows, against its leave-one-out errors
CHUNK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class MultiTask:
    """Fits one Gaussian process to the rows of all environments.

    Sources are thinned (`max_source_rows` each, 600 together), for exact inference costs the cube of the
    rows; target rows are all kept. Without sources it is a plain ARD process on the target rows.

    Attributes:
        rank: Columns of W in B = W W' + diag(kappa): how many independent ways in which environments
            may be alike. One or two; a target of a few rows cannot tell more apart.
        max_source_rows: Rows kept of each source.
    """

    rank: int = 1
    max_source_rows: int = MAX_SOURCE_ROWS

    def fit(
        self, sources: Sequence[Dataset], target: Dataset, *, property: str, rng: np.random.Generator
    ) -> "MultiTaskModel":
        """Fit; see `TransferStrategy.fit`. Deterministic: `rng` is not used.

        Raises:
            UsageError: If the rank or the number of rows is below 1.
        """
        if self.rank < 1 or self.max_source_rows < 1:
            raise UsageError(f"rank is {self.rank}, max_source_rows {self.max_source_rows}: both must be 1 or more")
        most = max(1, min(self.max_source_rows, MAX_POOLED_ROWS // max(len(sources), 1)))
        # Rows come in an order that has nothing to do with them: the first ones are as good as random ones.
        datasets = [*(source.take(np.arange(min(len(source), most))) for source in sources), target]
        configurations = pd.concat([d.configurations for d in datasets], ignore_index=True)
        encoder = Encoder(target.space, fitted_on=configurations)
        e = np.repeat(np.arange(len(datasets)), [len(d) for d in datasets])
        z, mean, sd = _standardised([np.log(d.response(property)) for d in datasets])
        extra = np.concatenate([np.square(np.nan_to_num(d.log_se[property])) for d in datasets]) / sd[e] ** 2 + NUGGET
        X = encoder.transform(configurations)
        kernel = fit_coregionalised(X, e, z, extra, rank=min(self.rank, len(datasets)))
        posterior = kernel.condition(X, e, z, extra)
        errors, variances = posterior.loo_error[e == len(sources)], posterior.loo_variance[e == len(sources)]
        rows = ProcessRows(X, e, kernel, posterior, _inflation(errors, variances), len(target))
        return MultiTaskModel(
            target.properties[property],
            encoder,
            rows,
            float(mean[-1]),
            float(sd[-1]),
            _verdict(sources, target, property, errors * sd[-1]),
            (*_thinned(sources, most), *_alike(sources, kernel)),
        )


@dataclass(frozen=True, slots=True)
class ProcessRows:
    """A process of all environments conditioned on its rows, asked about the last environment.

    Attributes:
        X: Encoded rows of all environments, shape (n, d).
        e: Environment of each, the target's is the largest, shape (n,).
        kernel: Learned.
        posterior: The process conditioned on the rows.
        inflation: Factor on predictive variances, from the left-out errors of the target rows.
        n_target: Number of target rows.
    """

    X: FloatArray
    e: IntArray
    kernel: Coregionalised
    posterior: Posterior
    inflation: float
    n_target: int

    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of a reading of the target at encoded rows, each shape (m,)."""
        target = int(self.e.max())
        cross = self.kernel.cross(X, np.full(len(X), target), self.X, self.e)
        mean, variance = self.posterior.predict(cross, np.full(len(X), self.kernel.variance(target) + NUGGET))
        return mean, self.inflation * variance


@dataclass(frozen=True, eq=False)
class MultiTaskModel:
    """The process of all environments, asked about the target.

    Attributes:
        property: What is predicted.
        encoder: From configurations to columns.
        rows: The process.
        mean: Of the target's log response.
        sd: Unit of the process in the target.
        verdict: How the sources were used.
        notes: What was thinned, and how alike the environments are.
    """

    property: Property
    encoder: Encoder
    rows: ProcessRows
    mean: float
    sd: float
    verdict: Verdict
    notes: tuple[str, ...]

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the point of (nearly) least expected relative error, shape (m,), in the unit of the property."""
        mean, variance = self._log_moments(configurations)
        return np.asarray(np.exp(mean - np.minimum(SHIFT * variance, MAX_SHIFT)))

    def predict_median(self, configurations: pd.DataFrame) -> FloatArray:
        """Return the median of the prediction, shape (m,), in the unit of the property."""
        return np.asarray(np.exp(self._log_moments(configurations)[0]))

    def predict_interval(self, configurations: pd.DataFrame, *, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper limits that hold a new reading with probability `coverage`, each shape (m,)."""
        mean, variance = self._log_moments(configurations)
        reach = student_t.ppf(0.5 + coverage / 2.0, df=self.rows.n_target + PRIOR_DF) * np.sqrt(variance)
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(mean - reach)), np.asarray(np.exp(mean + reach))

    def _log_moments(self, configurations: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        parts = [
            self.rows.predict(self.encoder.transform(configurations.iloc[start : start + CHUNK_ROWS]))
            for start in range(0, len(configurations), CHUNK_ROWS)
        ]
        z, variance = np.concatenate(parts, axis=1) if parts else np.empty((2, 0))
        return self.mean + self.sd * z, self.sd**2 * variance


def _standardised(logs: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return z of all rows, and mean and sd of every environment, the target last.

    A few rows do not tell the spread of the target; it is estimated together with what the sources'
    would be on average (an inverse-gamma prior worth `PRIOR_ROWS` rows).
    """
    mean = np.asarray([values.mean() for values in logs])
    sd = np.asarray([max(float(values.std()), MIN_SD) for values in logs])
    n = len(logs[-1])
    if len(logs) > 1:
        usual = float(np.exp(2.0 * np.log(sd[:-1]).mean()))
        sd[-1] = np.sqrt((PRIOR_ROWS * usual + n * float(logs[-1].var())) / (PRIOR_ROWS + n))
    elif float(logs[0].std()) < MIN_SD:
        sd[-1] = 1.0  # nothing is known of the spread
    z = np.concatenate([(values - m) / s for values, m, s in zip(logs, mean, sd, strict=True)])
    return np.round(z, DECIMALS), mean, sd


def _inflation(errors: FloatArray, variances: FloatArray) -> float:
    """Return the factor that makes predictive variances agree with left-out errors, pulled towards 1."""
    n = len(errors)
    if n < 2:
        return 1.0
    return float((PRIOR_DF + np.sum(np.square(errors) / variances)) / (PRIOR_DF + n))


def _verdict(sources: Sequence[Dataset], target: Dataset, property: str, log_errors: FloatArray) -> Verdict:
    errors_pct = 100.0 * np.abs(np.expm1(-np.clip(log_errors, -50.0, 50.0)))
    return judged(errors_pct, target_only_errors_pct(target, property) if sources else errors_pct)


def _thinned(sources: Sequence[Dataset], most: int) -> list[str]:
    return [
        f"source '{source.environment.name}': {most} of {len(source)} rows were used, to keep exact inference quick"
        for source in sources
        if len(source) > most
    ]


def _alike(sources: Sequence[Dataset], kernel: Coregionalised) -> list[str]:
    """Say how alike the target is to every source."""
    correlations = kernel.correlations()[-1]
    return [
        f"source '{source.environment.name}': correlation with the target {value:.2f}"
        for source, value in zip(sources, correlations[:-1], strict=True)
    ]
