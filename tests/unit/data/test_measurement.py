import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.data import samples

from perfport.data.measurement import Measurement, Status, configuration_key, plain_json, unit_of
from perfport.errors import UsageError
from perfport.space.options import Level


def test_configuration_key_ignores_order_and_inactive_options() -> None:
    key = configuration_key({"threads": 2, "mode": "fast"})
    assert key == configuration_key({"mode": "fast", "threads": 2, "inter": None, "share": float("nan")})
    assert key != configuration_key({"threads": 4, "mode": "fast"})
    assert len(key) == 16


def test_configuration_key_sees_values_not_their_representation() -> None:
    assert configuration_key({"threads": 2}) == configuration_key({"threads": 2.0})
    assert configuration_key({"threads": 2}) == configuration_key({"threads": np.int64(2)})  # type: ignore[dict-item]
    assert configuration_key({"threads": 1}) != configuration_key({"threads": True})
    assert configuration_key({"threads": 2}) != configuration_key({"threads": "2"})


def test_configuration_key_is_the_same_on_every_machine() -> None:
    assert configuration_key({"threads": 2, "share": 0.1, "mode": "fast", "arena": True}) == "c51691f9ebd6e1c4"


def test_a_row_of_a_frame_has_the_key_of_its_configuration() -> None:
    frame = pd.DataFrame({"threads": [2.0, np.nan], "mode": ["fast", "none"]})
    assert configuration_key(dict(frame.iloc[0])) == configuration_key({"threads": 2, "mode": "fast"})


@samples.relaxed
@given(samples.measurements())
def test_measurements_survive_json_to_the_last_digit(measurement: Measurement) -> None:
    again = Measurement.from_dict(json.loads(json.dumps(measurement.to_dict(), allow_nan=False)))
    assert again == measurement
    assert again.key == measurement.key


def test_repetitions_are_read_only_copies() -> None:
    values = np.array([0.1, 0.2])
    measurement = samples.measurement(values=values)
    values[0] = 9.0
    assert measurement.repetitions[samples.TIME][0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        measurement.repetitions[samples.TIME][0] = 1.0


def test_a_time_out_may_say_how_far_it_had_come() -> None:
    stopped = Measurement({}, samples.BOARD, Status.TIMED_OUT, {samples.TIME: np.array([2.0])}, reason="too slow")
    assert stopped.repetitions[samples.TIME].tolist() == [2.0]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"repetitions": {}}, "that is 'ok' must have repetitions"),
        ({"status": Status.FAILED, "reason": "died"}, "that is 'failed' must not have repetitions"),
        ({"reason": "died"}, "that is 'ok' must not have a reason"),
        ({"status": Status.TIMED_OUT, "repetitions": {}}, "that is 'timed_out' must have a reason"),
        ({"repetitions": {"t_s": [0.1, np.nan]}}, "property 't_s': repetition 1 is nan"),
        ({"repetitions": {"t_s": [np.inf]}}, "property 't_s': repetition 0 is inf"),
        ({"repetitions": {"t_s": [-0.1]}}, "property 't_s': repetition 0 is -0.1"),
        ({"repetitions": {"t_s": []}}, r"repetitions have shape \(0,\)"),
        ({"repetitions": {"t_s": 0.1}}, r"repetitions have shape \(\)"),
        ({"absent": {"t_s": "no sensor"}}, "property 't_s' is measured and absent"),
        ({"cost_s": -1.0}, "cost_s is -1.0; a cost is finite and not negative, or NaN if not recorded"),
        ({"block": -1}, "block is -1"),
        ({"attempt": -1}, "attempt is -1"),
        ({"grade": "E"}, "grade is 'E' and status 'ok'"),
        ({"status": Status.FAILED, "repetitions": {}, "reason": "died", "grade": "A"}, "and status 'failed'"),
        ({"log_se": {"t_s": -0.1}}, "log_se of 't_s' is -0.1"),
        ({"log_se": {"other_s": 0.1}}, "log_se of 'other_s' is 0.1"),
        ({"status": "okay"}, "status is 'okay'; it is one of ok, invalid, failed, timed_out"),
        ({"status": None}, "status is None; it is one of"),
        ({"status": ["ok"]}, r"status is \['ok'\]; it is one of"),
        ({"grade_reasons": "noisy"}, "grade_reasons is the text 'noisy'; give a list"),
        ({"cost_s": 10**400}, "a cost is finite"),
        ({"cost_s": "long"}, "cost_s is long; a cost is finite"),
        ({"log_se": {"t_s": "small"}}, "log_se of 't_s' is small"),
        ({"repetitions": {"t_s": ["fast"]}}, r"property 't_s': repetitions are \['fast'\]; give one or more numbers"),
        ({"repetitions": {"t_s": [10**400]}}, "property 't_s': repetitions are"),
        ({"configuration": {"threads": 10**400}}, "option 'threads': 1000.* cannot be a level"),
        ({"configuration": {"threads": [1]}}, r"option 'threads': \[1\] cannot be a level"),
        ({"configuration": {"threads": float("inf")}}, "option 'threads': inf cannot be a level"),
    ],
)
def test_illegal_measurements_cannot_be_made(changes: dict[str, Any], text: str) -> None:
    fields: dict[str, Any] = {
        "configuration": {"threads": 1},
        "environment": samples.BOARD,
        "status": Status.OK,
        "repetitions": {"t_s": [0.1]},
    }
    with pytest.raises(UsageError, match=text):
        Measurement(**(fields | changes))


def test_conditions_of_any_kind_become_json() -> None:
    conditions = {
        "load": np.float64(0.5),
        "temps": np.array([40.0, np.nan]),
        1: (True, None),
        "cpu": {"x"},
        "error": OSError("x"),
    }
    plain = plain_json(conditions)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain == {"load": 0.5, "temps": [40.0, None], "1": [True, None], "cpu": ["x"], "error": "x"}


@pytest.mark.parametrize(
    ("name", "unit"),
    [("inference_time_s", "s"), ("latency_ms", "ms"), ("energy_j", "J"), ("power_w", "W"), ("energy_per_image_J", "J"),
     ("accuracy", ""), ("s", ""), ("memory_bytes", "B"), ("time_us_op", "")],
)  # fmt: skip
def test_unit_is_read_from_the_ending_of_the_name(name: str, unit: str) -> None:
    assert unit_of(name) == unit


@samples.relaxed
@given(st.dictionaries(samples.names, samples.levels))
def test_every_legal_configuration_has_a_key(configuration: dict[str, Level | None]) -> None:
    assert len(configuration_key(configuration)) == 16
