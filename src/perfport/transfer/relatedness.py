"""How related two environments are: the questions one asks before, or after, a transfer.

- Are their responses correlated, and how far off is the source once it is scaled?
- Are their responses distributed alike?
- Do the influential options, and their order, persist?
- Do interactions persist?
- Do the same configurations fail?
- What is a transfer expected to gain?

All but the last two are asked on logarithms. Correlations are taken on configurations both environments
measured, or, where those are few, between target readings and what a model of the source predicts.

Example:
    >>> print(relatedness(source, target, property="inference_time_s"))  # doctest: +SKIP

Source:
    The questions: Jamshidi, Siegmund, Velez, Kästner, Patel, Agarwal, "Transfer Learning for Performance
    Modeling of Configurable Systems: An Exploratory Analysis", ASE 2017. The measures of influence
    are total and superset Sobol indices (Jansen 1999; Liu and Owen 2006) of a performance-influence
    model, where the paper compares regression coefficients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ks_2samp, rankdata

from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Status
from perfport.errors import UsageError
from perfport.model.influence import PerformanceInfluenceModel, fit_influence_model
from perfport.seeding import rng_for
from perfport.space.alignment import align
from perfport.space.encoding import Encoder
from perfport.transfer.prepare import prepare_sources, prepare_target
from perfport.transfer.surface import source_surface

__all__ = ["Persistence", "Relatedness", "SharedFailures", "Statistic", "gain_features", "relatedness"]

N_BOOTSTRAP = 500  # fewer, down to 100, where rows are so many that their intervals are narrow anyway
MIN_SHARED = 10  # shared configurations from which readings are compared with readings
MIN_ROWS_INFLUENCE = 20  # fewer rows do not tell which options are influential
INFLUENTIAL = 0.01  # share of the variance of the log response from which an influence counts
MAX_PAIRED = 12  # options whose pairs are examined
MAX_ROWS = 2000  # rows influences are computed from
LEAST_UNEXPLAINED = 1e-3  # share of variance; readings scatter about as much
EXPECTED_FROM = (5, 20)  # target rows for which the table tells the expected gain
# Of `gain_features`: fitted by `benchmarks/foretell.py` to 72 published tasks of 20 systems, by correlations from all
# rows of the target and gains from 5 to 50 rows. It judges them with systems left out, too: a hint, not a verdict.
GAIN_COEFFICIENTS = (1.22, -0.24, -0.36)


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number with a bootstrap interval over configurations; NaN where it cannot be computed."""

    value: float
    lower: float = float("nan")
    upper: float = float("nan")


@dataclass(frozen=True, eq=False)
class Persistence:
    """Which influences of the source are influences of the target too.

    Attributes:
        table: One row an option or a pair (index), columns `source` and `target`: shares of the variance
            of the log response that would be lost without it. Shares overlap, as interactions count for
            each of their options, and exceed 1 where levels of several options go together.
        overlap: Influential in both over influential in either, 0 to 1; NaN if nothing is influential.
        kept: Influential in both over influential in the source; NaN if nothing is influential there.
        rank_agreement: Spearman correlation of the shares of those influential in either; NaN if fewer
            than three are.
    """

    table: pd.DataFrame
    overlap: float
    kept: float
    rank_agreement: float


@dataclass(frozen=True, slots=True)
class SharedFailures:
    """Outcomes on configurations tried in both environments.

    Attributes:
        n: Configurations tried in both.
        both: Failed in both.
        source_only: Failed in the source only.
        target_only: Failed in the target only.
    """

    n: int
    both: int
    source_only: int
    target_only: int

    @property
    def overlap(self) -> float:
        """Failed in both over failed in either, 0 to 1; NaN if nothing failed."""
        either = self.both + self.source_only + self.target_only
        return self.both / either if either else float("nan")


@dataclass(frozen=True, eq=False)
class Relatedness:
    """How related a source and a target are; made by `relatedness`.

    Attributes:
        source: Name of the source.
        target: Name of the target.
        property: Name of the response compared.
        n: Configurations the correlations rest on.
        basis: "shared configurations" or "model of the source at the target's configurations".
        pearson: Linear correlation of log responses.
        spearman: Rank correlation.
        ratio: Geometric mean of target over source.
        scaled_error_pct: Mean absolute percentage error of the source times `ratio`, in percent.
        ks_distance: Largest distance of the two distributions of standardised log responses, 0 to 1.
        options: Persistence of influential options; None if the target has too few rows to tell.
        interactions: Persistence of influential pairs; None likewise.
        failures: Outcomes on shared configurations; None if no configuration was tried in both.
        notes: What was dropped or could not be said, and why.
    """

    source: str
    target: str
    property: str
    n: int
    basis: str
    pearson: Statistic
    spearman: Statistic
    ratio: Statistic
    scaled_error_pct: Statistic
    ks_distance: Statistic
    options: Persistence | None
    interactions: Persistence | None
    failures: SharedFailures | None
    notes: tuple[str, ...]

    def expected_gain(self, n_rows: int) -> float:
        """Return the error without a source over the error with it that a transfer may expect.

        A rule of thumb, learnt over published systems: it ranks pairs of environments, and says little of
        any one of them. What the target rows say themselves is the verdict of `perfport.transfer`.

        Args:
            n_rows: Target rows to be measured.

        Returns:
            Above 1 if the source should pay; NaN where the correlation is unknown.

        Raises:
            UsageError: If there is less than one row.
        """
        if n_rows < 1:
            raise UsageError(f"n_rows is {n_rows}: a transfer needs at least one target row", n_rows=n_rows)
        if not np.isfinite(self.pearson.value):
            return float("nan")
        return float(np.exp(np.dot(gain_features(self, n_rows), GAIN_COEFFICIENTS)))

    def table(self) -> pd.DataFrame:
        """Return one row a measure: question, measure, value, lower, upper (NaN where there is none)."""
        correlated, alike = "are responses correlated?", "are they distributed alike?"
        rows: list[tuple[str, str, Statistic]] = [
            (correlated, "Pearson correlation of logarithms", self.pearson),
            (correlated, "Spearman rank correlation", self.spearman),
            (correlated, "ratio target / source", self.ratio),
            (correlated, "error of the scaled source, %", self.scaled_error_pct),
            (alike, "Kolmogorov-Smirnov distance", self.ks_distance),
        ]
        for question, persistence in (
            ("do influential options persist?", self.options),
            ("do interactions persist?", self.interactions),
        ):
            if persistence is not None:
                rows.append((question, "in both / in either", Statistic(persistence.overlap)))
                rows.append((question, "kept of the source's", Statistic(persistence.kept)))
                rows.append((question, "rank correlation of influence", Statistic(persistence.rank_agreement)))
        if self.failures is not None:
            rows.append(("do the same fail?", "in both / in either", Statistic(self.failures.overlap)))
        rows += [
            ("does a transfer pay?", f"expected gain from {n} rows", Statistic(self.expected_gain(n)))
            for n in EXPECTED_FROM
        ]
        return pd.DataFrame(
            [(question, measure, s.value, s.lower, s.upper) for question, measure, s in rows],
            columns=["question", "measure", "value", "lower", "upper"],
        )

    def __str__(self) -> str:
        """Return the table as text, with what it rests on and the notes."""
        lines = [f"'{self.source}' -> '{self.target}', {self.property}: {self.n} rows, {self.basis}"]
        question = ""
        for row in self.table().to_dict("records"):
            if row["question"] != question:
                question = row["question"]
                lines.append(question)
            interval = f"  [{row['lower']:.3g}, {row['upper']:.3g}]" if np.isfinite(row["lower"]) else ""
            value = f"{row['value']:.3g}" if np.isfinite(row["value"]) else "-"
            lines.append(f"  {row['measure']:<36}{value:>8}{interval}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def gain_features(found: Relatedness, n_rows: int) -> tuple[float, ...]:
    """Return what the expected gain is linear in, on logarithms: 1, what the source leaves unexplained, rows.

    Args:
        found: Relatedness of source and target.
        n_rows: Target rows the transfer is to measure.
    """
    correlation = max(found.pearson.value, 0.0) if np.isfinite(found.pearson.value) else 0.0
    return 1.0, float(np.log(max(1.0 - correlation**2, LEAST_UNEXPLAINED))), float(np.log(n_rows))


def relatedness(
    source: Dataset,
    target: Dataset,
    *,
    property: str,
    rename: Mapping[str, str] | None = None,
    influences: bool = True,
    coverage: float = 0.9,
    seed: int = 0,
) -> Relatedness:
    """Compare two environments.

    Args:
        source: Measured configurations, failed ones included.
        target: Likewise; the few rows of a transfer are enough for the first questions, the influences
            need at least 20.
        property: Name of the response, in both.
        rename: Option in the source -> the same option in the target, where names differ.
        influences: Whether influences are compared, which takes most of the time.
        coverage: Of the intervals, between 0 and 1.
        seed: Of the bootstrap.

    Raises:
        UsageError: If a dataset has no such property, units do not fit, or the coverage is out of range.
        NotEnoughDataError: If a dataset has no usable row.
    """
    if not 0.0 < coverage < 1.0:
        raise UsageError(f"coverage is {coverage}: it must lie between 0 and 1, for instance 0.9", coverage=coverage)
    ready = prepare_target(target, property=property)
    (prepared,) = prepare_sources([source], target.space, property=target.properties[property], rename=rename)
    here, there = prepared.dataset, ready.dataset
    f, y, basis = _paired(here, there, property)
    statistics = _statistics(np.log(f), np.log(y), coverage, rng_for(seed, "relatedness"))
    notes = [*ready.notes, *prepared.notes]
    options = interactions = None
    if influences and min(len(here), len(there)) >= MIN_ROWS_INFLUENCE:
        options, interactions = _persistence(here, there, property)
    elif influences:
        notes.append(
            f"influences were not compared: that needs {MIN_ROWS_INFLUENCE} rows in both, there are {len(here)} "
            f"and {len(there)}"
        )
    return Relatedness(
        source=source.environment.name,
        target=target.environment.name,
        property=property,
        n=len(y),
        basis=basis,
        **statistics,
        options=options,
        interactions=interactions,
        failures=_failures(source, target, property, rename),
        notes=tuple(notes),
    )


def _paired(source: Dataset, target: Dataset, property: str) -> tuple[FloatArray, FloatArray, str]:
    """Return responses of source and target on the same configurations, and where the source's come from."""
    surface = source_surface(source, property=property)
    y = target.response(property)
    shared = surface.is_measured(target.configurations)
    if shared.sum() >= min(MIN_SHARED, len(target)):
        rows = np.flatnonzero(shared)
        return surface.predict(target.configurations.iloc[rows]), y[rows], "shared configurations"
    return surface.predict(target.configurations), y, "model of the source at the target's configurations"


def _statistics(
    log_f: FloatArray, log_y: FloatArray, coverage: float, rng: np.random.Generator
) -> dict[str, Statistic]:
    n = len(log_y)
    n_draws = int(np.clip(2_000_000 // n, 100, N_BOOTSTRAP))
    draws = np.vstack([np.arange(n), rng.integers(n, size=(n_draws, n))])  # the data first, then resamples
    F, Y = log_f[draws], log_y[draws]
    shift = (Y - F).mean(axis=1)
    measures = {
        "pearson": _correlation(F, Y),
        "spearman": _correlation(rankdata(F, axis=1), rankdata(Y, axis=1)),
        "ratio": np.exp(shift),
        "scaled_error_pct": 100 * np.abs(np.expm1(F + shift[:, None] - Y)).mean(axis=1),
    }
    found = {name: _with_interval(values, coverage) for name, values in measures.items()}
    # Resampling adds ties that a distance between distributions takes for differences: no interval.
    if min(np.ptp(log_f), np.ptp(log_y)) == 0:
        return found | {"ks_distance": Statistic(float("nan"))}
    # The distance alone is wanted; asked for an exact probability, scipy warns where it cannot give one.
    test = ks_2samp(_standardised(log_f), _standardised(log_y), method="asymp")
    return found | {"ks_distance": Statistic(float(test.statistic))}


def _correlation(A: FloatArray, B: FloatArray) -> FloatArray:
    """Return the correlation of every row of A with that of B, NaN where one is constant."""
    a, b = A - A.mean(axis=1, keepdims=True), B - B.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    is_flat = scale <= 1e-12 * np.maximum(1.0, np.abs(A).max(axis=1) * np.abs(B).max(axis=1))
    return np.where(is_flat, np.nan, (a * b).sum(axis=1) / np.where(is_flat, 1.0, scale))


def _with_interval(values: FloatArray, coverage: float) -> Statistic:
    """Return the first value with the percentile interval of the others."""
    resampled = values[1:][np.isfinite(values[1:])]
    # A handful of rows resampled is a handful of distinct answers, most of them one row repeated.
    if not np.isfinite(values[0]) or len(resampled) < len(values) / 2:
        return Statistic(float(values[0]))
    lower, upper = np.quantile(resampled, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Statistic(float(values[0]), float(lower), float(upper))


def _standardised(values: FloatArray) -> FloatArray:
    # Rounded, or equal numbers that went different ways would count as a step between the distributions.
    return np.asarray(np.round((values - values.mean()) / values.std(), 9))


def _persistence(source: Dataset, target: Dataset, property: str) -> tuple[Persistence, Persistence]:
    # Rows come in an order that has nothing to do with them: the first ones are as good as random ones.
    few = [dataset.take(np.arange(min(len(dataset), MAX_ROWS))) for dataset in (source, target)]
    models = [fit_influence_model(dataset, property, scale="log") for dataset in few]
    rows = [_repeated(dataset.configurations) for dataset in few]
    totals = [_option_shares(model, frame) for model, frame in zip(models, rows, strict=True)]
    either = sorted({name for shares in totals for name in shares}, key=lambda o: -sum(s.get(o, 0.0) for s in totals))
    pairs = list(combinations(sorted(either[:MAX_PAIRED]), 2))
    joint = [_pair_shares(model, frame, pairs) for model, frame in zip(models, rows, strict=True)]
    return _compared(*totals), _compared(
        *({f"{a} x {b}": share for (a, b), share in shares.items()} for shares in joint)
    )


def _repeated(configurations: pd.DataFrame) -> pd.DataFrame:
    """Return the rows often enough that mixing their levels leaves little to chance."""
    times = -(-MAX_ROWS // len(configurations))
    return pd.concat([configurations] * times, ignore_index=True)


def _option_shares(model: PerformanceInfluenceModel, frame: pd.DataFrame) -> dict[str, float]:
    """Return the total Sobol index of every option the model uses (Jansen's estimator)."""
    y = np.log(model.predict(frame))
    variance = max(float(y.var()), 1e-300)
    options = sorted({option for term in model.terms() for option in term.options})
    return {
        option: float(np.mean((y - np.log(model.predict(_mixed(frame, [option])))) ** 2)) / (2 * variance)
        for option in options
    }


def _pair_shares(
    model: PerformanceInfluenceModel, frame: pd.DataFrame, pairs: list[tuple[str, str]]
) -> dict[tuple[str, str], float]:
    """Return the superset Sobol index of every pair that shares a term (Liu and Owen's estimator)."""
    y = np.log(model.predict(frame))
    variance = max(float(y.var()), 1e-300)
    joined = {frozenset(pair) for term in model.terms() for pair in combinations(term.options, 2)}
    alone: dict[str, FloatArray] = {}
    shares = {}
    for a, b in pairs:
        if frozenset((a, b)) not in joined:
            continue
        for option in (a, b):
            if option not in alone:
                alone[option] = np.log(model.predict(_mixed(frame, [option])))
        both = np.log(model.predict(_mixed(frame, [a, b])))
        shares[(a, b)] = float(np.mean((y - alone[a] - alone[b] + both) ** 2)) / (4 * variance)
    return shares


def _mixed(frame: pd.DataFrame, options: list[str]) -> pd.DataFrame:
    """Return the frame with the levels of the options taken from other rows, each option from its own."""
    changed = {}
    for option in options:
        # Drawn by the option's name, so that a pair is mixed exactly as each of its options is alone.
        order = rng_for(0, "mixed", option).permutation(len(frame))
        changed[option] = frame[option].take(order).reset_index(drop=True)
    return frame.assign(**changed)


def _compared(source: dict[str, float], target: dict[str, float]) -> Persistence:
    names = sorted({*source, *target}, key=lambda name: (-max(source.get(name, 0.0), target.get(name, 0.0)), name))
    table = pd.DataFrame(
        {"source": [source.get(n, 0.0) for n in names], "target": [target.get(n, 0.0) for n in names]},
        index=pd.Index(names, dtype=object),
        dtype=np.float64,
    )
    counts = table >= INFLUENTIAL
    in_source, in_target = counts["source"].to_numpy(dtype=bool), counts["target"].to_numpy(dtype=bool)
    both, either = int((in_source & in_target).sum()), in_source | in_target
    agreement = float("nan")
    if either.sum() >= 3:
        ranks = [rankdata(table.loc[either, side].to_numpy())[None, :] for side in ("source", "target")]
        agreement = float(_correlation(*ranks)[0])
    return Persistence(
        table=table,
        overlap=both / int(either.sum()) if either.any() else float("nan"),
        kept=both / int(in_source.sum()) if in_source.any() else float("nan"),
        rank_agreement=agreement,
    )


def _failures(
    source: Dataset, target: Dataset, property: str, rename: Mapping[str, str] | None
) -> SharedFailures | None:
    aligned = align(source.space, target.space, rename=rename).to_target(source.configurations)
    encoder = Encoder(target.space, fitted_on=pd.concat([aligned, target.configurations], ignore_index=True))
    here = _failed(source, property, encoder.keys(aligned))
    there = _failed(target, property, encoder.keys(target.configurations))
    shared = here.index.intersection(there.index)
    if not len(shared):
        return None
    a, b = here.loc[shared].to_numpy(dtype=bool), there.loc[shared].to_numpy(dtype=bool)
    return SharedFailures(len(shared), int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()))


def _failed(dataset: Dataset, property: str, keys: NDArray[np.uint64]) -> "pd.Series[bool]":
    """Return for every distinct configuration whether none of its rows has a positive response."""
    y = np.nan_to_num(dataset.response(property))
    is_failed = (dataset.status != Status.OK.value) | (y <= 0)
    return pd.Series(is_failed).groupby(keys).all()
