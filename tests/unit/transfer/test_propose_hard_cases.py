"""Candidates by the million, repeated candidates, and rows that could not be measured."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.data.dataset import Dataset
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.api import propose

SOURCE = dataset(noisy(log_time(FRAME), 1), "source")
TARGET = dataset(np.exp(log_time(FRAME)), "target")


def proposed(candidates: pd.DataFrame, budget: int, *sources: Dataset, measured: Dataset | None = None) -> list[int]:
    rows = propose(sources=sources, candidates=candidates, property="time_s", budget=budget, measured=measured)
    assert len(set(rows.tolist())) == budget
    return [int(row) for row in rows]


def failing(rows: list[int], failed: list[int], status: str = "failed") -> Dataset:
    """Return rows of the target of which some ended badly."""
    y, outcome = np.array(TARGET.response("time_s")), np.full(len(FRAME), "ok", dtype="<U9")
    y[failed], outcome[failed] = np.nan, status
    return replace(TARGET, responses={"time_s": y}, status=outcome).take(rows)


@pytest.mark.parametrize("sources", [(), (SOURCE,)])
@pytest.mark.parametrize("status", ["failed", "timed_out", "invalid"])
@pytest.mark.parametrize("n_failed", [1, 6])
def test_rows_that_failed_are_not_proposed_again(sources: tuple[Dataset, ...], status: str, n_failed: int) -> None:
    first = proposed(FRAME, 6, *sources)
    again = proposed(FRAME, 6, *sources, measured=failing(first, first[:n_failed], status))
    assert not set(first) & set(again)


def test_what_a_failed_row_would_have_told_is_still_asked() -> None:
    """It is as if the row had never been there; had it gone well, what it told would not be asked again."""
    first = proposed(FRAME, 3, SOURCE)
    rest = FRAME.drop(index=first)
    after_failure = proposed(FRAME, 3, SOURCE, measured=failing(first, first))
    assert after_failure == rest.index[proposed(rest, 3, SOURCE)].tolist()
    assert after_failure != proposed(FRAME, 3, SOURCE, measured=TARGET.take(first))


@pytest.mark.parametrize("sources", [(), (SOURCE,)])
def test_a_configuration_listed_twice_is_proposed_once(sources: tuple[Dataset, ...]) -> None:
    n = len(FRAME)
    repeated = pd.concat([FRAME, FRAME.sample(frac=1.0, random_state=1), FRAME], ignore_index=True)
    for budget in (20, n):
        assert not repeated.iloc[proposed(repeated, budget, *sources)].duplicated().any()
    more = repeated.iloc[proposed(repeated, n + 10, *sources)]
    assert more.duplicated().sum() == 10
    measured = TARGET.take(range(0, n, 2))
    rows = repeated.iloc[proposed(repeated, n // 2, *sources, measured=measured)]
    assert not rows.duplicated().any()
    assert rows.merge(measured.configurations, on=list(FRAME.columns)).empty


def test_only_candidates_are_proposed_so_no_rule_is_ever_broken() -> None:
    space = Space(
        [
            Option(name="streams", type="ordinal", values=(1, 2, 4, 8)),
            Option(name="threads", type="integer", lower=1, upper=16),
            Option(name="mode", type="categorical", values=("eager", "graph")),
            Option(name="inter", type="integer", lower=1, upper=4, default=1),
        ],
        conditions=[{"option": "inter", "when": "mode == 'graph'"}],
        constraints=["threads * streams <= 16"],
    )
    candidates = space.sample(60, np.random.default_rng(0))
    y = 1.0 / candidates["threads"].to_numpy(dtype=np.float64)
    source = Dataset.from_frame(candidates.assign(time_s=y), properties=["time_s"], space=space)
    for sources in ((), (source,)):
        assert space.is_valid(candidates.iloc[proposed(candidates, 25, *sources)]).all()


@pytest.mark.slow
def test_a_million_candidates() -> None:
    rng = np.random.default_rng(0)
    n = 1_000_000
    many = pd.DataFrame(
        {
            "clock_hz": rng.choice([4e8, 8e8, 1.2e9, 2e9], n),
            "threads": rng.integers(1, 5, n),
            "mode": rng.choice(["a", "b", "c"], n),
            "cache": rng.random(n) < 0.5,
            "idle": rng.integers(0, 100_000, n),
        }
    )
    first = proposed(many, 10, SOURCE)
    assert not many.iloc[first].duplicated().any()
    measured = Dataset.from_frame(many.iloc[first].assign(time_s=1.0), properties=["time_s"])
    second = proposed(many, 10, SOURCE, measured=measured)
    assert not set(first) & set(second)
