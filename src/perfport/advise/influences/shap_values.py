"""The same differences for those who work with SHAP: values its plots understand, by its own algorithms.

`explain_difference` needs no other package. This bridge hands a model to SHAP (the extra `explain`), with one
configuration as the background: SHAP's value of an option is then the Shapley value `explain_difference` gives it.

Example:
    >>> found = shap_values(model, configurations, baseline, space=space)  # doctest: +SKIP
    >>> shap.plots.beeswarm(found)                                         # doctest: +SKIP

Source:
    Lundberg, Lee, NIPS 2017, equations 5 and 8; a single background row makes the conditional expectation the
    response of a mixture of two configurations.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.advise.influences.shapley import MOST_EXACT
from perfport.advise.rendering import level_text
from perfport.advise.uncertainty import central_response
from perfport.data.measurement import FloatArray
from perfport.errors import MissingPackageError, UsageError
from perfport.model.base import PerformanceModel
from perfport.model.threads import one_thread
from perfport.space.space import Configuration, Space

__all__ = ["shap_values"]


@one_thread()
def shap_values(
    model: PerformanceModel, configurations: pd.DataFrame, baseline: Configuration, *, space: Space, seed: int = 0
) -> Any:
    """Return SHAP values of configurations against a baseline.

    Combinations of old and new levels are asked for even where the space forbids them. With more than 12
    options that differ SHAP draws orders at random.

    Args:
        model: Any performance model.
        configurations: Those to explain, m rows, columns = options.
        baseline: The configuration they are held against; full and valid.
        space: Of all of them.
        seed: Of the orders.

    Returns:
        A `shap.Explanation`: `values` of shape (m, d) in the unit of the property, `base_values` the response of the
        baseline, `feature_names` the d options, `display_data` the levels as text.

    Raises:
        MissingPackageError: If shap is not installed.
        UsageError: If an option is active in some of the configurations only: SHAP moves each option by itself, and
            a model cannot be asked for a level of an inactive option (`explain_difference` moves them together).
    """
    space.validate(baseline)
    rows = pd.concat([space.frame([baseline]), configurations[list(space.names)]], ignore_index=True)
    table = _Table(rows)
    changing = [name for name in space.names if rows[name].isna().any() and not rows[name].isna().all()]
    if changing:
        raise UsageError(
            f"option '{changing[0]}' is active in some of the configurations only; use explain_difference",
            options=changing,
        )

    def response(codes: NDArray[Any]) -> FloatArray:
        return central_response(model, table.frame(np.asarray(codes, dtype=np.int64)))

    shap = _shap()
    n_differ = int((table.codes[1:] != table.codes[0]).any(axis=0).sum())
    masker = shap.maskers.Independent(table.codes[:1], max_samples=1)
    algorithm = "exact" if n_differ <= MOST_EXACT else "permutation"
    explainer = shap.Explainer(response, masker, algorithm=algorithm, feature_names=list(space.names), seed=seed)
    found = explainer(table.codes[1:].astype(np.float64), silent=True)
    units = {option.name: option.unit for option in space.options}
    found.display_data = np.array(
        [[level_text(row[name], units[name]) for name in space.names] for _, row in rows.iloc[1:].iterrows()],
        dtype=object,
    )
    return found


class _Table:
    """Rows as numbers, for SHAP knows no levels, and back."""

    def __init__(self, rows: pd.DataFrame) -> None:
        factorised = {str(name): pd.factorize(rows[name], use_na_sentinel=False) for name in rows}
        self.codes = np.column_stack([codes for codes, _ in factorised.values()])
        # The first row that has a level stands for it, so that the columns keep their types.
        self._first = {name: np.unique(codes, return_index=True)[1] for name, (codes, _) in factorised.items()}
        self._rows = rows

    def frame(self, codes: NDArray[np.int64]) -> pd.DataFrame:
        columns = {
            name: self._rows[name].take(first[codes[:, number]]).array
            for number, (name, first) in enumerate(self._first.items())
        }
        return pd.DataFrame(columns)


def _shap() -> Any:
    try:
        import shap  # heavy
    except ImportError as error:
        raise MissingPackageError("SHAP values need the package shap: pip install 'perfport[explain]'") from error
    return shap
