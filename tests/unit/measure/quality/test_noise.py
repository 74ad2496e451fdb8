"""The replicate error."""

import math

import numpy as np
import pytest

from perfport.data.environment import Environment
from perfport.data.measurement import Measurement, Status
from perfport.measure.quality.noise import replicate_error

HERE, THERE = Environment("here", hardware={"n": 1}), Environment("there", hardware={"n": 2})


def made(threads: int, block: int, *values: float, environment: Environment = HERE) -> Measurement:
    return Measurement(
        {"threads": threads}, environment, Status.OK, {"inference_time_s": np.array(values)}, protocol="p", block=block
    )


def test_pairs_are_blocks_of_one_configuration_in_one_environment() -> None:
    found = replicate_error(
        [
            made(1, 0, 1.0, 1.1, 9.0),
            made(1, 1, 1.0),
            made(2, 0, 3.0),
            made(2, 1, 2.0),
            made(2, 2, 2.0),
            made(3, 0, 5.0),
            made(3, 0, 7.0, environment=THERE),
            Measurement({"threads": 3}, HERE, Status.FAILED, reason="broke", protocol="p", block=1),
        ]
    )
    # 1.1 against 1.0, 3 against 2, 2 against 2.
    assert found.n_pairs == 3
    assert found.mape_pct == pytest.approx((10 + 50 + 0) / 3)
    assert found.median_pct == pytest.approx(10)


def test_without_pairs_there_is_no_number() -> None:
    found = replicate_error([made(1, 0, 1.0)])
    assert (found.n_pairs, math.isnan(found.mape_pct)) == (0, True)
    assert replicate_error([made(1, 0, 1.0), made(1, 1, 1.0)], "energy_j").n_pairs == 0
