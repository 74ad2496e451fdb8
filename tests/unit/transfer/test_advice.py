from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.errors import UsageError
from perfport.model.metrics import mape_pct
from perfport.transfer.advice import BreakEven, BudgetAdvice, Forecast, advise_budget, break_even
from perfport.transfer.api import transfer
from perfport.transfer.transferred import TransferredModel

SOURCE = dataset(noisy(log_time(FRAME), 1), "old")
TARGET = dataset(noisy(1.0 + log_time(FRAME, threads=-0.4), 2), "new")
UNRELATED = dataset(np.exp(np.random.default_rng(4).normal(size=len(FRAME))), "noise")
ROWS = np.random.default_rng(0).permutation(len(FRAME))


def made(n: int, *sources: Dataset, strategy: str = "auto") -> TransferredModel:
    return transfer(sources=sources, target=TARGET.take(ROWS[:n]), property="time_s", strategy=strategy)


def test_a_good_source_is_worth_many_rows_and_an_unrelated_one_none() -> None:
    good, bad = break_even(made(10, SOURCE)), break_even(made(10, UNRELATED))
    assert good is not None
    assert bad is not None
    assert good.rows > 15
    assert bad.rows < 15
    for found in (good, bad):
        assert 1 <= found.lower <= found.rows <= found.upper


def test_nothing_is_said_where_nothing_can_be_said() -> None:
    assert break_even(made(10)) is None
    assert break_even(made(3, SOURCE)) is None
    assert advise_budget(made(1, SOURCE, strategy="scaled"), FRAME) is None
    assert advise_budget(made(1, SOURCE), FRAME) is not None


@pytest.mark.parametrize("strategy", ["auto", "multitask", "scaled"])
def test_more_rows_are_forecast_to_lower_the_error(strategy: str) -> None:
    advice = advise_budget(made(10, SOURCE, strategy=strategy), FRAME)
    assert advice is not None
    assert [step.more for step in (advice.now, *advice.later)] == [0, 5, 10, 20]
    errors = [step.error_pct for step in (advice.now, *advice.later)]
    assert errors == sorted(errors, reverse=True)
    assert all(step.lower_pct < step.error_pct < step.upper_pct for step in (advice.now, *advice.later))


def test_the_estimate_is_within_a_factor_of_two_and_so_is_the_forecast() -> None:
    rest = ROWS[40:]
    y = TARGET.response("time_s")[rest]
    now, later = (mape_pct(y, made(n, SOURCE).predict(FRAME.iloc[rest])) for n in (10, 30))
    advice = advise_budget(made(10, SOURCE), FRAME)
    assert advice is not None
    assert 0.5 < advice.now.error_pct / now < 2.0
    assert 0.5 < advice.later[-1].error_pct / later < 2.0


def test_the_order_of_rows_and_candidates_changes_nothing() -> None:
    model = made(8, SOURCE)
    shuffled = transfer(sources=[SOURCE], target=TARGET.take(ROWS[:8][::-1]), property="time_s")
    one, other = advise_budget(model, FRAME), advise_budget(shuffled, FRAME.iloc[ROWS])
    assert one is not None
    assert other is not None
    assert other.now.error_pct == pytest.approx(one.now.error_pct, rel=1e-9)
    assert other.later[0].error_pct == pytest.approx(one.later[0].error_pct, rel=1e-9)
    assert str(break_even(model)) == str(break_even(shuffled))


def test_measured_and_repeated_candidates_are_no_further_rows() -> None:
    left = FRAME.iloc[ROWS[:14]]
    advice = advise_budget(made(10, SOURCE), pd.concat([left, left]), more=(1, 4, 5))
    assert advice is not None
    assert [step.more for step in advice.later] == [1, 4]
    all_known = advise_budget(made(10, SOURCE), FRAME.iloc[ROWS[:10]])
    assert all_known is not None
    assert all_known.later == ()
    assert str(all_known).endswith("no candidate is left to measure")


def test_failed_rows_are_not_counted() -> None:
    y = np.array(TARGET.response("time_s"))
    y[ROWS[0]] = np.nan
    model = transfer(sources=[SOURCE], target=dataset(y, "new").take(ROWS[:7]), property="time_s")
    found = break_even(model)
    assert found is not None
    assert found.n == 6


@pytest.mark.parametrize(
    ("candidates", "more", "said"), [(FRAME.head(0), (5,), "no candidate"), (FRAME, (0, 5), "must be 1 or more")]
)
def test_questions_without_an_answer_are_refused(candidates: pd.DataFrame, more: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        advise_budget(made(5, SOURCE), candidates, more=more)


def test_a_model_of_unknown_origin_is_refused() -> None:
    with pytest.raises(UsageError, match="does not know what it was made from"):
        break_even(replace(made(5, SOURCE), recipe=None))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            BreakEven(20, 45.3, 30.2, 91.0),
            "about 45 rows without transfer would reach the same error; 30 to 91",
        ),
        (
            BreakEven(20, 312.0, 47.0, np.inf),
            "about 310 rows without transfer would reach the same error; 47 to more than 600",
        ),
        (
            BreakEven(10, np.inf, 44.0, np.inf),
            "more than 300 rows without transfer would be needed for the same error; at least 44",
        ),
        (BreakEven(10, 8.0, 4.0, 19.0), "the same rows without transfer would reach the same error; 4 to 19"),
    ],
)
def test_break_even_in_words(found: BreakEven, said: str) -> None:
    assert str(found) == said


def test_advice_in_words() -> None:
    advice = BudgetAdvice(Forecast(0, 4.13, 2.63, 6.44), (Forecast(1, 3.2, 2.0, 5.0), Forecast(10, 2.8, 1.7, 4.6)))
    assert str(advice) == ("estimated error 4.1 % (2.6 to 6.4); 1 more row would give about 3.2 %, 10 about 2.8 %")
