from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.study.samples import ENVIRONMENTS, FrameWalker, Peeking, environments, spec

from perfport.data.dataset import Dataset
from perfport.errors import LeakError, NotEnoughDataError
from perfport.study.cells import choose_rows
from perfport.study.guard import GuardedTarget, held_out_errors
from perfport.study.run import run_study
from perfport.study.spec import SamplerSpec
from perfport.transfer.base import TransferStrategy
from perfport.transfer.names import make_strategy

NEW = ENVIRONMENTS["new"]
N = len(NEW)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def with_responses(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Dataset:
    return replace(NEW, responses={"time_s": values}, log_se={})


def test_no_response_can_be_read_without_measuring() -> None:
    target = GuardedTarget.of(NEW, "time_s")
    with pytest.raises(LeakError, match="use split"):
        target.response("time_s")
    with pytest.raises(LeakError, match="use split"):
        _ = target.responses
    with pytest.raises(LeakError, match="use split"):
        target.take([0])
    assert not hasattr(target, "dataset")
    assert len(target.configurations) == N


@pytest.mark.parametrize("strategy", [Peeking(GuardedTarget.of(NEW, "time_s")), FrameWalker()], ids=["given", "found"])
def test_a_strategy_that_reads_the_target_is_caught_in_the_act(strategy: TransferStrategy, tmp_path: Path) -> None:
    with pytest.raises(LeakError, match="'thief' on target 'new'"):
        run_study(spec(), tmp_path, data=environments, strategies={"thief": strategy})


def test_measured_rows_are_copies_and_the_test_holds_all_others() -> None:
    split = GuardedTarget.of(NEW, "time_s").split([3, 5], rng=rng())
    assert split.measured.response("time_s").tolist() == NEW.response("time_s")[[3, 5]].tolist()
    assert split.measured.response("time_s").base is None
    assert len(split.test_configurations) == N - 2
    assert split.errors(lambda frame: np.full(len(frame), 1.0)).n == N - 2


def test_a_large_test_is_thinned_the_same_way_every_time() -> None:
    target = GuardedTarget.of(NEW, "time_s")
    first, again = (target.split([0], max_test_rows=20, rng=rng()).test_configurations for _ in range(2))
    assert first.equals(again)
    assert len(first) == 20


def test_rows_that_failed_are_no_candidates() -> None:
    values = NEW.response("time_s").copy()
    values[:4] = [0.0, np.nan, 0.0, np.nan]
    assert len(GuardedTarget.of(with_responses(values), "time_s")) == N - 4
    with pytest.raises(NotEnoughDataError, match="no row with a positive 'time_s'"):
        GuardedTarget.of(with_responses(np.zeros(N)), "time_s")


def test_replicates_of_a_measured_configuration_are_no_test() -> None:
    twice = NEW.take([*range(N), 0])
    split = GuardedTarget.of(twice, "time_s").split([0], rng=rng())
    assert len(split.test_configurations) == N - 1


@pytest.mark.parametrize("rows", [[1, 1], [-1], [N]])
def test_rows_that_cannot_be_paid_for_are_refused(rows: list[int]) -> None:
    with pytest.raises(LeakError, match="must be distinct"):
        GuardedTarget.of(NEW, "time_s").split(rows, rng=rng())


def test_a_budget_that_leaves_no_test_is_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="give a smaller budget"):
        GuardedTarget.of(NEW, "time_s").split(np.arange(N), rng=rng())


def test_errors_on_configurations_that_were_fitted_are_refused() -> None:
    with pytest.raises(LeakError, match=r"1 of 3 test rows .* clock_hz = "):
        held_out_errors(
            lambda frame: np.ones(len(frame)), measured=NEW.take([0, 1]), test=NEW.take([1, 2, 3]), property="time_s"
        )


def test_a_source_that_is_the_target_under_another_name_is_refused(tmp_path: Path) -> None:
    copied = {"old": NEW, "new": NEW}
    with pytest.raises(LeakError, match="to the last digit"):
        run_study(spec(), tmp_path, data=lambda _, name: copied[name])


@pytest.mark.parametrize("sampler", ["random", "guided", "propose", "stratified", "k_means", "d_optimal"])
@pytest.mark.parametrize("method", ["auto", "residual:tree", "pooled:tree", "tradaboost", "guided", "nonlinear_shift"])
def test_responses_outside_the_budget_change_no_prediction(sampler: str, method: str) -> None:
    source, known = ENVIRONMENTS["old"], np.ones(N, dtype=bool)
    target = GuardedTarget(NEW, "time_s", known)
    rows = choose_rows(SamplerSpec(sampler=sampler), [source], target, budget=9, seed=1)
    poisoned = np.full(N, np.nan)
    poisoned[rows] = NEW.response("time_s")[rows]
    blind = GuardedTarget(with_responses(poisoned), "time_s", known)
    assert choose_rows(SamplerSpec(sampler=sampler), [source], blind, budget=9, seed=1).tolist() == rows.tolist()
    predicted = [
        make_strategy(method)
        .fit([source], guarded.split(rows, rng=rng()).measured, property="time_s", rng=rng())
        .predict(NEW.configurations)
        for guarded in (target, blind)
    ]
    assert predicted[0].tolist() == predicted[1].tolist()
