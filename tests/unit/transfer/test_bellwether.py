import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.errors import NotEnoughDataError
from perfport.model.metrics import mape_pct
from perfport.transfer.baselines import ReusedModel
from perfport.transfer.bellwether import Bellwether

TYPICAL = dataset(noisy(log_time(FRAME), 0), "typical")
SLOWER = dataset(noisy(2.0 + log_time(FRAME, threads=-0.45), 1), "slower")
FASTER = dataset(noisy(-1.0 + log_time(FRAME, threads=-0.55), 2), "faster")
ODD = dataset(noisy(0.3 * log_time(FRAME)[::-1].copy(), 3), "odd")
TARGET = dataset(noisy(1.5 + log_time(FRAME), 4), "new")


def fitted(*sources: object) -> ReusedModel:
    model = Bellwether().fit(sources, TARGET.take([0, 40]), property="time_s", rng=np.random.default_rng(0))  # type: ignore[arg-type]
    assert isinstance(model, ReusedModel)
    return model


def test_the_source_that_foretells_the_others_is_taken_and_scaled() -> None:
    model = fitted(ODD, SLOWER, TYPICAL, FASTER)
    assert model.surface.environment == "typical"
    assert "'typical' is the bellwether of 4" in model.notes[0]
    assert mape_pct(TARGET.response("time_s"), model.predict(FRAME)) < 3


def test_the_order_of_sources_does_not_matter() -> None:
    assert fitted(TYPICAL, FASTER, ODD, SLOWER).surface.environment == "typical"


def test_a_single_source_is_its_own_bellwether() -> None:
    assert fitted(ODD).surface.environment == "odd"
    assert fitted(ODD).notes == ()


def test_no_source_has_no_bellwether() -> None:
    with pytest.raises(NotEnoughDataError, match="use 'target_only'"):
        fitted()
