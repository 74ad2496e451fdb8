"""Comparing outputs."""

from pathlib import Path

import numpy as np
import pytest

from perfport.measure.runner.outputs import read_reference, write_reference, wrong_output

REFERENCE = [np.array([3.0, 4.0]), np.array([1, 2])]


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ([np.array([3.0, 4.0]), np.array([1, 2])], ""),
        ([np.array([3.0, 4.4], dtype=np.float32), np.array([1, 2])], ""),
        ([np.array([3.0, 5.0]), np.array([1, 2])], "output 0 differs from that of the default configuration by 0.2"),
        ([np.array([3.0, np.nan]), np.array([1, 2])], "output 0 differs"),
        ([np.array([3.0, np.inf]), np.array([1, 2])], "output 0 differs"),
        ([np.array([0.0, 0.0]), np.array([1, 2])], "by 1 of its norm"),
        ([np.array([3.0, 4.0]), np.array([1, 9])], "output 1 differs"),
        ([np.array([3.0]), np.array([1, 2])], r"shape \(1,\), not \(2,\)"),
        ([np.array([3.0, 4.0])], "1 outputs where the default configuration has 2"),
    ],
)
def test_what_is_wrong_is_told(outputs: list[np.ndarray], told: str) -> None:
    found = wrong_output(outputs, REFERENCE, 0.1)
    assert bool(found) == bool(told)
    if told:
        assert found.startswith("wrong output: ")
        import re

        assert re.search(told, found)


def test_what_is_not_finite_everywhere_agrees_and_zeros_are_compared_absolutely() -> None:
    nothing = [np.array([np.nan, np.inf, 1.0])]
    assert wrong_output(nothing, nothing, 0.1) == ""
    assert wrong_output([np.array([0.05])], [np.array([0.0])], 0.1) == ""
    assert wrong_output([np.array([0.5])], [np.array([0.0])], 0.1)


def test_texts_must_be_equal() -> None:
    assert wrong_output([np.array(["a"])], [np.array(["a"])], 0.1) == ""
    assert wrong_output([np.array(["b"])], [np.array(["a"])], 0.1)


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    outputs = [np.full(2, float(number)) for number in range(12)]
    write_reference(tmp_path / "r.npz", outputs)
    for found, expected in zip(read_reference(tmp_path / "r.npz"), outputs, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["r.npz"]
