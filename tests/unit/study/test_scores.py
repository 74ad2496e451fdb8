"""Tables of scores: what one cell is, wins, and pairs of methods with correction and effect size."""

import numpy as np
import pandas as pd
import pytest

from perfport.errors import NotEnoughDataError, UsageError
from perfport.study.scores import compare_pairs, score_table, win_tie_loss


def study_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "system": ["a", "a", "a", "a", "b", "b", "b", "b"],
            "strategy": ["x", "x", "y", "y", "x", "x", "y", "y"],
            "learner": ["f"] * 8,
            "seed": [0, 1] * 4,
            "error": [1.0, 3.0, 5.0, 5.0, 2.0, 2.0, 8.0, 9.0],
        }
    )


def test_repetitions_become_one_score_a_task() -> None:
    table = score_table(study_rows(), value="error", tasks=["system"], methods=["strategy", "learner"])
    assert table.to_dict() == {"x / f": {"a": 2.0, "b": 2.0}, "y / f": {"a": 5.0, "b": 8.5}}


def test_a_method_that_missed_a_task_is_named() -> None:
    with pytest.raises(NotEnoughDataError, match="y / f has no finite score for b"):
        score_table(study_rows().iloc[:6], value="error", tasks=["system"], methods=["strategy", "learner"])


def test_unknown_columns_are_named() -> None:
    with pytest.raises(UsageError, match=r"no column \['sampler'\]"):
        score_table(study_rows(), value="error", tasks=["system"], methods=["sampler"])


def test_wins_ties_and_losses_add_up() -> None:
    scores = pd.DataFrame({"x": [1.0, 2.0, 3.0, 100.0], "y": [2.0, 2.0, 1.0, 100.5]})
    assert win_tie_loss(scores).to_dict("index")["x", "y"] == {"wins": 2, "ties": 1, "losses": 1}
    assert win_tie_loss(scores, minimise=False).to_dict("index")["x", "y"] == {"wins": 1, "ties": 1, "losses": 2}
    assert win_tie_loss(scores, tolerance=0.01).to_dict("index")["y", "x"] == {"wins": 1, "ties": 2, "losses": 1}


def test_pairs_are_compared_with_correction_and_effect() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(30)
    scores = pd.DataFrame({"good": base, "bad": base + 1.0, "same": base + rng.normal(0, 1e-3, 30)})
    pairs = compare_pairs(scores)
    result = pairs.set_index(["method", "other"]).to_dict("index")
    assert result["good", "bad"]["significant"]
    assert result["good", "bad"]["cliffs_delta"] == -1.0
    assert [result["good", "bad"][count] for count in ("wins", "ties", "losses")] == [30, 0, 0]
    assert not result["good", "same"]["significant"]
    assert np.all(pairs["p_holm"] >= pairs["p"])


def test_a_baseline_is_compared_with_every_other_method() -> None:
    scores = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 4.0], "c": [0.0, 1.0, 9.0]})
    assert list(compare_pairs(scores, baseline="b")["method"]) == ["a", "c"]
    with pytest.raises(UsageError, match="baseline 'd' is no method"):
        compare_pairs(scores, baseline="d")
    assert compare_pairs(scores[["a"]]).empty
