"""Rows of frames as configurations, and rounds of measurements compared."""

import math

import numpy as np
import pandas as pd
import pytest

from perfport.data.environment import Environment
from perfport.data.measurement import Measurement, Status
from perfport.measure.campaign.side_by_side import SideBySide
from perfport.measure.rows import configurations_of
from perfport.space.options import Option
from perfport.space.space import Space

SPACE = Space(
    [
        Option(name="threads", type="integer", lower=1, upper=4),
        Option(name="spin", type="boolean"),
        Option(name="mode", type="categorical", values=("a", "b")),
        Option(name="rate", type="float", lower=0.0, upper=1.0),
    ],
    conditions=[{"option": "spin", "when": "threads > 1"}, {"option": "mode", "when": "threads > 1"}],
)


def test_levels_are_those_of_the_space_however_a_frame_stores_them() -> None:
    frame = pd.DataFrame(
        {
            "threads": [1.0, 2.0],
            "spin": pd.array([pd.NA, True], dtype="boolean"),
            "mode": [None, "b"],
            "rate": np.array([0.25, 0.5], dtype=np.float32),
        }
    )
    rows = configurations_of(SPACE, frame)
    assert rows == [
        {"threads": 1, "spin": None, "mode": None, "rate": 0.25},
        {"threads": 2, "spin": True, "mode": "b", "rate": 0.5},
    ]
    assert [type(level) for level in rows[1].values()] == [int, bool, str, float]


def test_sampled_frames_come_back_valid() -> None:
    for row in configurations_of(SPACE, SPACE.sample(20, np.random.default_rng(0))):
        assert SPACE.violations(row) == []


def made(status: Status, *values: float) -> Measurement:
    repetitions = {"inference_time_s": np.array(values)} if values else {}
    return Measurement({}, Environment("e"), status, repetitions, reason="" if values else "broke")


def test_rounds_in_which_one_failed_are_left_out_of_the_ratio() -> None:
    first = (made(Status.OK, 1.0), made(Status.OK, 1.0), made(Status.FAILED))
    second = (made(Status.OK, 2.0, 9.0, 2.0), made(Status.OK, 3.0), made(Status.OK, 100.0))
    found = SideBySide((first, second))
    assert found.ratio() == (2.5, 2.0, 3.0)
    assert list(found.ratio(1, 0)) == pytest.approx([(1 / 2 + 1 / 3) / 2, 1 / 3, 1 / 2])
    assert found.medians() == [1.0, 3.0]


def test_nothing_in_common_is_no_ratio() -> None:
    found = SideBySide(((made(Status.FAILED),), (made(Status.OK, 1.0),)))
    assert all(math.isnan(value) for value in found.ratio())
    assert math.isnan(found.medians()[0])
