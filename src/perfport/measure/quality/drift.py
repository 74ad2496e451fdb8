"""Drift: how the machine changed in the course of a campaign, as its sentinels tell.

Sentinels are re-measurements of one configuration. Their times are compared with their own average,
pooled over the environments (they share the machine) and smoothed: a single sentinel is as noisy as
any row, so dividing by the last one would add its noise to all that follow. Drift is reported and rows
are flagged; nothing is corrected.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from perfport.data.measurement import FloatArray, Measurement, Status, configuration_key
from perfport.data.standing import standing
from perfport.measure.blocks import SENTINEL_BLOCK, SIDE_BY_SIDE_BLOCK
from perfport.measure.properties import PRIMARY

__all__ = ["FLAGGED", "MIN_SENTINELS", "Drift", "drift_of"]

MIN_SENTINELS = 4  # fewer cannot tell drift from noise
FLAGGED = 0.10  # rows measured while the machine was further off; the limit of a grade B
_WIDTHS = (1.0, 2.0, 4.0, 8.0, np.inf)  # of the smoothing kernel, in distances between sentinels
_SURE = 2.0  # standard errors


@dataclass(frozen=True, slots=True)
class Drift:
    """The course of the machine: by which share sentinels took longer or shorter than on average.

    Attributes:
        at_s: When sentinels were measured, seconds since the epoch, ascending, shape (m,).
        deviation: Smoothed deviation of the logarithm of their time at those moments, shape (m,).
        error: Standard error of the smoothed deviation, shape (m,).
        noise_pct: Scatter of a single sentinel around the smooth curve, in percent.
    """

    at_s: FloatArray
    deviation: FloatArray
    error: FloatArray
    noise_pct: float

    @property
    def range_pct(self) -> tuple[float, float]:
        """Smallest and largest deviation, in percent of the average."""
        return 100 * float(np.expm1(self.deviation.min())), 100 * float(np.expm1(self.deviation.max()))

    @property
    def minutes(self) -> float:
        """Time from the first sentinel to the last."""
        return float(self.at_s[-1] - self.at_s[0]) / 60

    def flagged(self, measurements: Sequence[Measurement]) -> list[Measurement]:
        """Return those measured while the machine was, surely, more than `FLAGGED` off its average."""
        at_s = np.array([_at_s(found) for found in measurements])
        off = np.abs(np.interp(at_s, self.at_s, self.deviation))
        error = np.interp(at_s, self.at_s, self.error)
        return [
            found
            for found, is_off in zip(measurements, (off > FLAGGED) & (off > _SURE * error), strict=True)
            if is_off and found.status is Status.OK
        ]


def drift_of(measurements: Iterable[Measurement], property: str = PRIMARY) -> Drift | None:
    """Return the drift over some measurements of one campaign, None if fewer than `MIN_SENTINELS` tell of it.

    Args:
        measurements: Of any environments; those of the configurations that sentinels repeat are used.
        property: What is compared: the median over the repetitions of each measurement.
    """
    series = [found for found in _series(list(measurements), property) if len(found) >= 2]
    points = [(at_s, log - float(np.mean([other for _, other in found]))) for found in series for at_s, log in found]
    if len(points) < MIN_SENTINELS:
        return None
    at_s, deviation = (np.array(column) for column in zip(*sorted(points), strict=True))
    smooth, error, noise = _smoothed(at_s, deviation)
    return Drift(at_s, smooth, error, 100 * float(np.expm1(noise)))


def _series(measurements: list[Measurement], property: str) -> list[list[tuple[float, float]]]:
    """Return (when, logarithm of the median) of every configuration that has sentinels, by environment."""
    watched = {found.key[:3] for found in measurements if SENTINEL_BLOCK <= found.block < SIDE_BY_SIDE_BLOCK}
    repeated = [found for found in measurements if found.key[:3] in watched and found.block < SIDE_BY_SIDE_BLOCK]
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for made in standing(repeated):
        values = made.repetitions.get(property)
        if made.status is Status.OK and values is not None and np.median(values) > 0:
            key = (made.environment.fingerprint, configuration_key(made.configuration))
            found.setdefault(key, []).append((_at_s(made), float(np.log(np.median(values)))))
    return list(found.values())


def _smoothed(at_s: FloatArray, deviation: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Return curve, its standard error and the scatter about it.

    The kernel is the widest whose leave-one-out error is within one standard error of the smallest: where
    no drift shows, that is the widest of all, and the curve is flat.
    """
    spacing_s = max(float(np.ptp(at_s)) / (len(at_s) - 1), 1e-9)
    kernels = [np.exp(-0.5 * (np.subtract.outer(at_s, at_s) / (width * spacing_s)) ** 2) for width in _WIDTHS]
    smoothers = [kernel / kernel.sum(axis=1, keepdims=True) for kernel in kernels]
    squares = np.array([_left_out(weights, deviation) ** 2 for weights in smoothers])
    means = squares.mean(axis=1)
    best = int(np.argmin(means))
    limit = means[best] + squares[best].std(ddof=1) / np.sqrt(len(at_s))
    weights = smoothers[int(np.flatnonzero(means <= limit)[-1])]
    curve = weights @ deviation
    # Degrees of freedom the curve uses up: the trace of the smoother.
    free = max(len(at_s) - float(np.trace(weights)), 1.0)
    noise = float(np.sqrt(np.sum((deviation - curve) ** 2) / free))
    return curve, noise * np.sqrt(np.sum(weights**2, axis=1)), noise


def _left_out(weights: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return the errors of the curve at each point when that point is left out."""
    error: FloatArray = (deviation - weights @ deviation) / np.maximum(1 - np.diag(weights), 1e-9)
    return error


def _at_s(measurement: Measurement) -> float:
    return datetime.fromisoformat(measurement.started_at).timestamp()
