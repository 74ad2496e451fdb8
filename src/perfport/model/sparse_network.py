"""A deep network whose first layer is sparse, for the few rows and many irrelevant options of a performance model.

Only few options matter, so the weights that options enter by are penalised by their absolute values;
the layers behind are free to bend. How deep, how fast to learn and how sparse is decided on rows held
out from the training rows. PyTorch is needed and is imported when something is fitted.

Source:
    Ha and Zhang, "DeepPerf: Performance Prediction for Configurable Software with Deep Sparse Neural
    Network", ICSE 2019: rectified layers, L1 on the first, depth and learning rate first, then the penalty. Ours are
    three folds instead of one split, a number of steps that does not grow with the table, and the mean of three
    networks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from perfport.data.measurement import FloatArray
from perfport.errors import MissingPackageError

if TYPE_CHECKING:
    import torch

__all__ = ["SparseNetwork"]

IntArray = NDArray[np.intp]

RATES = (0.003, 0.01, 0.03)
PENALTIES = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
N_FOLDS = 3
LEAST_ROWS = 6  # fewer cannot be split in three and still teach anything
SEARCHED_ROWS = 400  # rows the settings are chosen on; more do not change the choice
BATCH_ROWS = 128  # rows a step looks at


class SparseNetwork(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Rectified layers of equal width with an L1 penalty on the first, settings chosen by inner validation.

    Attributes:
        width: Units of every layer.
        max_depth: Most hidden layers tried.
        steps: Steps of gradient descent (Adam) of a network that predicts.
        search_steps: The same of one that is only tried.
        n_networks: Networks that differ in their first weights; the mean predicts.
        random_state: Seeds weights and batches.
    """

    def __init__(
        self,
        *,
        width: int = 48,
        max_depth: int = 4,
        steps: int = 600,
        search_steps: int = 250,
        n_networks: int = 3,
        random_state: int | None = None,
    ) -> None:
        self.width = width
        self.max_depth = max_depth
        self.steps = steps
        self.search_steps = search_steps
        self.n_networks = n_networks
        self.random_state = random_state

    def fit(self, X: FloatArray, y: FloatArray) -> Self:
        """Learn from `X`, shape (n, d), columns standardised, and `y`, shape (n,), standardised.

        Sets `depth_`, `rate_` and `penalty_`, what was chosen, and `weights_`, one pair of arrays (weights, bias) a
        layer, the network first.

        Raises:
            MissingPackageError: If PyTorch is not installed.
        """
        if np.ptp(y) == 0:
            # Nothing to learn; untrained weights would speak where no row did.
            self.depth_, self.rate_, self.penalty_ = 0, 0.0, 0.0
            self.weights_ = [(np.zeros((1, X.shape[1], 1)), np.full((1, 1, 1), y[0]))]
            return self
        rng = np.random.default_rng(self.random_state)
        with _torch() as torch:
            self.depth_, self.rate_, self.penalty_ = self._chosen(torch, X, y, rng)
            final = _Training(self.depth_, self.rate_, (self.penalty_,) * self.n_networks, self.steps)
            networks = _Networks(torch, X.shape[1], self.width, final, rng)
            networks.train(X, y, [np.arange(len(y))] * self.n_networks, rng)
            self.weights_ = networks.arrays()
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the mean of the networks, shape (m,)."""
        hidden = np.asarray(X, dtype=np.float64)[None]  # (1, m, d), then (networks, m, width)
        *inner, (weights, bias) = self.weights_
        for w, b in inner:
            hidden = np.maximum(hidden @ w + b, 0.0)
        return np.asarray((hidden @ weights + bias)[..., 0].mean(axis=0))

    def _chosen(self, torch: Any, X: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[int, float, float]:
        """Return depth, learning rate and penalty with the least error on rows held out."""
        least, depth, rate = np.inf, 2, RATES[1]
        if len(y) < LEAST_ROWS:
            return depth, rate, PENALTIES[3]
        rows = rng.permutation(len(y))[:SEARCHED_ROWS]
        X, y = X[rows], y[rows]
        for tried in range(2, self.max_depth + 1):
            errors = [self._held_out(torch, X, y, (tried, at, (0.0,)), rng)[0] for at in RATES]
            if min(errors) >= least:
                break
            least, depth, rate = min(errors), tried, RATES[int(np.argmin(errors))]
        errors = self._held_out(torch, X, y, (depth, rate, PENALTIES), rng)
        return depth, rate, PENALTIES[int(np.argmin(errors))]

    def _held_out(
        self,
        torch: Any,
        X: FloatArray,
        y: FloatArray,
        tried: tuple[int, float, tuple[float, ...]],
        rng: np.random.Generator,
    ) -> list[float]:
        """Return the mean squared error on rows held out for every penalty; all are trained at once."""
        depth, rate, penalties = tried
        is_out = np.tile(np.arange(len(y)) % N_FOLDS == np.arange(N_FOLDS)[:, None], (len(penalties), 1))
        each = tuple(penalty for penalty in penalties for _ in range(N_FOLDS))
        networks = _Networks(torch, X.shape[1], self.width, _Training(depth, rate, each, self.search_steps), rng)
        networks.train(X, y, [np.flatnonzero(~out) for out in is_out], rng)
        squares = np.where(is_out, (networks.predict(X) - y) ** 2, 0.0)  # (networks, n)
        return [float(part.sum()) / len(y) for part in np.split(squares, len(penalties))]


@dataclass(frozen=True, slots=True)
class _Training:
    """Shape and training of networks side by side: one penalty each."""

    depth: int
    rate: float
    penalties: tuple[float, ...]
    steps: int


class _Networks:
    """Networks of one shape, trained side by side: products of stacks of matrices cost little more than of one."""

    def __init__(self, torch: Any, d: int, width: int, training: _Training, rng: np.random.Generator) -> None:
        self._torch = torch
        self._training = training
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        for size, following in pairwise([d, *[width] * training.depth, 1]):
            # He's initial weights: signals neither grow nor fade from layer to layer.
            weights = rng.normal(0.0, np.sqrt(2.0 / size), (len(training.penalties), size, following))
            bias = np.zeros((len(training.penalties), 1, following))
            self._layers.append((torch.tensor(weights).requires_grad_(), torch.tensor(bias).requires_grad_()))

    def train(self, X: FloatArray, y: FloatArray, rows: Sequence[IntArray], rng: np.random.Generator) -> None:
        """Minimise squared error plus penalty of every network on its own rows."""
        torch, training = self._torch, self._training
        optimiser = torch.optim.Adam([part for layer in self._layers for part in layer], lr=training.rate)
        # The rate falls to almost nothing, so that the last batch does not decide.
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, training.steps)
        penalty = torch.tensor(training.penalties, dtype=torch.float64)
        is_whole = max(map(len, rows)) <= BATCH_ROWS
        for step in range(training.steps):
            if step == 0 or not is_whole:
                X_batch, y_batch, share = (torch.tensor(part) for part in _batch(X, y, rows, rng))
            squares = (self._forward(X_batch) - y_batch) ** 2
            loss = (share * squares).sum() + (penalty * self._layers[0][0].abs().sum(dim=(1, 2))).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    def predict(self, X: FloatArray) -> FloatArray:
        """Return what every network says of every row, shape (networks, n)."""
        with self._torch.no_grad():
            return np.asarray(self._forward(self._torch.tensor(X)[None]).numpy())

    def arrays(self) -> list[tuple[FloatArray, FloatArray]]:
        """Return weights and bias of every layer."""
        return [(weights.detach().numpy(), bias.detach().numpy()) for weights, bias in self._layers]

    def _forward(self, X: "torch.Tensor") -> "torch.Tensor":
        *inner, (weights, bias) = self._layers
        for w, b in inner:
            X = self._torch.relu(X @ w + b)
        return (X @ weights + bias)[..., 0]


def _batch(
    X: FloatArray, y: FloatArray, rows: Sequence[IntArray], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return columns, responses and weights of the rows every network looks at; the weights of each sum to 1."""
    size = min(max(map(len, rows)), BATCH_ROWS)
    chosen = [own if len(own) <= size else rng.choice(own, size, replace=False) for own in rows]
    # Folds differ by a row; the shorter ones are filled with a row that weighs nothing.
    share = np.array([(np.arange(size) < len(own)) / len(own) for own in chosen])
    index = np.array([np.pad(own, (0, size - len(own)), mode="edge") for own in chosen])
    return X[index], y[index], share


@contextmanager
def _torch() -> Iterator[Any]:
    """Give PyTorch, on one thread: matrices this small lose by sharing."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError(
            "learner 'sparse_network' needs the package torch: pip install 'perfport[torch]'"
        ) from error
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield torch
    finally:
        torch.set_num_threads(before)
