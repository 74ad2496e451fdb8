"""Several sources as one: weights of the sources, their combined prediction, and the kernel stack.

A `Prior` is what the members and the design work with: it sees configurations (`see`) and says how
alike two of them are, by every kernel (`kernels`). `CombinedSource` is the prior that sources give,
`OptionsOnly` the one that is left without any source.

Combining takes the weighted mean of predictions and kernels; where there are several sources, their
disagreement becomes two more kernels (`diff`, `flink`), so that the target may lie outside of what
any mixture of them says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls

from perfport.model.threads import each_in_threads
from perfport.space.encoding import Encoder
from perfport.transfer.basis import N_REFERENCE, OptionBasis, centred_variance
from perfport.transfer.parts import loadings_of, rescaled
from perfport.transfer.source import MAX_Z, SourceModel, SourceView, views_of

__all__ = ["CombinedSource", "OptionsOnly", "Prior", "Seen", "source_weights"]

FloatArray = NDArray[np.float64]

LINK_RANGE = 0.6  # of a link function, in standard deviations of the source
PULL = 1.5  # how far the weights of q sources may stray from 1/q: prior sd PULL / q
UNUSED_RELEVANCE = 0.003  # of columns no source found worth a relevance of their own
RELEVANCE_RANGE = (0.002, 3.0)
MIN_SHARE = 0.02  # sources with less than this share of 1/q are left out of the kernels


@dataclass(frozen=True, slots=True)
class Seen:
    """Configurations as a prior sees them; n rows.

    Attributes:
        X: Encoded options (of the first source), shape (n, d).
        f: Combined smooth prediction, shape (n,); 0 without sources.
        r: Combined deviation of the sources' own readings from f, shape (n,).
        share_known: Weight of the sources that measured the configuration, shape (n,).
        apart: How far each source is from f, shape (q, n).
        parts: What each part adds to exp(sd f), a constant, and the rest, shape (k, n); they sum to it.
        views: The same rows as each source sees them; one a source.
    """

    X: FloatArray
    f: FloatArray
    r: FloatArray
    share_known: FloatArray
    apart: FloatArray
    parts: FloatArray
    views: tuple[SourceView, ...]

    def __len__(self) -> int:
        return len(self.X)


class Prior(Protocol):
    """What is believed about the target before its rows are read. Log responses are mean + sd z."""

    @property
    def mean(self) -> float:
        """Location of the log response."""
        ...

    @property
    def sd(self) -> float:
        """Unit of z: a standard deviation of the log response."""
        ...

    @property
    def residual_variance(self) -> float:
        """Mean square deviation of a source's readings from its own f, in units of z."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the kernels, in the order in which they are stacked."""
        ...

    def see(self, configurations: pd.DataFrame) -> Seen:
        """Return what is known about the configurations."""
        ...

    def kernels(self, A: Seen, B: Seen) -> FloatArray:
        """Return every kernel, shape (n_kernels, len(A), len(B))."""
        ...

    def diagonals(self, A: Seen) -> FloatArray:
        """Return every kernel of each row with itself, shape (n_kernels, len(A))."""
        ...


def source_weights(predictions: FloatArray, log_y: FloatArray, sds: FloatArray) -> FloatArray:
    """Return how much each source counts, shape (q,), from its agreement with the target rows.

    Ridge regression of the target on the sources around equal weights, non-negative, summing to 1;
    the pull is as strong as the best single source is wrong.

    Args:
        predictions: f + r of every source at the target rows, in units of its sd, shape (q, n).
        log_y: Log responses of the target rows, shape (n,).
        sds: Standard deviation of each source's log responses, shape (q,).
    """
    q = len(predictions)
    if q == 1:
        return np.ones(1)
    unit = np.exp(np.log(sds).mean())
    F = (predictions - predictions.mean(axis=1, keepdims=True)) * sds[:, None] / unit
    z = (log_y - log_y.mean()) / unit
    misfit = max(float(np.mean(np.square(z - F), axis=1).min()), 1e-3)
    pull = np.sqrt(misfit) * q / PULL
    # The last row asks for a sum of 1, a hundred times as strongly as a target row.
    A = np.vstack([F.T, pull * np.eye(q), np.full((1, q), 10.0)])
    weights, _ = nnls(A, np.concatenate([z, np.full(q, pull / q), [10.0]]))
    return np.asarray(weights / weights.sum())


class CombinedSource:
    """One or more sources behind the interface of a single one.

    Args:
        models: Fitted sources, at least one.
        weights: How much each counts, shape (q,), summing to 1.

    Attributes:
        relevance: Inverse squared length of every column of `Seen.X` in the sources, shape (d,).
        loadings: How far each change scales each of `Seen.parts`, shape (k, p).
    """

    def __init__(self, models: Sequence[SourceModel], weights: FloatArray) -> None:
        self.models, self.weights = tuple(models), weights
        self.mean = float(weights @ [model.mean for model in models])
        self.sd = float(np.exp(weights @ np.log([model.sd for model in models])))
        self.residual_variance = float(weights @ [model.residual_variance for model in models])
        self._active = [i for i, weight in enumerate(weights) if weight >= MIN_SHARE / len(models)]
        shared = set.intersection(*(set(model.basis.names) | set(model.sizes) for model in models))
        own = [name for name in (*models[0].basis.names, *models[0].sizes) if name in shared]
        between = ["diff", "flink"] if len(models) > 1 else []
        self.names = ("slope", "overhead", "parts", "r", "link", *own, *between)
        names = sorted({name for model in models for name in model.parts.names}, key=str)
        self._parts = {name: i for i, name in enumerate(names)}
        self.loadings = loadings_of(names)
        self.relevance = self._relevance()
        self._own = tuple(own)
        self._usual_overhead, self._sizes = self._measure()

    def see(self, configurations: pd.DataFrame) -> Seen:
        """Return what the sources know about the configurations."""
        return self.combine(views_of(self.models, configurations))

    def combine(self, views: tuple[SourceView, ...]) -> Seen:
        """Return one view of rows from those of the single sources."""
        predictions = np.stack([view.f for view in views])
        f = self.weights @ predictions
        return Seen(
            X=views[0].X,
            f=f,
            r=self.weights @ np.stack([view.r for view in views]),
            share_known=self.weights @ np.stack([view.is_known for view in views]),
            apart=predictions - f,
            parts=self._split(f, views),
            views=views,
        )

    def kernels(self, A: Seen, B: Seen) -> FloatArray:
        """Return every kernel, shape (n_kernels, len(A), len(B))."""
        of_f = self._of_predictions(A.f, A.apart, B.f, B.apart)
        of_f["overhead"] = np.outer(*(self._overhead(rows.f) - self._usual_overhead for rows in (A, B)))
        stack = {name: K / self._sizes[name] for name, K in of_f.items()}
        stack["parts"] = self._shares(A).T @ self._shares(B)
        stack["r"] = np.outer(A.r, B.r) / max(self.residual_variance, 1e-9)
        for i in self._active:
            for name, K in self.models[i].kernels(A.views[i], B.views[i]).items():
                if name in self._own:
                    stack[name] = stack.get(name, 0.0) + self.weights[i] * K
        return np.stack([stack[name] for name in self.names])

    def diagonals(self, A: Seen) -> FloatArray:
        """Return every kernel of each row with itself, shape (n_kernels, len(A))."""
        stack = {
            "slope": np.square(A.f) / self._sizes["slope"],
            "overhead": np.square(self._overhead(A.f) - self._usual_overhead) / self._sizes["overhead"],
            "parts": np.square(self._shares(A)).sum(axis=0),
            "link": np.full(len(A), 1.0 / self._sizes["link"]),
            "r": np.square(A.r) / max(self.residual_variance, 1e-9),
        }
        if len(self.models) > 1:
            stack["diff"] = 2.0 / len(self.models) * np.square(A.apart).sum(axis=0)
            stack["flink"] = np.full(len(A), 1.0 / self._sizes["flink"])
        for i in self._active:
            for name, diagonal in self.models[i].diagonals(A.views[i]).items():
                if name in self._own:
                    stack[name] = stack.get(name, 0.0) + self.weights[i] * diagonal
        return np.stack([stack[name] for name in self.names])

    def _relevance(self) -> FloatArray:
        """Return the sources' inverse squared length of every column of the first source, shape (d,)."""
        columns = self.models[0].basis.encoder.columns
        log_relevance = np.zeros(len(columns))
        for weight, model in zip(self.weights, self.models, strict=True):
            known = model.basis.encoder.columns
            learned = zip(model.smoother.relevant, model.smoother.relevance.weights, strict=True)
            found = {known[position]: value for position, value in learned}
            values = [found.get(column, UNUSED_RELEVANCE) for column in columns]
            log_relevance += weight * np.log(np.clip(values, *RELEVANCE_RANGE))
        return np.exp(log_relevance)

    def _split(self, f: FloatArray, views: tuple[SourceView, ...]) -> FloatArray:
        """Return the parts of exp(sd f): those of the sources in proportion to their weights, and what is left."""
        parts = np.zeros((len(self._parts) + 2, len(f)))
        for weight, model, view in zip(self.weights, self.models, views, strict=True):
            parts[[*(self._parts[name] for name in model.parts.names), len(self._parts)]] += weight * view.parts
        parts[-1] = np.exp(self.sd * np.clip(f, -MAX_Z, MAX_Z)) - parts.sum(axis=0)
        return parts

    def _shares(self, seen: Seen) -> FloatArray:
        """Return the derivatives of the log response by the changes of the parts, shape (k, n)."""
        return rescaled(seen.parts, self.loadings, np.zeros(self.loadings.shape[1]), self.sd)[1]

    def _overhead(self, f: FloatArray) -> FloatArray:
        """Return what the log response gains per unit of a constant added to the response, but for a factor."""
        return np.asarray(np.exp(-self.sd * np.clip(f, -MAX_Z, MAX_Z)))

    def _of_predictions(
        self, f: FloatArray, apart: FloatArray, g: FloatArray, apart_g: FloatArray
    ) -> dict[str, FloatArray]:
        """Return the kernels, not yet normalised, that depend on the sources' predictions alone."""
        gaps = np.square(f[:, None] - g[None, :])
        found = {"slope": np.outer(f, g), "link": np.exp(-gaps / (2.0 * LINK_RANGE**2))}
        q = len(apart)
        if q > 1:
            each, each_g = f + apart, g + apart_g
            spread = np.square(each).sum(axis=0)[:, None] + np.square(each_g).sum(axis=0)[None, :] - 2 * each.T @ each_g
            # Not normalised: the size of the sources' disagreement is the information.
            found["diff"] = 2.0 / q * apart.T @ apart_g
            found["flink"] = np.exp(-np.maximum(spread, 0.0) / (2.0 * q * LINK_RANGE**2))
        return found

    def _measure(self) -> tuple[float, dict[str, float]]:
        """Return the mean overhead and the size of the kernels of predictions, over rows pooled from all sources."""
        if len(self.models) == 1:
            predictions = self.models[0].smoother.held_out[:N_REFERENCE][None, :]
        else:
            each = -(-N_REFERENCE // len(self.models))
            pooled = pd.concat([model.reference.head(each) for model in self.models], ignore_index=True)
            predictions = np.stack(each_in_threads(lambda model: model.predict(pooled), self.models))
        f = self.weights @ predictions
        raw = self._of_predictions(f, predictions - f, f, predictions - f)
        sizes = {name: 1.0 if name == "diff" else centred_variance(K) for name, K in raw.items()}
        overhead = self._overhead(f)
        return float(overhead.mean()), sizes | {"overhead": max(float(overhead.var()), 1e-12)}


class OptionsOnly:
    """The prior without sources: any option, any pair of options, anything smooth may matter.

    Args:
        encoder: Of the options.
        X: Encoded rows that set the size of the kernels, shape (n, d).
        mean: Location of the log response.
        sd: Unit of z.
    """

    residual_variance = 0.0

    def __init__(self, encoder: Encoder, X: FloatArray, *, mean: float = 0.0, sd: float = 1.0) -> None:
        self.basis = OptionBasis.fit(encoder, X[:N_REFERENCE])
        self.mean, self.sd = mean, sd
        self.names = self.basis.names

    def see(self, configurations: pd.DataFrame) -> Seen:
        """Return the encoded configurations; nothing else is known."""
        X = self.basis.encode(configurations)
        zeros = np.zeros(len(X))
        return Seen(X, zeros, zeros, zeros, np.zeros((0, len(X))), np.zeros((0, len(X))), ())

    def kernels(self, A: Seen, B: Seen) -> FloatArray:
        """Return every kernel, shape (n_kernels, len(A), len(B))."""
        return np.stack([*self.basis.kernels(A.X, B.X).values()])

    def diagonals(self, A: Seen) -> FloatArray:
        """Return every kernel of each row with itself, shape (n_kernels, len(A))."""
        return np.stack([*self.basis.diagonals(A.X).values()])
