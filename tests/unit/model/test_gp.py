import numpy as np
import pytest
from scipy.stats import multivariate_normal
from tests.unit.model.small_gp import ARD, KERNELS, SCALES, X, Y

from perfport.errors import PerfError
from perfport.model.gp import (
    ArdKernel,
    FloatArray,
    Objective,
    ard_objective,
    condition,
    fit_ard,
    fit_scales,
    safe_cholesky,
    scale_objective,
)

KERNEL = ArdKernel(amplitude=1.3, noise=0.05, weights=np.array([1.0, 0.2, 0.01]), linear=0.4, constant=2.0)


def slope_by_differences(objective: Objective, q: FloatArray, step: float = 1e-6) -> FloatArray:
    return np.array(
        [(objective(q + step * unit)[0] - objective(q - step * unit)[0]) / (2 * step) for unit in np.eye(len(q))]
    )


@pytest.mark.parametrize("seed", range(3))
def test_gradients_agree_with_finite_differences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for objective, n in (
        (scale_objective(KERNELS, np.ones((12, 12)), Y, SCALES), 5),
        (ard_objective(X, Y, ARD), 6),
    ):
        q = rng.normal(size=n)
        np.testing.assert_allclose(objective(q)[1], slope_by_differences(objective, q), rtol=1e-5, atol=1e-5)


def test_the_objective_is_the_negative_log_density() -> None:
    q = np.zeros(5)
    scales = np.exp(SCALES.amplitude + SCALES.log_median)
    K = np.tensordot(scales[:-1], KERNELS, axes=1) + np.ones((12, 12)) + scales[-1] * np.eye(12)
    expected = -multivariate_normal(np.zeros(12), K).logpdf(Y) - 6 * np.log(2 * np.pi)
    assert scale_objective(KERNELS, np.ones((12, 12)), Y, SCALES)(q)[0] == pytest.approx(expected, rel=1e-9)


def test_leave_one_out_agrees_with_leaving_one_out() -> None:
    K = KERNEL.gram(X)
    posterior = condition(K, Y)
    for i in range(len(Y)):
        rest = np.delete(np.arange(len(Y)), i)
        mean, variance = condition(K[np.ix_(rest, rest)], Y[rest]).predict(K[[i]][:, rest], K[[i], i])
        assert Y[i] - mean[0] == pytest.approx(posterior.loo_error[i], rel=1e-8)
        assert variance[0] == pytest.approx(posterior.loo_variance[i], rel=1e-8)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 131, 300])
def test_conditioning_is_right_for_any_number_of_rows(n: int) -> None:
    rng = np.random.default_rng(n)
    A, y = rng.normal(size=(n, n)), rng.normal(size=n)
    K = A @ A.T + n * np.eye(n)
    posterior = condition(K, y)
    np.testing.assert_allclose(posterior.alpha, np.linalg.solve(K, y), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(posterior.loo_variance, 1.0 / np.diag(np.linalg.inv(K)), rtol=1e-9)


def test_the_likelihood_of_a_posterior_is_that_of_the_rows() -> None:
    expected = multivariate_normal(np.zeros(12), KERNEL.gram(X)).logpdf(Y) + 6 * np.log(2 * np.pi)
    assert condition(KERNEL.gram(X), Y).log_likelihood == pytest.approx(expected, rel=1e-9)


def test_evidence_is_what_fitting_maximises() -> None:
    fit = fit_scales(KERNELS, np.ones((12, 12)), Y, SCALES)
    objective = scale_objective(KERNELS, np.ones((12, 12)), Y, SCALES)
    assert fit.log_evidence == pytest.approx(-objective(fit.whitened)[0], rel=1e-9)
    assert ARD.linear is not None
    q = np.linspace(-0.5, 0.5, 6)
    kernel = ArdKernel(
        amplitude=ARD.amplitude.median * np.exp(ARD.amplitude.sd_log * q[0]),
        noise=ARD.noise.median * np.exp(ARD.noise.sd_log * q[1]),
        weights=np.exp(ARD.log_weight + ARD.weight_sd * q[3:]),
        linear=ARD.linear.median * np.exp(ARD.linear.sd_log * q[2]),
        constant=ARD.constant,
    )
    evidence = condition(kernel.gram(X), Y).log_likelihood + ARD.log_density(kernel)
    assert evidence == pytest.approx(-ard_objective(X, Y, ARD)(q)[0], rel=1e-9)


def test_a_row_whose_noise_is_known_to_be_huge_does_not_choose_the_kernel() -> None:
    y, noise = Y.copy(), np.zeros(12)
    y[4], noise[4] = 100.0, 1e8
    kernel = fit_ard(X, y, ARD, known_noise=noise)
    without = fit_ard(np.delete(X, 4, axis=0), np.delete(Y, 4), ARD)
    np.testing.assert_allclose(kernel.weights, without.weights, rtol=0.05)
    assert kernel.noise == pytest.approx(without.noise, rel=0.05)


def test_a_prediction_is_the_conditional_normal() -> None:
    new = np.random.default_rng(1).normal(size=(4, 3))
    posterior = condition(KERNEL.gram(X), Y)
    cross = KERNEL.cross(new, X)
    mean, variance = posterior.predict(cross, KERNEL.variance(new))
    inverse = np.linalg.inv(KERNEL.gram(X))
    np.testing.assert_allclose(mean, cross @ inverse @ Y, rtol=1e-8)
    expected = np.diag(KERNEL.cross(new, new)) + KERNEL.noise - np.einsum("ij,jk,ik->i", cross, inverse, cross)
    np.testing.assert_allclose(variance, expected, rtol=1e-7)


def test_fitting_finds_the_scale_and_the_relevance_that_made_the_data() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(60, 3))
    y = np.sin(2 * inputs[:, 1])
    kernel = fit_ard(inputs, y - y.mean(), ARD)
    assert kernel.weights[1] > 20 * max(kernel.weights[0], kernel.weights[2])
    kernels = np.stack([inputs[:, [d]] @ inputs[:, [d]].T for d in range(3)])
    linear = 3.0 * inputs[:, 2] + 0.01 * rng.normal(size=60)
    fit = fit_scales(kernels, 1e-6 * np.eye(60), linear, SCALES)
    assert fit.scales[2] > 20 * max(fit.scales[0], fit.scales[1])
    assert fit.noise < 0.01


def test_singular_matrices_get_jitter_and_broken_ones_an_error() -> None:
    singular = np.ones((5, 5))
    chol = safe_cholesky(singular)
    np.testing.assert_allclose(chol @ chol.T, singular, atol=1e-6)
    with pytest.raises(PerfError, match="not positive definite"):
        safe_cholesky(np.diag([1.0, -5.0]))
    with pytest.raises(PerfError, match="non-finite"):
        safe_cholesky(np.full((3, 3), np.nan))
