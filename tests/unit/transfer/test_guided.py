import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.model.metrics import mape_pct
from perfport.transfer.guided import GuidedLearner, influential

SOURCE = dataset(noisy(log_time(FRAME), 0), "old")
TARGET = dataset(noisy(1.0 + log_time(FRAME, threads=-0.3), 1), "new")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_planted_influences_are_found_and_irrelevant_options_are_not() -> None:
    found = influential(SOURCE, "time_s", 0.01)
    assert {("clock_hz",), ("threads",), ("mode",), ("cache",), ("cache", "mode")} <= set(found)
    assert not any("idle" in names for names in found)


def test_the_learner_sees_influential_options_only() -> None:
    model = GuidedLearner("gp").fit([SOURCE], TARGET.take(np.arange(0, 144, 4)), property="time_s", rng=rng())
    assert "cache x mode" in model.notes[0]
    busy, idle = FRAME.assign(idle=1), FRAME.assign(idle=0)
    assert model.predict(busy).tolist() == model.predict(idle).tolist()
    assert mape_pct(TARGET.response("time_s"), model.predict(FRAME)) < 10


def test_a_pair_is_a_column_of_its_own() -> None:
    rows = np.random.default_rng(5).choice(144, 60, replace=False)
    guided = GuidedLearner("ridge").fit([SOURCE], TARGET.take(rows), property="time_s", rng=rng())
    alone = GuidedLearner("ridge").fit([], TARGET.take(rows), property="time_s", rng=rng())
    errors = [mape_pct(TARGET.response("time_s"), model.predict(FRAME)) for model in (guided, alone)]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("flat", [True, False])
def test_without_a_guide_all_options_are_used(flat: bool) -> None:
    sources = [dataset(np.full(144, 2.0), "flat")] if flat else []
    model = GuidedLearner("tree").fit(sources, TARGET, property="time_s", rng=rng())
    assert "all options are used" in model.notes[0]
    assert mape_pct(TARGET.response("time_s"), model.predict(FRAME)) < 1


def test_influential_options_that_stand_still_in_the_target_rows_are_no_reason_to_fail() -> None:
    still = TARGET.take(
        np.flatnonzero((FRAME[["clock_hz", "threads", "mode", "cache"]] == FRAME.iloc[0, :4]).all(axis=1))
    )
    model = GuidedLearner("tree").fit([SOURCE], still, property="time_s", rng=rng())
    assert np.all(np.isfinite(model.predict(FRAME)))
