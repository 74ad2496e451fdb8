"""Drift from sentinels, and the quality of a campaign."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from perfport.data.environment import Environment
from perfport.data.measurement import Measurement, Status
from perfport.measure.blocks import SENTINEL_BLOCK
from perfport.measure.quality.drift import drift_of
from perfport.measure.quality.summary import quality_of

ENVIRONMENTS = [Environment("small", hardware={"n": 1}), Environment("large", hardware={"n": 2})]
START = datetime(2026, 11, 25, tzinfo=UTC)


def made(environment: Environment, minute: float, value: float, *, threads: int = 1, block: int = 0) -> Measurement:
    return Measurement(
        {"threads": threads},
        environment,
        Status.OK,
        {"inference_time_s": np.array([value])},
        block=block,
        started_at=(START + timedelta(minutes=minute)).isoformat(),
        grade="A",
    )


def sentinels(factor: "np.ndarray[tuple[int], np.dtype[np.float64]]", noise: float) -> list[Measurement]:
    rng = np.random.default_rng(1)
    times = factor[:, None] * np.array([0.01, 0.2]) * np.exp(noise * rng.standard_normal((len(factor), 2)))
    return [
        made(environment, float(minute), time, block=SENTINEL_BLOCK + minute if minute else 0)
        for minute, row in enumerate(times)
        for environment, time in zip(ENVIRONMENTS, row.tolist(), strict=True)
    ]


def test_a_planted_step_is_found_and_the_rows_of_that_time_are_flagged() -> None:
    factor = np.where(np.arange(20) < 12, 1.0, 1.5)
    drift = drift_of(sentinels(factor, 0.02))
    assert drift is not None
    lowest, highest = drift.range_pct
    assert (1 + highest / 100) / (1 + lowest / 100) == pytest.approx(1.5, rel=0.1)
    rows = [made(ENVIRONMENTS[0], minute, 0.3, threads=8) for minute in (2, 17)]
    assert drift.flagged(rows) == rows  # the average lies between the two levels
    assert drift.minutes == pytest.approx(19)


def test_noise_alone_is_smoothed_away() -> None:
    drift = drift_of(sentinels(np.ones(20), 0.05))
    assert drift is not None
    assert max(map(abs, drift.range_pct)) < 3
    assert drift.noise_pct == pytest.approx(5, rel=0.4)
    assert drift.flagged([made(ENVIRONMENTS[0], 3, 0.3, threads=8)]) == []


def test_bounds_of_time_outs_are_no_readings() -> None:
    steady = sentinels(np.ones(20), 0.0)
    late = replace(
        steady[20],
        repetitions={"inference_time_s": np.array([9.0])},
        status=Status.TIMED_OUT,
        grade="",
        reason="no answer",
    )
    drift = drift_of([*steady[:20], late, *steady[21:]])
    assert drift is not None
    assert drift.range_pct == pytest.approx((0, 0))


def test_few_sentinels_tell_nothing() -> None:
    assert drift_of(sentinels(np.ones(1), 0.0)) is None
    assert drift_of([]) is None


def test_quality_is_told_by_environment() -> None:
    rows = [
        made(ENVIRONMENTS[0], 1, 0.10, threads=2),
        made(ENVIRONMENTS[0], 9, 0.11, threads=2, block=1),
        made(ENVIRONMENTS[1], 2, 0.30, threads=2),
    ]
    quality = quality_of([*sentinels(np.ones(8), 0.01), *rows])
    small, large = quality.environments
    assert (small.environment, large.environment) == ("small", "large")
    assert small.replicates.n_pairs == 1  # sentinels are no replicates
    assert small.replicates.mape_pct == pytest.approx(100 * 0.01 / 0.11)
    assert large.replicates.n_pairs == 0
    assert small.grades == {"A": 3}
    assert quality.drift is not None
