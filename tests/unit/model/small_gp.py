"""Twelve rows of three columns, of which one matters; kernels and priors for them."""

import numpy as np

from perfport.model.gp import ArdPrior, LogNormal, ScalePrior

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(12, 3))
Y = np.sin(X[:, 0]) + 0.1 * _RNG.normal(size=12)
KERNELS = np.stack([X[:, [d]] @ X[:, [d]].T for d in range(3)])
SCALES = ScalePrior(np.log([0.5, 0.2, 0.1, 0.05]), np.array([1.0, 2.0, 1.5, 1.2]), amplitude=-0.3, amplitude_sd=2.0)
ARD = ArdPrior(
    amplitude=LogNormal(1.0, 1.0),
    noise=LogNormal(0.05, 1.5),
    log_weight=np.log([0.1, 0.2, 0.3]),
    weight_sd=np.array([1.0, 2.0, 1.5]),
    linear=LogNormal(0.3, 1.0),
)
