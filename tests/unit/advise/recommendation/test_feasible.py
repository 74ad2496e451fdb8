"""What failed is not recommended, nor is a level that is to blame; the others get the benefit of the doubt."""

from dataclasses import replace

import numpy as np
import pandas as pd

from perfport.advise.recommendation.feasible import LeftOut, allowed_by, allowed_rows, not_known_to_fail
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.frames import infer_options
from perfport.data.measurement import Property
from perfport.space.space import Space

CANDIDATES = pd.DataFrame({"precision": ["f32", "f16", "bf16", "f32"], "threads": [1, 1, 2, 4]})


def measured(rows: list[tuple[str, int, str]]) -> Dataset:
    frame = pd.DataFrame([row[:2] for row in rows], columns=["precision", "threads"])
    status = [row[2] for row in rows]
    return Dataset(
        space=Space(options=infer_options(frame, ["precision", "threads"])),
        environment=Environment("here"),
        properties={"time_s": Property("time_s", "s")},
        configurations=frame,
        responses={"time_s": np.array([1.0 if state == "ok" else np.nan for state in status])},
        status=np.array(status),
    )


def test_a_level_that_always_failed_is_left_out_and_no_other_is_blamed() -> None:
    rows = measured([("f32", 1, "ok"), ("f16", 4, "failed"), ("f16", 2, "failed")])
    assert not_known_to_fail(CANDIDATES, rows).tolist() == [True, False, True, True]


def test_a_level_that_worked_once_is_kept() -> None:
    rows = measured([("f32", 1, "ok"), ("f16", 4, "failed"), ("f16", 2, "failed"), ("f16", 1, "ok")])
    assert not_known_to_fail(CANDIDATES, rows).all()


def test_a_single_failure_is_no_proof_against_a_level() -> None:
    rows = measured([("f32", 1, "ok"), ("bf16", 2, "timed_out")])
    assert not_known_to_fail(CANDIDATES, rows).tolist() == [True, True, False, True]


def test_nothing_failed_nothing_is_left_out() -> None:
    assert not_known_to_fail(CANDIDATES, measured([("f32", 1, "ok")])).all()


def test_a_failed_row_is_known_however_its_numbers_are_held() -> None:
    rows = measured([("f32", 1, "ok"), ("bf16", 2, "failed")])
    as_floats = CANDIDATES.assign(threads=CANDIDATES["threads"].astype(float))
    assert not_known_to_fail(as_floats, rows).tolist() == [True, True, False, True]
    inactive = pd.DataFrame({"precision": ["f32", "bf16"], "threads": pd.array([None, None], dtype="Int64")})
    failed = replace(
        measured([("f32", 1, "ok"), ("bf16", 1, "failed")]),
        configurations=pd.DataFrame({"precision": ["f32", "bf16"], "threads": [1.0, np.nan]}),
    )
    assert not_known_to_fail(inactive, failed).tolist() == [True, False]


def test_where_nothing_failed_there_is_nothing_to_ask() -> None:
    fine, failing = measured([("f32", 1, "ok")]), measured([("f32", 1, "ok"), ("bf16", 2, "failed")])
    assert allowed_by(fine) is None
    allowed = allowed_by(fine, failing)
    assert allowed is not None
    assert allowed_rows(CANDIDATES, allowed)["precision"].tolist() == ["f32", "f16", "f32"]
    assert str(LeftOut(1, 4)) == "1 of 4 configurations are left out: they failed, or are like those that did"
