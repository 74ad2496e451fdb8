import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

import perfport
from perfport.data.dataset import Dataset
from perfport.errors import NotEnoughDataError, UnknownPluginError, UsageError
from perfport.model.metrics import mape_pct
from perfport.transfer.api import propose, transfer

SOURCE = dataset(noisy(log_time(FRAME), 1), "source")
OTHER = dataset(noisy(log_time(FRAME, mode_b=0.6), 2), "other")
TARGET = dataset(noisy(0.7 + log_time(FRAME, mode_b=0.9), 3), "target")
ROWS = np.random.default_rng(0).permutation(len(FRAME))


def error_pct(target: Dataset, n: int, *sources: Dataset, strategy: str = "auto") -> float:
    model = transfer(sources=sources, target=target.take(ROWS[:n]), property="time_s", strategy=strategy)
    rest = ROWS[n:]
    return mape_pct(target.responses["time_s"][rest], model.predict(FRAME.iloc[rest]))


def test_the_package_is_callable_whether_or_not_it_was_imported() -> None:
    for _ in range(2):
        model = perfport.transfer(sources=[SOURCE], target=TARGET.take([0, 50]), property="time_s")
        assert model.predict(FRAME).shape == (len(FRAME),)


def test_functions_that_call_the_package_can_be_sent_to_another_process() -> None:
    # Those of a script travel by value, with the modules whose names they mention.
    script = """
import pandas as pd
import perfport
from joblib import Parallel, delayed

def n_predicted(n):
    rows = pd.DataFrame({"threads": range(1, n + 1), "time_s": [1.0 / k for k in range(1, n + 1)]})
    model = perfport.transfer(
        sources=[], target=perfport.Dataset.from_frame(rows, properties=["time_s"]), property="time_s"
    )
    return len(model.predict(rows))

n_predicted(3)  # from now on the package is a loaded module
print(*Parallel(2)(delayed(n_predicted)(n) for n in (4, 5)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["4", "5"], done.stderr


def test_a_related_source_beats_the_target_rows_alone() -> None:
    assert error_pct(TARGET, 8, SOURCE) < 0.7 * error_pct(TARGET, 8)
    assert error_pct(TARGET, 8, SOURCE, OTHER) < 0.7 * error_pct(TARGET, 8)


@pytest.mark.parametrize("strategy", ["auto", "influence"])
def test_a_scaled_source_is_recovered_from_two_rows(strategy: str) -> None:
    source = dataset(np.exp(log_time(FRAME)), "source")
    target = dataset(3.0 * np.exp(log_time(FRAME)), "target")
    assert error_pct(target, 2, source, strategy=strategy) < 1.0


def test_an_exact_linear_shift_is_recovered_from_two_rows() -> None:
    source = np.exp(log_time(FRAME))
    target = dataset(0.5 + 2.5 * source, "target")
    model = transfer(
        sources=[dataset(source, "source")],
        target=target.take([0, 77]),
        property="time_s",
        strategy="linear_shift",
    )
    np.testing.assert_allclose(model.predict(FRAME), 0.5 + 2.5 * source, rtol=1e-6)


def test_a_constant_overhead_is_recognised_from_five_rows() -> None:
    target = dataset(noisy(np.log(1.0 + np.exp(log_time(FRAME))), 3), "target")
    errors = []
    for seed in range(3):
        rows = np.random.default_rng([3, seed]).permutation(len(FRAME))
        model = transfer(sources=[SOURCE], target=target.take(rows[:5]), property="time_s", strategy="influence")
        errors.append(mape_pct(target.responses["time_s"][rows[5:]], model.predict(FRAME.iloc[rows[5:]])))
    assert np.mean(errors) < 3.0  # both environments have 1 % of noise


@pytest.mark.parametrize("harm", ["unrelated", "reversed"])
def test_a_useless_source_does_no_harm_with_twenty_rows(harm: str) -> None:
    with_source: list[float] = []
    alone: list[float] = []
    for seed in range(5):
        log_y = log_time(FRAME)
        wrong = np.random.default_rng(seed).permutation(log_y) if harm == "unrelated" else -log_y
        source = dataset(noisy(wrong, seed), "source")
        rows = np.random.default_rng([7, seed]).permutation(len(FRAME))
        for sources, errors in (([source], with_source), ([], alone)):
            model = transfer(sources=sources, target=TARGET.take(rows[:20]), property="time_s")
            predicted = model.predict(FRAME.iloc[rows[20:]])
            errors.append(mape_pct(TARGET.responses["time_s"][rows[20:]], predicted))
    assert np.mean(with_source) <= 1.1 * np.mean(alone)


def test_the_order_of_rows_options_and_sources_changes_nothing() -> None:
    rows = ROWS[:12]
    first = transfer(sources=[SOURCE, OTHER], target=TARGET.take(rows), property="time_s")
    shuffle = np.random.default_rng(5).permutation(len(FRAME))
    columns = ["mode", "idle", "clock_hz", "cache", "threads"]

    def shuffled(data: Dataset, order: NDArray[np.int64]) -> Dataset:
        frame = data.configurations.iloc[order][columns].reset_index(drop=True)
        return dataset(data.responses["time_s"][order], data.environment.name, frame)

    again = transfer(
        sources=[shuffled(OTHER, shuffle), shuffled(SOURCE, shuffle)],
        target=shuffled(TARGET, rows[::-1]),
        property="time_s",
    )
    np.testing.assert_allclose(again.predict(FRAME[columns]), first.predict(FRAME), rtol=1e-9)


def test_scaling_the_responses_scales_the_predictions() -> None:
    rows = ROWS[:10]
    one = transfer(sources=[SOURCE], target=TARGET.take(rows), property="time_s").predict(FRAME)
    thousand = dataset(1000 * TARGET.responses["time_s"], "target").take(rows)
    scaled = transfer(sources=[SOURCE], target=thousand, property="time_s").predict(FRAME)
    np.testing.assert_allclose(scaled, 1000 * one, rtol=1e-6)


def test_units_are_converted_and_refused_where_they_cannot_be() -> None:
    rows = ROWS[:10]
    expected = transfer(sources=[SOURCE], target=TARGET.take(rows), property="time_s").predict(FRAME)
    milli = dataset(1000 * SOURCE.responses["time_s"], "source", unit="ms")
    converted = transfer(sources=[milli], target=TARGET.take(rows), property="time_s").predict(FRAME)
    np.testing.assert_allclose(converted, expected, rtol=1e-6)
    joules = dataset(SOURCE.responses["time_s"], "source", unit="J")
    with pytest.raises(UsageError, match="in J, the target in s"):
        transfer(sources=[joules], target=TARGET.take(rows), property="time_s")


def test_rows_outside_the_budget_are_never_read() -> None:
    rows = ROWS[:10]
    hidden = np.full(len(FRAME), np.nan)
    hidden[rows] = TARGET.responses["time_s"][rows]
    seen = transfer(sources=[SOURCE], target=TARGET.take(rows), property="time_s").predict(FRAME)
    blind = transfer(sources=[SOURCE], target=dataset(hidden, "target").take(rows), property="time_s").predict(FRAME)
    np.testing.assert_array_equal(blind, seen)
    budget = {"sources": [SOURCE], "candidates": FRAME, "property": "time_s", "budget": 7}
    assert propose(**budget).tolist() == propose(**budget).tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "strategy", ["auto", "influence", "target_only", "direct", "scaled", "linear_shift", "residual"]
)
@pytest.mark.parametrize("sources", [(SOURCE,), (SOURCE, OTHER)])
def test_every_strategy_predicts_positive_numbers_an_interval_and_a_verdict(
    strategy: str, sources: tuple[Dataset, ...]
) -> None:
    model = transfer(sources=sources, target=TARGET.take(ROWS[:6]), property="time_s", strategy=strategy)
    predicted, (lower, upper) = model.predict(FRAME), model.predict_interval(FRAME)
    assert np.all(np.isfinite(predicted))
    assert np.all(predicted > 0)
    assert np.all(lower <= upper)
    assert np.all(model.predict_median(FRAME) > 0)
    assert model.verdict.estimated_error_pct is not None
    assert model.property.name == "time_s"
    assert str(model.verdict)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("sources", [(), (SOURCE,), (SOURCE, OTHER)])
def test_very_few_rows_are_enough(n: int, sources: tuple[Dataset, ...]) -> None:
    model = transfer(sources=sources, target=TARGET.take(ROWS[:n]), property="time_s")
    assert np.all(np.isfinite(model.predict(FRAME)))
    assert (model.verdict.estimated_error_pct is None) == (n == 1)


def test_equal_responses_and_constant_options_are_survived() -> None:
    frame = FRAME.assign(mode="a", cache=True)
    flat = dataset(np.full(len(frame), 2.0), "flat", frame)
    for sources in ([], [flat], [SOURCE]):
        model = transfer(sources=sources, target=flat.take(ROWS[:9]), property="time_s")
        np.testing.assert_allclose(model.predict(frame), 2.0, rtol=0.2)


NETWORKS = pd.DataFrame({"network": [f"n{at:02d}" for at in range(50)]})
IDENTIFIED = np.exp(np.random.default_rng(0).normal(size=50))


@pytest.mark.parametrize("strategy", ["auto", "influence", "tradaboost", "scaled"])
def test_an_identifier_alone_tells_rows_apart(strategy: str) -> None:
    source = dataset(IDENTIFIED, "source", NETWORKS)
    target = dataset(2.0 * IDENTIFIED, "target", NETWORKS)
    predicted = transfer(
        sources=[source], target=target.take([3, 9, 20, 41]), property="time_s", strategy=strategy
    ).predict(NETWORKS)
    assert np.all(np.isfinite(predicted) & (predicted > 0))
    if strategy in ("auto", "scaled"):
        np.testing.assert_allclose(predicted, 2.0 * IDENTIFIED, rtol=0.01)
    assert len(propose(sources=[source], candidates=NETWORKS, property="time_s", budget=4)) == 4


@pytest.mark.parametrize("n_sources", [0, 1])
@pytest.mark.parametrize("strategy", ["auto", "influence", "tradaboost"])
def test_options_that_are_all_constant_leave_a_mean(strategy: str, n_sources: int) -> None:
    frame = pd.DataFrame({"threads": [1] * 3, "pinned": [True] * 3})
    source = dataset(np.array([0.9, 1.0, 1.1]), "source", frame)
    target = dataset(np.array([1.8, 2.0, 2.2]), "target", frame)
    model = transfer(sources=[source] * n_sources, target=target, property="time_s", strategy=strategy)
    np.testing.assert_allclose(model.predict(frame), 2.0, rtol=0.11)
    assert propose(sources=[source], candidates=frame, property="time_s", budget=1).tolist() == [0]


def test_duplicate_rows_with_different_values_are_survived() -> None:
    twice = pd.concat([FRAME.iloc[ROWS[:6]]] * 2, ignore_index=True)
    target = dataset(noisy(log_time(twice), 4, sd=0.05), "target", twice)
    source = dataset(noisy(log_time(pd.concat([FRAME] * 2)), 5), "source", pd.concat([FRAME] * 2, ignore_index=True))
    model = transfer(sources=[source], target=target, property="time_s")
    assert mape_pct(np.exp(log_time(FRAME)), model.predict(FRAME)) < 20


def test_unusable_responses_are_dropped_and_counted() -> None:
    y = TARGET.responses["time_s"].copy()
    y[ROWS[0]], y[ROWS[1]] = 0.0, np.nan
    model = transfer(sources=[SOURCE], target=dataset(y, "target").take(ROWS[:10]), property="time_s")
    assert any("2 of 10 rows dropped" in note for note in model.verdict.notes)
    expected = transfer(sources=[SOURCE], target=TARGET.take(ROWS[2:10]), property="time_s")
    np.testing.assert_allclose(model.predict(FRAME), expected.predict(FRAME), rtol=1e-9)
    nothing = dataset(np.zeros(len(FRAME)), "target").take(ROWS[:3])
    with pytest.raises(NotEnoughDataError, match="no usable row"):
        transfer(sources=[SOURCE], target=nothing, property="time_s")


def test_what_is_asked_for_must_exist() -> None:
    with pytest.raises(UsageError, match="has no property 'energy_j'"):
        transfer(sources=[SOURCE], target=TARGET.take([0]), property="energy_j")
    with pytest.raises(UnknownPluginError, match="did you mean 'auto'"):
        transfer(sources=[SOURCE], target=TARGET.take([0]), property="time_s", strategy="auot")
    model = transfer(sources=[SOURCE], target=TARGET.take([0, 1]), property="time_s")
    with pytest.raises(UsageError, match="between 0 and 1"):
        model.predict_interval(FRAME, coverage=90)


def test_other_options_and_levels_are_aligned_and_named() -> None:
    frame = FRAME.drop(columns=["idle"]).rename(columns={"threads": "n_threads"}).assign(pinned=True)
    frame.loc[::3, "pinned"] = False
    frame["mode"] = frame["mode"].replace({"c": "d"})
    target = dataset(np.exp(log_time(FRAME)), "target", frame).take(ROWS[:15])
    model = transfer(sources=[SOURCE], target=target, property="time_s", rename={"threads": "n_threads"})
    assert mape_pct(np.exp(log_time(FRAME)), model.predict(frame)) < 15
    text = " ".join(model.verdict.notes)
    assert all(name in text for name in ("idle", "pinned", "'d'"))


def test_intervals_cover_and_narrow_with_rows() -> None:
    widths = []
    for n in (6, 40):
        model = transfer(sources=[SOURCE], target=TARGET.take(ROWS[:n]), property="time_s")
        rest = ROWS[n:]
        lower, upper = model.predict_interval(FRAME.iloc[rest], coverage=0.9)
        y = TARGET.responses["time_s"][rest]
        assert np.mean((lower <= y) & (y <= upper)) > 0.75
        widths.append(float(np.median(upper / lower)))
    assert widths[1] < widths[0]


def test_an_influence_that_changed_is_found_by_few_rows_of_it() -> None:
    target = dataset(np.exp(log_time(FRAME, mode_b=1.2)), "target")
    source = dataset(np.exp(log_time(FRAME)), "source")
    rows = propose(sources=[source], candidates=FRAME, property="time_s", budget=10)
    model = transfer(sources=[source], target=target.take(rows), property="time_s", strategy="influence")
    slow, other = ({"mode": mode, "cache": False, "idle": 0, "threads": 1, "clock_hz": 8e8} for mode in ("b", "a"))
    ratio = model.predict_median(pd.DataFrame([slow])[FRAME.columns]) / model.predict_median(
        pd.DataFrame([other])[FRAME.columns]
    )
    assert np.log(ratio[0]) == pytest.approx(1.2, abs=0.25)


def test_per_row_noise_lowers_the_say_of_noisy_rows() -> None:
    y = np.exp(log_time(FRAME))
    rows = ROWS[:8]
    wrong = y.copy()
    wrong[rows[:2]] *= 2.0  # one alone the others would speak against
    se = np.full(len(FRAME), 0.001)
    se[rows[:2]] = 2.0
    plain = dataset(wrong, "target")
    told = Dataset(
        space=plain.space,
        environment=plain.environment,
        properties=plain.properties,
        configurations=plain.configurations,
        responses=plain.responses,
        log_se={"time_s": se},
    )
    source = dataset(y, "source")
    errors = [
        mape_pct(y, transfer(sources=[source], target=data.take(rows), property="time_s").predict(FRAME))
        for data in (told, plain)
    ]
    assert errors[0] < errors[1]
