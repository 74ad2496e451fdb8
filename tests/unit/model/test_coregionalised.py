import numpy as np
import pytest

from perfport.model.coregionalised import CoregionalPrior, IntArray, coregional_objective, fit_coregionalised
from perfport.model.gp import FloatArray, Objective

RNG = np.random.default_rng(0)
X = RNG.normal(size=(15, 3))
E = np.repeat([0, 1, 2], [7, 5, 3])
Z = np.sin(X[:, 0]) * np.array([1.0, 0.8, -1.0])[E] + 0.1 * RNG.normal(size=15)
EXTRA = RNG.uniform(0.0, 0.02, 15)


def slope_by_differences(objective: Objective, q: FloatArray, step: float = 1e-6) -> FloatArray:
    return np.array(
        [(objective(q + step * unit)[0] - objective(q - step * unit)[0]) / (2 * step) for unit in np.eye(len(q))]
    )


@pytest.mark.parametrize("rank", [1, 2])
def test_the_gradient_agrees_with_finite_differences(rank: int) -> None:
    objective = coregional_objective(X, E, Z, EXTRA, CoregionalPrior(), rank=rank)
    q = np.random.default_rng(rank).normal(size=3 * (rank + 2) + 3)
    np.testing.assert_allclose(objective(q)[1], slope_by_differences(objective, q), rtol=1e-5, atol=1e-5)


def two_environments(sign: float, n_target: int = 25) -> tuple[FloatArray, IntArray, FloatArray]:
    """Return encoded rows, their environments and responses of a source and a target that is `sign` times it."""
    x = np.random.default_rng(1).uniform(-2, 2, size=(60 + n_target, 2))
    e = np.repeat([0, 1], [60, n_target])
    z = (np.sin(2 * x[:, 0]) + 0.3 * x[:, 1]) * np.where(e == 1, sign, 1.0)
    return x, e, z


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_planted_correlation_is_found(sign: float) -> None:
    x, e, z = two_environments(sign)
    kernel = fit_coregionalised(x, e, z, np.zeros(len(z)))
    assert sign * kernel.correlations()[0, 1] > 0.8


def test_five_rows_and_a_related_source_predict_better_than_five_rows() -> None:
    x, e, z = two_environments(1.0, n_target=40)
    seen = (e == 0) | (np.arange(len(z)) < 65)
    errors = []
    for rows in (seen, seen & (e == 1)):
        environment = e[rows] - e[rows].min()
        kernel = fit_coregionalised(x[rows], environment, z[rows], np.zeros(rows.sum()))
        posterior = kernel.condition(x[rows], environment, z[rows], np.zeros(rows.sum()))
        last = np.full((~seen).sum(), environment.max())
        cross = kernel.cross(x[~seen], last, x[rows], environment)
        mean, variance = posterior.predict(cross, np.full(len(last), kernel.variance(int(last[0]))))
        assert np.all(variance > 0)
        errors.append(float(np.mean(np.abs(mean - z[~seen]))))
    assert errors[0] < 0.5 * errors[1]


def test_columns_that_do_not_vary_change_nothing() -> None:
    _, e, z = two_environments(1.0)
    flat = fit_coregionalised(np.zeros((len(z), 1)), e, z, np.zeros(len(z)))
    assert np.all(np.isfinite(flat.between))
    assert np.all(np.isfinite(fit_coregionalised(np.zeros((2, 0)), np.zeros(2, dtype=int), z[:2], np.zeros(2)).noise))
