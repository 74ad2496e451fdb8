import numpy as np
import pytest
from tests.unit.model.small_gp import ARD, KERNELS, SCALES, X, Y

from perfport.model.effective import MAX_ROWS, effective_lengths, effective_scales
from perfport.model.gp import (
    ArdKernel,
    ArdPrior,
    FloatArray,
    Objective,
    ScalePrior,
    ard_objective,
    condition,
    fit_ard,
    fit_scales,
    scale_objective,
)


def whitened_of(kernel: ArdKernel, prior: ArdPrior) -> FloatArray:
    assert prior.linear is not None
    heads = [(kernel.amplitude, prior.amplitude), (kernel.noise, prior.noise), (kernel.linear, prior.linear)]
    head = [np.log(value / scale.median) / scale.sd_log for value, scale in heads]
    return np.concatenate([head, (np.log(kernel.weights) - prior.log_weight) / prior.weight_sd])


def decided_by_differences(objective: Objective, q: FloatArray, step: float = 1e-4) -> float:
    rows = [(objective(q + step * unit)[1] - objective(q - step * unit)[1]) / (2 * step) for unit in np.eye(len(q))]
    of_rows = np.maximum(np.linalg.eigvalsh(np.asarray(rows) - np.eye(len(q))), 0.0)
    return float(np.sum(of_rows / (1.0 + of_rows)))


def test_effective_parameters_are_those_of_the_numerical_hessian() -> None:
    fit = fit_scales(KERNELS, np.ones((12, 12)), Y, SCALES)
    objective = scale_objective(KERNELS, np.ones((12, 12)), Y, SCALES)
    expected = decided_by_differences(objective, fit.whitened)
    assert effective_scales(KERNELS, SCALES, fit) == pytest.approx(expected, rel=1e-5)
    kernel = fit_ard(X, Y, ARD)
    expected = decided_by_differences(ard_objective(X, Y, ARD), whitened_of(kernel, ARD))
    assert effective_lengths(X, ARD, kernel, condition(kernel.gram(X), Y)) == pytest.approx(expected, rel=1e-5)


def test_rows_decide_what_priors_leave_open() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=400)
    none = np.zeros((0, 400, 400))
    for sd_log, least, most in ((1e-4, 0.0, 1e-3), (3.0, 0.99, 1.0)):
        prior = ScalePrior(np.zeros(1), np.array([sd_log]), amplitude=0.0, amplitude_sd=1e-4)
        fit = fit_scales(none, np.zeros((400, 400)), noise, prior)
        assert least <= effective_scales(none, prior, fit) <= most


def test_more_rows_than_are_counted_on_say_what_the_first_ones_say() -> None:
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(400, 3))
    y = np.sin(inputs[:, 0]) + 0.3 * rng.normal(size=400)
    kernel = ArdKernel(amplitude=1.0, noise=0.1, weights=np.array([1.0, 0.01, 0.01]), linear=0.1, constant=4.0)
    of_all = effective_lengths(inputs, ARD, kernel, condition(kernel.gram(inputs), y))
    first = inputs[:MAX_ROWS]
    assert of_all == pytest.approx(effective_lengths(first, ARD, kernel, condition(kernel.gram(first), y[:MAX_ROWS])))
