import os
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.data import samples
from tests.unit.data.samples import TIME, measurement

from perfport.data.environment import Environment
from perfport.data.export import tidy_rows, write_rows
from perfport.data.measurement import Measurement, Status
from perfport.errors import StoreError


def found() -> list[Measurement]:
    other = Environment("other", hardware={"cores": 8})
    return [
        measurement(1, values=[0.1, 0.3]),
        measurement(2, status=Status.FAILED),
        Measurement({"threads": "auto", "delegate": True}, other, Status.OK, {"energy_j": np.array([3.0])}),
    ]


def test_one_row_a_repetition_and_one_a_failure() -> None:
    frame = tidy_rows(found(), {})
    assert len(frame) == 4
    assert frame["environment"].tolist() == ["board", "board", "board", "other"]
    assert frame["property"].tolist()[:2] == [TIME, TIME]
    assert frame["unit"].tolist()[3] == "J"
    assert frame["value"].tolist()[:2] == [0.1, 0.3]
    assert np.isnan(frame["value"][2])
    assert frame["status"].tolist() == ["ok", "ok", "failed", "ok"]
    assert frame["reason"][2] == "the child died"


def test_levels_of_several_kinds_are_text_and_of_one_kind_keep_it() -> None:
    frame = tidy_rows(found(), {})
    assert frame["option.threads"].tolist() == ["1", "1", "2", "auto"]
    assert frame["option.share"].tolist()[:3] == [0.25, 0.25, 0.25]
    assert frame["option.delegate"].isna().tolist() == [True, True, True, False]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.csv.gz"])
def test_files_read_back_with_exact_numbers(tmp_path: Path, name: str) -> None:
    values = np.random.default_rng(0).random(50)
    path = tmp_path / name
    assert write_rows(path, [measurement(values=values)], {(samples.BOARD.fingerprint, TIME): "s"}) == 50
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype="str")
    assert [float(value) for value in frame["value"]] == values.tolist()
    assert frame["unit"].unique().tolist() == ["s"]
    assert os.listdir(tmp_path) == [name]  # noqa: PTH208  # hidden files too


def test_a_mixture_of_everything_can_be_written(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "rows.parquet", found(), {}) == 4
    assert write_rows(tmp_path / "none.parquet", [], {}) == 0


def test_other_endings_and_unwritable_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"give a name ending in \.parquet, \.csv, \.csv\.gz"):
        write_rows(tmp_path / "rows.xlsx", found(), {})
    with pytest.raises(StoreError, match="nowhere does not exist; make it first"):
        write_rows(tmp_path / "nowhere" / "rows.csv", found(), {})


def test_an_older_file_survives_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old", encoding="utf-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StoreError, match="cannot be written: File too large"):
            write_rows(path, [measurement(values=np.arange(1.0, 99.0))], {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["rows.csv"]  # noqa: PTH208  # hidden files too
