import numpy as np
import pandas as pd
import pytest

from perfport.data.dataset import Dataset
from perfport.data.measurement import Property
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.api import transfer
from perfport.transfer.repeated import RepeatedTransfer

TIME = Property("inference_time_s", "s")
SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4, 8)),
        Option(name="mode", type="categorical", values=("a", "b")),
    ]
)
EVERYTHING = pd.concat(list(SPACE.enumerate()), ignore_index=True)


def dataset(frame: pd.DataFrame, factor: float) -> Dataset:
    values = factor * (1.0 / frame["threads"] + 0.1 * (frame["mode"] == "b"))
    return Dataset.from_frame(frame.assign(inference_time_s=values), properties=[TIME], space=SPACE)


@pytest.mark.parametrize("with_source", [True, False])
def test_it_predicts_what_transfer_predicts(with_source: bool) -> None:
    sources = [dataset(EVERYTHING, 1.0)] if with_source else []
    told = dataset(EVERYTHING.iloc[[0, 3, 6]].reset_index(drop=True), 2.0)
    repeated = RepeatedTransfer(sources, EVERYTHING, space=SPACE, property=TIME)
    _, predictive = repeated.after(told)
    model = transfer(sources=sources, target=told, property="inference_time_s")
    mean, sd = predictive.moments()
    wanted, wider = model.predict_distribution(EVERYTHING).moments()
    assert mean == pytest.approx(wanted, rel=1e-6)
    # The distribution of the model allows for scales learnt from few rows.
    assert (sd < wider).all()


def test_before_any_target_row_the_sources_are_all_there_is() -> None:
    expected = RepeatedTransfer(
        [dataset(EVERYTHING, 1.0)], EVERYTHING, space=SPACE, property=TIME
    ).expected_by_sources()
    assert expected is not None
    assert np.exp(expected) == pytest.approx(dataset(EVERYTHING, 1.0).responses["inference_time_s"], rel=1e-6)
    assert RepeatedTransfer([], EVERYTHING, space=SPACE, property=TIME).expected_by_sources() is None


def test_the_intervals_are_quantiles_of_the_distribution() -> None:
    told = dataset(EVERYTHING.iloc[[0, 2, 3, 5, 6]].reset_index(drop=True), 2.0)
    for strategy in ("auto", "linear_shift"):
        model = transfer(
            sources=[dataset(EVERYTHING, 1.0)], target=told, property="inference_time_s", strategy=strategy
        )
        lower, upper = model.predict_interval(EVERYTHING, coverage=0.9)
        predictive = model.predict_distribution(EVERYTHING)
        for row in range(len(EVERYTHING)):
            assert predictive.probability_at_most(float(lower[row]))[row] == pytest.approx(0.05, abs=0.005)
            assert predictive.probability_at_most(float(upper[row]))[row] == pytest.approx(0.95, abs=0.005)
