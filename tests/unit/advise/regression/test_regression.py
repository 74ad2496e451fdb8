import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from tests.unit.advise.models import TIME, Written, numbers

from perfport.advise.regression.check import check_regression
from perfport.advise.regression.junit import junit_xml
from perfport.data.dataset import Dataset
from perfport.data.measurement import FloatArray, Property
from perfport.errors import NotEnoughDataError, UsageError
from perfport.space.options import Option
from perfport.space.space import Space

SPACE = Space(
    [
        Option(name="threads", type="ordinal", values=(1, 2, 4)),
        Option(name="optimisation", type="categorical", values=("off", "basic", "all")),
        Option(name="spinning", type="boolean"),
        Option(name="arena", type="boolean"),
    ]
)


def law(frame: pd.DataFrame, *, is_off: bool = False) -> FloatArray:
    """A network whose graph optimisation can silently be turned off."""
    optimisation = frame["optimisation"].map({"off": 0.4, "basic": 0.15, "all": 0.0}).to_numpy(float)
    spins = (numbers(frame, "threads") == 4) & (numbers(frame, "spinning") == 1)
    return np.asarray(
        0.02 * numbers(frame, "threads") ** -0.7 * np.exp((0.4 if is_off else optimisation) + 0.4 * spins)
    )


def dataset(rows: pd.DataFrame, y: FloatArray, prop: Property = TIME) -> Dataset:
    return Dataset.from_frame(rows.assign(**{prop.name: y}), properties=[prop], space=SPACE)


def noisy(y: FloatArray, rng: np.random.Generator, noise: float = 0.05) -> FloatArray:
    return np.asarray(y * np.exp(noise * rng.standard_normal(len(y))))


@pytest.mark.parametrize("seed", range(5))
def test_a_lost_optimisation_is_caught_with_twenty_rows_and_named(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = SPACE.sample(20, rng)
    check = check_regression(
        dataset(rows, noisy(law(rows), rng)), dataset(rows, noisy(law(rows, is_off=True), rng)), seed=seed
    )
    assert not check.passed and check.probability > 0.95
    assert check.suspects[0].options == ("optimisation",)
    factors = check.suspects[0].factors
    assert factors["off"] == pytest.approx(1.0, abs=0.12)
    assert factors["all"] == pytest.approx(np.exp(0.4), abs=0.2)
    assert str(check).startswith("FAILED")


@pytest.mark.parametrize("seed", range(5))
def test_the_unchanged_version_passes(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    rows = SPACE.sample(20, rng)
    check = check_regression(dataset(rows, noisy(law(rows), rng)), dataset(rows, noisy(law(rows), rng)), seed=seed)
    assert check.passed
    assert check.suspects == ()
    assert check.common_factor == pytest.approx(1.0, abs=0.05)


def test_a_model_of_the_old_version_will_do() -> None:
    rng = np.random.default_rng(1)
    rows = SPACE.sample(20, rng)
    assert check_regression(Written(law), dataset(rows, noisy(law(rows), rng))).passed
    assert not check_regression(Written(law), dataset(rows, noisy(1.4 * law(rows), rng))).passed


def test_a_change_common_to_all_configurations_has_no_suspect() -> None:
    rng = np.random.default_rng(2)
    rows = SPACE.sample(20, rng)
    check = check_regression(dataset(rows, law(rows)), dataset(rows, noisy(1.3 * law(rows), rng)))
    assert not check.passed and check.suspects == ()
    assert "all configurations change by about ×1.3" in str(check)


def test_one_configuration_that_broke_counts_once_it_was_measured_again() -> None:
    rng = np.random.default_rng(3)
    rows = SPACE.sample(20, rng)
    y = noisy(law(rows), rng, 0.02)
    y[7] *= 8.0
    before = dataset(rows, noisy(law(rows), rng, 0.02))
    once = check_regression(before, dataset(rows, y), rule="max slowdown > 100%")
    assert once.passed
    assert any("not counted, measure it again" in note for note in once.notes)
    again = dataset(pd.concat([rows, rows[7:8]], ignore_index=True), np.append(y, 1.02 * y[7]))
    assert not check_regression(before, again, rule="max slowdown > 100%").passed
    assert check_regression(before, again, rule="p90 slowdown > 10%").passed
    assert not check_regression(before, dataset(rows, y), rule="max slowdown > 100%", noise_pct=3.0).passed


def test_blocks_that_a_store_folded_into_a_row_are_repetitions() -> None:
    rng = np.random.default_rng(15)
    rows = SPACE.sample(20, rng)
    y = noisy(law(rows), rng, 0.02)
    y[7] *= 8.0
    before = dataset(rows, noisy(law(rows), rng, 0.02))
    blocks = pd.DataFrame({"blocks_ok": [2 if row == 7 else 1 for row in range(20)]})
    assert check_regression(before, dataset(rows, y), rule="max slowdown > 100%").passed
    assert not check_regression(before, replace(dataset(rows, y), notes=blocks), rule="max slowdown > 100%").passed


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_machine_does_not_fail_an_unchanged_version(seed: int) -> None:
    rng = np.random.default_rng(14 + seed)
    rows = SPACE.sample(20, rng)
    y = noisy(law(rows), rng)
    y[[2, 9, 15]] *= (1.9, 5.2, 2.3)
    check = check_regression(dataset(rows, noisy(law(rows), rng)), dataset(rows, y), seed=seed)
    assert check.passed and check.suspects == ()
    assert check.common_factor == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_machine_hides_no_lost_optimisation(seed: int) -> None:
    rng = np.random.default_rng(40 + seed)
    rows = SPACE.sample(20, rng)
    before, after = noisy(law(rows), rng), noisy(law(rows, is_off=True), rng)
    before[4] *= 7.0
    after[[11, 17]] *= (3.0, 9.0)
    check = check_regression(dataset(rows, before), dataset(rows, after), seed=seed)
    assert not check.passed
    assert check.suspects[0].options == ("optimisation",)
    assert check.suspects[0].factors["all"] == pytest.approx(np.exp(0.4), abs=0.2)
    assert sum("stands out" in note for note in check.notes) == 3


def test_rows_that_are_known_to_be_noisy_count_less() -> None:
    rng = np.random.default_rng(20)
    rows = SPACE.sample(20, rng)
    se = np.where(np.arange(20) % 2, 0.5, 0.01)
    after = 1.2 * law(rows) * np.exp(se * np.abs(rng.standard_normal(20)))
    known = replace(dataset(rows, after), log_se={TIME.name: se})
    before = dataset(rows, law(rows))
    found, told = check_regression(before, dataset(rows, after)), check_regression(before, known)
    assert told.common_factor is not None and found.common_factor is not None
    assert told.common_factor == pytest.approx(1.2, abs=0.02)
    assert abs(told.common_factor - 1.2) < abs(found.common_factor - 1.2)
    assert (told.clauses[0].upper_pct - told.clauses[0].lower_pct) < 10.0
    # It is the difference that counts: noise of the old version is noise as well.
    swapped = check_regression(known, before, rule="p90 speedup > 10%")
    assert swapped.common_factor == pytest.approx(1 / 1.2, abs=0.02)


def test_what_exceeds_a_known_noise_counts() -> None:
    rng = np.random.default_rng(4)
    rows = SPACE.sample(24, rng)
    before, after = dataset(rows, law(rows)), dataset(rows, noisy(law(rows), rng, 0.3))
    assert check_regression(before, after, rule="p90 slowdown > 20%", confidence=0.9).passed
    assert not check_regression(before, after, rule="p90 slowdown > 20%", confidence=0.9, noise_pct=1.0).passed


def test_slower_means_worse_whichever_direction_is_better() -> None:
    throughput = Property("throughput", "", "maximise")
    rng = np.random.default_rng(5)
    rows = SPACE.sample(20, rng)
    before, after = (dataset(rows, noisy(factor / law(rows), rng, 0.01), throughput) for factor in (1.0, 0.7))
    assert not check_regression(before, after, rule="median slowdown > 30%").passed
    assert not check_regression(before, after, rule="median decrease > 25%").passed
    assert check_regression(before, after, rule="median increase > 1%").passed
    assert check_regression(after, before, rule="median slowdown > 1%").passed
    assert not check_regression(after, before, rule="median speedup > 30%").passed


def test_the_best_configurations_are_compared_with_each_other() -> None:
    rng = np.random.default_rng(6)
    rows = pd.concat(SPACE.enumerate(), ignore_index=True)
    slow = law(rows) * np.where(numbers(rows, "threads") == 1, 3.0, 1.0)
    before, after = dataset(rows, law(rows)), dataset(rows, noisy(slow, rng, 0.01))
    assert check_regression(before, after, rule="best slowdown > 5%").passed
    assert not check_regression(before, after, rule="max slowdown > 150%").passed


def test_configurations_that_no_longer_run_are_counted_and_named() -> None:
    rng = np.random.default_rng(7)
    rows = SPACE.sample(20, rng)
    status = np.full(20, "ok", dtype="U9")
    status[:2] = "failed"
    after = replace(dataset(rows, noisy(law(rows), rng, 0.01)), status=status)
    before = dataset(rows, law(rows))
    assert check_regression(before, after).passed
    check = check_regression(before, after, rule="failures > 1")
    assert not check.passed and len(check.failures) == 2
    assert "no longer runs: threads=" in str(check)
    assert check_regression(before, after, rule="failures > 10%").passed


def test_the_share_of_failures_is_of_what_used_to_run() -> None:
    rows = pd.concat(SPACE.enumerate(), ignore_index=True)
    status = np.full(36, "ok", dtype="U9")
    status[[0, 1, 30]] = "failed"
    after = replace(dataset(rows, law(rows)), status=status)
    check = check_regression(dataset(rows[:12], law(rows[:12])), after, rule="failures > 10%")
    assert check.clauses[0].estimate_pct == pytest.approx(100 * 2 / 12)
    assert not check.passed and len(check.failures) == 2


@pytest.mark.parametrize("n_left", [0, 3])
def test_a_version_that_hardly_runs_fails_by_its_failures(n_left: int) -> None:
    rows = SPACE.sample(20, np.random.default_rng(14))
    status = np.full(20, "failed", dtype="U9")
    status[:n_left] = "ok"
    before, after = dataset(rows, law(rows)), replace(dataset(rows, law(rows)), status=status)
    check = check_regression(before, after, rule="p90 slowdown > 10% or failures > 50%")
    assert not check.passed and check.n_configurations == 20 and len(check.failures) == 20 - n_left
    assert check.reason.startswith("rule 'p90 slowdown > 10% or failures > 50%' holds with probability 1.00 over 20")
    assert f"{n_left} configuration(s) ran in the new version" in check.notes[0]
    root = ET.fromstring(junit_xml([check]))  # noqa: S314  # written a line above
    assert root.attrib["failures"] == "1"
    assert json.loads(json.dumps(check.to_dict(), allow_nan=False))["common_factor"] is None
    for open_rule in ("p90 slowdown > 10%", "failures > 50% and p90 slowdown > 10%", "failures > 100%"):
        with pytest.raises(NotEnoughDataError, match="at least 4"):
            check_regression(before, after, rule=open_rule)


def test_rules_join_clauses() -> None:
    rng = np.random.default_rng(8)
    rows = SPACE.sample(20, rng)
    before, after = dataset(rows, law(rows)), dataset(rows, noisy(1.2 * law(rows), rng, 0.01))
    assert not check_regression(before, after, rule="median slowdown > 50% or median slowdown > 10%").passed
    assert check_regression(before, after, rule="median slowdown > 50% and median slowdown > 10%").passed
    assert [result.clause for result in check_regression(before, after, rule="failures > 0 or slowdown > 50%").clauses]


def test_new_configurations_are_left_out_or_predicted() -> None:
    rng = np.random.default_rng(9)
    rows = pd.concat(SPACE.enumerate(), ignore_index=True)
    before, after = dataset(rows[:24], law(rows[:24])), dataset(rows[4:], noisy(law(rows[4:]), rng, 0.02))
    check = check_regression(before, after)
    assert check.passed and check.n_configurations == 20
    assert any("12 configurations of the new version were not measured before" in note for note in check.notes)
    apart = check_regression(dataset(rows[::2], law(rows[::2])), dataset(rows[1::2], law(rows[1::2])))
    assert apart.n_configurations == 18
    assert any("the old version is predicted" in note for note in apart.notes)


def test_replicates_are_averaged() -> None:
    rows = SPACE.sample(10, np.random.default_rng(10))
    twice = pd.concat([rows, rows], ignore_index=True)
    y = np.concatenate([law(rows) * 1.1, law(rows) / 1.1])
    assert check_regression(dataset(rows, law(rows)), dataset(twice, y)).common_factor == pytest.approx(1.0, abs=0.03)


def test_a_pair_is_named_with_the_level_of_each_option() -> None:
    rows = pd.concat(SPACE.enumerate(), ignore_index=True)
    rng = np.random.default_rng(15)
    exactly_one = numbers(rows, "spinning") != numbers(rows, "arena")
    after = noisy(law(rows) * np.exp(0.7 * exactly_one), rng, 0.02)
    check = check_regression(dataset(rows, noisy(law(rows), rng, 0.02)), dataset(rows, after))
    pair = next(suspect for suspect in check.suspects if len(suspect.options) == 2)
    assert set(pair.options) == {"spinning", "arena"}
    levels = f"{pair.options[0]}=on, {pair.options[1]}=off"
    assert pair.factors[levels] == pytest.approx(2.0, rel=0.2)
    assert f"{levels}: ×{pair.factors[levels]:.2f}" in str(check)
    # Said once: what failed is the failure's text.
    assert junit_xml([check]).count(levels) == 1


def test_junit_xml_is_well_formed_whatever_is_in_it() -> None:
    rng = np.random.default_rng(11)
    rows = SPACE.sample(20, rng)
    good = check_regression(dataset(rows, law(rows)), dataset(rows, noisy(law(rows), rng)))
    bad = replace(
        check_regression(dataset(rows, law(rows)), dataset(rows, noisy(2 * law(rows), rng))),
        rule='<&"\x00\x1b]]>',
        notes=("null \x00, bell \x07, half a pair \ud800",),
    )
    text = junit_xml([good, bad], suite="upgrade <2>")
    root = ET.fromstring(text)  # noqa: S314  # written a line above
    assert root.attrib == {"name": "upgrade <2>", "tests": "2", "failures": "1", "errors": "0"}
    cases = root.findall("./testsuite/testcase")
    assert cases[0].find("failure") is None
    failure = cases[1].find("failure")
    assert failure is not None and failure.text is not None and failure.text.startswith("FAILED")
    assert text.encode("utf-8")


def test_the_result_survives_json_and_html() -> None:
    rng = np.random.default_rng(12)
    rows = SPACE.sample(20, rng)
    check = check_regression(dataset(rows, law(rows)), dataset(rows, noisy(law(rows, is_off=True), rng)))
    assert json.loads(json.dumps(check.to_dict(), allow_nan=False))["passed"] is False
    assert "p90 slowdown &gt; 10%" in check._repr_html_()
    assert list(check.table()["clause"]) == ["p90 slowdown > 10%"]


def test_bad_input_is_refused() -> None:
    rows = SPACE.sample(20, np.random.default_rng(13))
    before = dataset(rows, law(rows))
    with pytest.raises(UsageError, match=r"between 0\.5 and 1"):
        check_regression(before, before, confidence=1.0)
    with pytest.raises(UsageError, match="no property"):
        check_regression(before, before, property="energy_j")
    with pytest.raises(NotEnoughDataError, match="at least 4"):
        check_regression(before, before.take([0, 1]))
    other = Space([Option(name="threads", type="ordinal", values=(1, 2, 4))])
    short = Dataset.from_frame(rows[["threads"]].assign(inference_time_s=1.0), properties=[TIME], space=other)
    with pytest.raises(UsageError, match="differ in the option"):
        check_regression(short, before)
    in_ms = dataset(rows, 1000 * law(rows), Property(TIME.name, "ms"))
    with pytest.raises(UsageError, match="is in ms before and in s now"):
        check_regression(in_ms, before)
    two = Dataset.from_frame(
        rows.assign(inference_time_s=1.0, energy_j=1.0), properties=["inference_time_s", "energy_j"], space=SPACE
    )
    with pytest.raises(UsageError, match="give property="):
        check_regression(two, two)
