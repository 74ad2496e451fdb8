"""What is learnt from one source environment, once, before any target row is seen.

A source model answers four questions about configurations: what the source predicts (f, and r: how
far the source's own reading deviates from f where it measured that very configuration), what each
option adds to the response (parts), which options and pairs are influential (infl), and which
configurations behaved alike in the source (ard, ard2, forest). Everything but the parts is in units
of the source's own spread: z = (log y - mean) / sd.

Fitting is deterministic: it depends on the rows of the source alone, not on their order, nor on the
seed of the transfer, so that a fitted source can be used again by any transfer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.model.gp import gaussian
from perfport.model.threads import each_in_threads, one_thread
from perfport.seeding import rng_for
from perfport.space.encoding import Encoder
from perfport.transfer.basis import N_REFERENCE, OptionBasis, centred_variance
from perfport.transfer.cache import RecentlyUsed
from perfport.transfer.forest import Forest, grow_forest
from perfport.transfer.parts import Parts, fit_parts
from perfport.transfer.smoother import Smoother, fit_smoother

__all__ = ["MAX_Z", "SourceModel", "SourceView", "cached_sources", "fit_source", "views_of"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_FIT_ROWS = 2000
N_PAIRED = 16  # columns whose pairs are terms
N_RELEVANT = 20  # columns with a relevance of their own
N_TREES = 60
MAX_LEAVES = 48  # of a tree: configurations in the same leaf behaved alike
MIN_SD = 1e-3  # of the log response: a source that does not vary must not be divided by zero
MIN_TERM_SD = 0.2  # a product that is nearly always zero must not be blown up by standardising
RIDGE_PENALTIES = 10.0 ** np.arange(-1, 5)
MAX_Z = 6.0  # predictions further out, in standard deviations, count as if they were not
MAX_CACHED = 64  # fitted sources kept in memory, a few megabytes each
CHUNK_ROWS = 4096  # rows encoded at a time; bounds the memory of a prediction


@dataclass(frozen=True, slots=True)
class SourceView:
    """Configurations as one source sees them; n rows.

    Attributes:
        X: Encoded options, shape (n, d).
        infl: Terms times their influence, shape (n, p): their products are the kernel `infl`.
        ard: Relevant columns times their relevance, shape (n, k).
        leaves: Leaf of every tree, shape (n, n_trees).
        parts: What each of the model's parts adds to the response over its mean, then the constant, shape (k, n).
        f: Smooth prediction, shape (n,).
        r: Reading minus f where the source measured the configuration, else 0, shape (n,).
        is_known: Whether the source measured the configuration, shape (n,).
    """

    X: FloatArray
    infl: FloatArray
    ard: FloatArray
    leaves: NDArray[np.integer[Any]]
    parts: FloatArray
    f: FloatArray
    r: FloatArray
    is_known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Terms:
    """Standardised main columns and products of pairs, with their influence on the source's response."""

    first: IntArray
    second: IntArray
    mean: FloatArray
    sd: FloatArray
    influence: FloatArray

    def weighted(self, X: FloatArray) -> FloatArray:
        return (_with_pairs(X, self.first, self.second) - self.mean) / self.sd * self.influence


@dataclass(frozen=True, slots=True)
class SourceModel:
    """One source environment, ready to be transferred.

    Attributes:
        environment: Its name.
        mean: Mean log response.
        sd: Standard deviation of the log response, at least 0.001.
        residual_variance: Mean square of r over the fitted rows.
        basis: Encoded options and the kernels on them.
        smoother: The regression behind f.
        parts: The response over exp(mean) as a sum over options.
        reference: A few hundred of the source's own configurations.
        sizes: Kernel name -> centred mean variance over `reference`.
    """

    environment: str
    mean: float
    sd: float
    residual_variance: float
    basis: OptionBasis
    smoother: Smoother
    parts: Parts
    reference: pd.DataFrame
    sizes: dict[str, float]
    _terms: _Terms
    _forest: Forest
    _keys: NDArray[np.uint64]  # sorted
    _known_f: FloatArray
    _known_r: FloatArray

    def view(self, configurations: pd.DataFrame) -> SourceView:
        """Return what the source knows about the configurations."""
        X = self.basis.encode(configurations)
        f, r, is_known = self._looked_up(configurations, X)
        root = np.sqrt(self.smoother.relevance.weights)
        return SourceView(
            X=X,
            infl=self._terms.weighted(X),
            ard=X[:, self.smoother.relevant] * root,
            leaves=self._forest.leaves(X),
            parts=self.parts.of(X),
            f=f,
            r=r,
            is_known=is_known,
        )

    def predict(self, configurations: pd.DataFrame) -> FloatArray:
        """Return f alone, shape (n,): much cheaper than a view."""
        f, _, _ = self._looked_up(configurations, self.basis.encode(configurations))
        return f

    def predict_known(self, configurations: pd.DataFrame) -> FloatArray:
        """Return f + r, shape (n,): the source's own reading where it has one, else f."""
        f, r, _ = self._looked_up(configurations, self.basis.encode(configurations))
        return f + r

    def kernels(self, A: SourceView, B: SourceView) -> dict[str, FloatArray]:
        """Return every kernel this source has learnt between two views, each of shape (len(A), len(B))."""
        raw = _learnt_kernels(A, B)
        return self.basis.kernels(A.X, B.X) | {name: K / self.sizes[name] for name, K in raw.items()}

    def diagonals(self, A: SourceView) -> dict[str, FloatArray]:
        """Return every kernel of a view with itself, each of shape (len(A),)."""
        ones = np.ones(len(A.f))
        own = {"infl": np.square(A.infl).sum(axis=1), "ard": ones, "ard2": ones, "forest": ones}
        return self.basis.diagonals(A.X) | {name: K / self.sizes[name] for name, K in own.items()}

    def _looked_up(
        self, configurations: pd.DataFrame, X: FloatArray
    ) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        keys = self.basis.encoder.keys(configurations)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        is_known = self._keys[place] == keys
        f, r = self._known_f[place], np.where(is_known, self._known_r[place], 0.0)
        if not is_known.all():
            unknown = np.flatnonzero(~is_known)
            f[unknown] = np.concatenate(
                [self.smoother.predict(X[part]) for part in np.array_split(unknown, -(-len(unknown) // CHUNK_ROWS))]
            )
        return f, r, is_known


_FITTED: RecentlyUsed[SourceModel] = RecentlyUsed(MAX_CACHED)


def cached_sources(datasets: Sequence[Dataset], *, property: str) -> list[SourceModel]:
    """Return `fit_source` of every dataset; sources of equal content are fitted once in a process."""

    def cached(dataset: Dataset) -> SourceModel:
        model = _FITTED.get((dataset.key, property), lambda: fit_source(dataset, property=property))
        # Equal content may go by another name.
        name = dataset.environment.name
        return model if model.environment == name else replace(model, environment=name)

    return each_in_threads(cached, datasets)


def views_of(models: Sequence[SourceModel], configurations: pd.DataFrame) -> tuple[SourceView, ...]:
    """Return the configurations as each source sees them, in the order of the models."""
    return tuple(each_in_threads(lambda model: model.view(configurations), models))


@one_thread()
def fit_source(dataset: Dataset, *, property: str) -> SourceModel:
    """Learn a source, on one thread: what is cached must not depend, in its last bits, on who asked first.

    Args:
        dataset: Its rows; at least one, every response of `property` positive and finite.
        property: Name of the response.
    """
    encoder = Encoder(dataset.space, fitted_on=dataset.configurations)
    configurations, keys, log_y = _one_row_each(dataset, encoder, np.log(dataset.responses[property]))
    rng = rng_for(0, "source")
    mean, sd = float(log_y.mean()), max(float(log_y.std()), MIN_SD)
    # Rounded, so that the last bit (which a change of units moves) never decides a tie between splits of a tree.
    z = np.round((log_y - mean) / sd, 9)
    fit = _subset(len(z), MAX_FIT_ROWS, rng)
    X = encoder.transform(configurations.iloc[fit])
    reference = _subset(len(fit), N_REFERENCE, rng)
    basis = OptionBasis.fit(encoder, X[reference])
    max_leaves = int(np.clip(len(fit) // 8, 4, MAX_LEAVES))
    forest = grow_forest(X, z[fit], N_TREES, seed=int(rng.integers(2**31)), max_leaves=max_leaves)
    by_importance = basis.primary[np.argsort(-forest.importances[basis.primary], kind="stable")]
    terms = _fit_terms(X, z[fit], _pairs(encoder, by_importance[:N_PAIRED]))
    smoother = fit_smoother(X, z[fit], np.sort(by_importance[:N_RELEVANT]), rng)
    f = np.empty(len(z))
    f[fit] = smoother.held_out
    others = np.setdiff1d(np.arange(len(z)), fit)
    if len(others):
        f[others] = smoother.predict(encoder.transform(configurations.iloc[others]))
    root = np.sqrt(smoother.relevance.weights)
    seen, predicted = X[reference], smoother.held_out[reference]
    parts = fit_parts(encoder.columns, encoder.groups, seen, np.exp(sd * np.clip(predicted, -MAX_Z, MAX_Z)))
    view = SourceView(
        X=seen,
        infl=terms.weighted(seen),
        ard=seen[:, smoother.relevant] * root,
        leaves=forest.leaves(seen),
        parts=parts.of(seen),
        f=predicted,
        r=z[fit][reference] - predicted,
        is_known=np.ones(len(reference), dtype=bool),
    )
    return SourceModel(
        environment=dataset.environment.name,
        mean=mean,
        sd=sd,
        residual_variance=float(np.mean(np.square(z[fit] - f[fit]))),
        basis=basis,
        smoother=smoother,
        parts=parts,
        reference=configurations.iloc[fit[reference]].reset_index(drop=True),
        sizes={name: centred_variance(K) for name, K in _learnt_kernels(view, view).items()},
        _terms=terms,
        _forest=forest,
        _keys=keys,
        _known_f=f,
        _known_r=z - f,
    )


def _one_row_each(
    dataset: Dataset, encoder: Encoder, log_y: FloatArray
) -> tuple[pd.DataFrame, NDArray[np.uint64], FloatArray]:
    """Return distinct configurations sorted by key, their keys, and the mean log response of each."""
    # Sorting by key makes all that follows, random subsets included, independent of the order of rows.
    keys, first, place = np.unique(encoder.keys(dataset.configurations), return_index=True, return_inverse=True)
    # Adding in sorted order makes the mean of replicates independent of their order, to the last bit.
    order = np.lexsort((log_y, place))
    mean = np.bincount(place[order], weights=log_y[order]) / np.bincount(place)
    return dataset.configurations.iloc[first].reset_index(drop=True), keys, mean


def _pairs(encoder: Encoder, columns: IntArray) -> tuple[IntArray, IntArray]:
    """Return the pairs of the given columns that belong to different options."""
    option = [encoder.columns[column].option for column in columns]
    pairs = [
        (min(columns[i], columns[j]), max(columns[i], columns[j]))
        for i in range(len(columns))
        for j in range(i)
        if option[i] != option[j]
    ]
    both = np.asarray(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _with_pairs(X: FloatArray, first: IntArray, second: IntArray) -> FloatArray:
    return np.hstack([X, X[:, first] * X[:, second]])


def _fit_terms(X: FloatArray, z: FloatArray, pairs: tuple[IntArray, IntArray]) -> _Terms:
    """Fit the influence of all terms by ridge regression; the penalty by generalised cross-validation."""
    first, second = pairs
    Phi = _with_pairs(X, first, second)
    mean, sd = Phi.mean(axis=0), np.maximum(Phi.std(axis=0), MIN_TERM_SD)
    Phi = (Phi - mean) / sd
    U, singular, Vt = np.linalg.svd(Phi, full_matrices=False)
    rotated = U.T @ (z - z.mean())
    total = float(np.square(z - z.mean()).sum())
    n = len(z)

    def score(penalty: float) -> float:
        kept = singular**2 / (singular**2 + penalty)
        missed = total - float(((2 * kept - kept**2) * rotated**2).sum())
        return float(missed / max(n - 1 - kept.sum(), 1e-3) ** 2)

    best = min(RIDGE_PENALTIES, key=score)
    return _Terms(first, second, mean, sd, Vt.T @ (singular / (singular**2 + best) * rotated))


def _learnt_kernels(A: SourceView, B: SourceView) -> dict[str, FloatArray]:
    ard = gaussian(A.ard, B.ard)
    shared = np.zeros((len(A.leaves), len(B.leaves)), dtype=np.uint8)
    for a, b in zip(A.leaves.T, B.leaves.T, strict=True):
        shared += a[:, None] == b[None, :]
    return {"infl": A.infl @ B.infl.T, "ard": ard, "ard2": ard**4, "forest": shared / A.leaves.shape[1]}


def _subset(n: int, most: int, rng: np.random.Generator) -> IntArray:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
