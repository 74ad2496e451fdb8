"""The paper's published evaluation and the right one, side by side on the same rows.

The learners, their settings, the raw columns and the 84 rows of guided sampling are those of the code at
github.com/iqbal128855/OpML19-DNNPerfModeling (372cf83). Its faults are taken away one at a time:

1. published: `Regression` copies rows 0 .. n-1 instead of the rows the sampler chose, and the error is
   taken over all rows, the training rows too;
2. chosen rows: trained on what guided sampling chose, still scored over all rows;
3. unseen rows: scored on the rows that were not measured, which is the right evaluation;
4. beside it, as many rows at random, which guided sampling must beat, and our guided sampler, which
   varies every influential option (the published one never takes a core offline).
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeRegressor

from perfport.data.dataset import Dataset
from perfport.model.mars import MARS
from perfport.model.metrics import mape_pct
from perfport.model.threads import one_thread
from perfport.sampling.guided import Guided

__all__ = ["compare_guided", "compare_shift", "published_guided_rows"]

# As in ConstructPerfModel/Src/Regression.py; the forest has 512 trees there, which changes nothing but the time.
LEARNERS: Mapping[str, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeRegressor(random_state=20),
    "forest": lambda: RandomForestRegressor(100, random_state=20),
    "boosting": lambda: GradientBoostingRegressor(random_state=20),
    "svr": lambda: SVR(gamma="scale", C=1.0, epsilon=0.1),
    "neural_network": lambda: MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", solver="lbfgs", random_state=20),
    "mars": MARS,
}
# What stepwise regression found in the paper's source: single options and pairs, varied in turn.
PAIRS = (
    ("core_freq", "emc_freq"),
    ("core1_status", "core_freq"),
    ("core1_status", "gpu_freq"),
    ("core_freq", "gpu_freq"),
)
SINGLES = ("core_freq", "gpu_freq", "emc_freq")

Rows = NDArray[np.intp]


def published_guided_rows(table: pd.DataFrame) -> Rows:
    """Return the rows the published guided sampling chooses: options varied two at a time, the rest as in row 0.

    Cores are online by default; since core 1 goes offline alone in no measured row, the number of cores is
    never varied.
    """
    default = table.iloc[0].copy()
    default[["core0_status", "core1_status", "core2_status", "core3_status"]] = 1
    at_default = table == default
    chosen = np.zeros(len(table), dtype=bool)
    for varied in (*PAIRS, *((name,) for name in SINGLES)):
        chosen |= at_default.drop(columns=list(varied)).all(axis=1).to_numpy()
    return np.flatnonzero(chosen)


def compare_guided(source: Dataset, target: Dataset, property: str) -> Iterator[dict[str, Any]]:
    """Yield the error of every learner under every evaluation.

    Args:
        source: Guides our sampler.
        target: The whole target environment.
        property: What is predicted.
    """
    X, y = _raw(target), target.response(property)
    guided = published_guided_rows(target.configurations.astype(float))
    n, everything = len(guided), np.arange(len(y))
    ours = _our_guided_rows(source, target, property, n)
    random = np.random.default_rng(0).choice(len(y), n, replace=False)
    for name, make in LEARNERS.items():
        for evaluation, trained, scored in (
            ("published", everything[:n], everything),
            ("chosen rows", guided, everything),
            ("unseen rows", guided, np.setdiff1d(everything, guided)),
            ("random rows", random, np.setdiff1d(everything, random)),
            ("our guided rows", ours, np.setdiff1d(everything, ours)),
        ):
            with one_thread(), warnings.catch_warnings():
                # The published network is not trained to the end either.
                warnings.simplefilter("ignore", ConvergenceWarning)
                predicted = make().fit(X[trained], y[trained]).predict(X[scored])
            yield {"learner": name, "evaluation": evaluation, "n": n, "mape_pct": mape_pct(y[scored], predicted)}


def compare_shift(source: Dataset, target: Dataset, property: str, *, n: int) -> Iterator[dict[str, Any]]:
    """Yield the error of linear and forest shift, as published and rightly.

    The published shift is fitted to every target row and scored on the same rows: it costs the whole
    target environment, and predicts what it was shown.

    Args:
        source: Of the same configurations in the same order.
        target: The whole target environment.
        property: What is predicted.
        n: Target rows a right evaluation measures.
    """
    x, y = source.response(property)[:, None], target.response(property)
    everything = np.arange(len(y))
    some = np.random.default_rng(0).choice(len(y), n, replace=False)
    for name, make in (
        ("linear shift", LinearRegression),
        ("forest shift", lambda: RandomForestRegressor(16, random_state=20)),
    ):
        for evaluation, trained, scored in (
            ("published", everything, everything),
            ("unseen rows", some, np.setdiff1d(everything, some)),
        ):
            predicted = make().fit(x[trained], y[trained]).predict(x[scored])
            # A line may leave the positive numbers, which the published error does not mind.
            error = float(100 * np.mean(np.abs(predicted - y[scored]) / y[scored]))
            yield {"learner": name, "evaluation": evaluation, "n": len(trained), "mape_pct": error}


def _raw(dataset: Dataset) -> NDArray[np.float64]:
    return dataset.configurations.astype(float).to_numpy()


def _our_guided_rows(source: Dataset, target: Dataset, property: str, n: int) -> Rows:
    sampler = Guided().with_source(source, property)
    chosen = sampler.propose(target.space, n, rng=np.random.default_rng(0), candidates=target.configurations)
    return np.asarray(chosen.index, dtype=np.intp)
