import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report.samples import TIME, sample_choice, sample_predictions, sample_report

from perfport.advise.recommendation.goals import parse_goal
from perfport.advise.recommendation.tradeoff import Expected, Offer, TradeOff
from perfport.data.measurement import Property
from perfport.report.content import Choice, Estimate, Missing, ReportData
from perfport.report.wording import (
    changed_options,
    fact_label,
    format_configuration,
    format_duration,
    format_fact,
    format_factor,
    format_pct,
    format_share,
    gain_over_default,
    headline,
    interval_sentence,
    is_settled,
    property_label,
    verdict_sentence,
    verification_sentence,
)
from perfport.space.options import Level
from perfport.transfer.verdict import Verdict

THROUGHPUT = Property("throughput_hz", "Hz", "maximise")


def report(**changes: object) -> ReportData:
    return dataclasses.replace(sample_report(), recommendation=dataclasses.replace(sample_choice(), **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prop", "label"),
    [
        (TIME, "inference time"),
        (Property("energy_j", "J"), "energy"),
        (Property("cpu_freq_hz", "Hz"), "cpu freq"),
        (Property("score"), "score"),
        (Property("loss", "%"), "loss"),
    ],
)
def test_a_property_is_named_without_its_unit(prop: Property, label: str) -> None:
    assert property_label(prop) == label


def test_configurations_read_as_people_write_them() -> None:
    configuration: dict[str, Level | None] = {"pin": True, "mode": "<b>", "batch": None, "clock": 1_300_500_000}
    assert format_configuration(configuration, {"clock": "Hz"}) == [
        "pin = on",
        "mode = <b>",
        "batch = inactive",
        "clock = 1.30 GHz",
    ]


def test_numbers_keep_the_digits_that_mean_something() -> None:
    assert [format_pct(value) for value in (0.0, 0.034, 6.12, 99.94, 145.2)] == [
        "0.0 %",
        "0.034 %",
        "6.1 %",
        "99.9 %",
        "145 %",
    ]
    assert [format_share(value) for value in (0.0, 0.002, 0.344, 1.0)] == ["0 %", "0.2 %", "34 %", "100 %"]
    assert [format_factor(value) for value in (0.5, 1.829, 14.31)] == ["0.50×", "1.83×", "14.3×"]
    assert [format_duration(value) for value in (4.26, 41.4, 59.7, 192, 7530)] == [
        "4.3 s",
        "41 s",
        "1 min 0 s",
        "3 min 12 s",
        "2 h 5 min",
    ]


def test_facts_are_shown_in_the_unit_their_name_ends_in() -> None:
    assert (fact_label("memory_bytes"), format_fact("memory_bytes", 8_000_000_000)) == ("memory", "8.00 GB")
    assert format_fact("cores", 4) == "4"
    assert format_fact("virtual", True) == "yes"
    assert format_fact("governor", None) == "not stated"


def test_the_headline_says_what_to_set_what_it_measured_and_what_it_gains() -> None:
    assert headline(sample_report()) == (
        "Set intra_threads = 2, spinning = off and cpu_freq_hz = 1.60 GHz: measured inference time 12.1 ms, "
        "1.83× as fast as the default (22.1 ms)."
    )


def test_the_headline_names_few_settings() -> None:
    configuration = {f"option{index}": 1 for index in range(7)}
    text = headline(report(configuration=configuration, default=dict.fromkeys(configuration, 0)))
    assert text.startswith("Set option0 = 1, option1 = 1, option2 = 1, option3 = 1 and 3 more: ")


def test_the_headline_claims_no_gain_within_the_noise() -> None:
    text = headline(report(default_measured=Estimate(0.0123)))
    assert text == (
        "Keep the default (inference time 12.3 ms): the recommended configuration gains nothing beyond the noise "
        "(12.1 ms)."
    )


def test_the_headline_advises_the_default_when_the_recommendation_is_slower() -> None:
    text = headline(report(default_measured=Estimate(0.0100)))
    assert text == "Keep the default (inference time 10.0 ms): the recommended configuration measured 12.1 ms."


def test_the_headline_says_that_nothing_was_verified() -> None:
    text = headline(report(verified=Missing("stopped before")))
    assert text.endswith("predicted inference time 12.4 ms, not verified (stopped before).")


ENERGY = Property("energy_j", "J", "minimise")


def traded(*, objectives: str, n: int = 1, is_kept: bool = True) -> TradeOff:
    """Offers for a goal, the first of them the knee of several."""
    goal = parse_goal(f"inference_time_s <= 20 ms, {objectives}").bound([TIME, ENERGY])
    expected = (Expected(ENERGY, 0.4, 0.3, 0.5), Expected(TIME, 0.0182, 0.017, 0.019))
    offers = [Offer({"intra_threads": 2}, expected, 0.97, row == 0 and n > 1) for row in range(n)]
    return TradeOff(goal, tuple(offers), 0.9, is_kept, None)


def test_the_headline_serves_the_goal_and_names_it() -> None:
    choice = Choice({"intra_threads": 2}, {"intra_threads": 1}, Estimate(0.0182))
    data = dataclasses.replace(sample_report(), recommendation=choice, trade_off=traded(objectives="minimise energy"))
    assert headline(data) == (
        "Set intra_threads = 2 for 'inference_time_s <= 0.02 s, minimise energy_j': predicted energy 400 mJ, "
        "inference time 18.2 ms, not verified."
    )
    front = dataclasses.replace(data, trade_off=traded(objectives="minimise energy and inference_time_s", n=3))
    assert "the knee of 3 offers" in headline(front)
    missed = dataclasses.replace(data, trade_off=traded(objectives="minimise energy", is_kept=False))
    assert headline(missed).startswith("No configuration surely keeps the limits; this one comes nearest. Set ")


def test_the_headline_keeps_a_default_that_is_best() -> None:
    default = sample_choice().default
    assert headline(report(configuration=default)) == "Keep the default configuration: measured inference time 12.1 ms."


def test_the_headline_without_recommendation_gives_the_reason() -> None:
    nothing = dataclasses.replace(sample_report(), recommendation=Missing("no model could be fitted"))
    assert headline(nothing) == "No recommendation: no model could be fitted."


def test_the_headline_calls_nothing_but_time_fast() -> None:
    energy = dataclasses.replace(sample_report(), property=Property("energy_j", "J"))
    assert "1.83× better than the default (22.1 mJ)" in headline(energy)


def test_an_inactive_option_is_unchanged_however_it_is_written() -> None:
    choice = Choice({"a": None, "b": 2.0, "c": 1}, {"a": float("nan"), "b": 2}, Estimate(1.0))
    assert changed_options(choice) == {"c": 1}


def test_a_gain_is_above_one_whichever_way_is_better() -> None:
    choice = sample_choice()
    faster = gain_over_default(choice, TIME)
    fewer = gain_over_default(choice, THROUGHPUT)
    assert faster is not None and fewer is not None
    assert faster.value == pytest.approx(0.0221 / 0.01208)
    assert faster.interval == pytest.approx((0.0218 / 0.0123, 0.0226 / 0.0119))
    assert fewer.value == pytest.approx(0.01208 / 0.0221)
    assert gain_over_default(choice, Property("colour", direction="unclear")) is None
    assert gain_over_default(dataclasses.replace(choice, verified=Missing("stopped")), TIME) is None


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.floats(1e-3, 1e3))
def test_a_gain_does_not_depend_on_the_unit_and_inverts_when_the_two_are_exchanged(
    first: float, second: float, scale: float
) -> None:
    def gain(verified: float, default: float) -> float:
        choice = Choice({}, {}, Estimate(1.0), verified=Estimate(verified), default_measured=Estimate(default))
        found = gain_over_default(choice, TIME)
        assert found is not None
        return found.value

    assert gain(scale * first, scale * second) == pytest.approx(gain(first, second))
    assert gain(first, second) * gain(second, first) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("gain", "floor", "settled"),
    [
        (Estimate(1.5), 3.0, True),
        (Estimate(1.02), 3.0, False),
        (Estimate(1.02), None, True),
        (Estimate(0.5), 3.0, True),
        (Estimate(0.98), 3.0, False),
        (Estimate(1.5, 0.9, 2.0), 3.0, False),
        (Estimate(1.5, 1.1, 2.0), 3.0, True),
        (Estimate(1.0), None, False),
    ],
)
def test_a_gain_is_settled_only_beyond_both_kinds_of_noise(gain: Estimate, floor: float | None, settled: bool) -> None:
    assert is_settled(gain, floor) is settled


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (
            Verdict("helped", {}, 5.8, 17.4),
            "The sources helped: estimated error 5.8 %, against 17.4 % from the target rows alone.",
        ),
        (Verdict("no help"), "Whether the sources helped is not known; too few target rows to estimate the error."),
        (Verdict("no source", {}, 4.0, 4.0), "No source: estimated error 4.0 %."),
        (
            Verdict("harmful, not used", {}, 11.0),
            "The sources would have done harm and were not used: estimated error 11.0 %.",
        ),
    ],
)
def test_a_verdict_is_one_sentence(verdict: Verdict, sentence: str) -> None:
    assert verdict_sentence(verdict) == sentence


def test_a_verification_outside_the_interval_is_said() -> None:
    choice = sample_choice()
    assert "lies inside the predicted 90 % interval" in verification_sentence(choice)
    assert "outside" in verification_sentence(dataclasses.replace(choice, verified=Estimate(0.02)))
    assert "no interval" in verification_sentence(dataclasses.replace(choice, predicted=Estimate(0.02)))
    assert verification_sentence(dataclasses.replace(choice, verified=Missing("stopped"))) == "Not verified: stopped."


def test_intervals_are_judged_on_unseen_rows() -> None:
    assert "of the 30 rows the model had not seen lie inside their 90 % interval" in interval_sentence(
        sample_predictions(40, 10)
    )
    assert interval_sentence(sample_predictions(10, 10)) == ""
    without = dataclasses.replace(sample_predictions(), lower=None, upper=None)
    assert interval_sentence(without) == "The model gives no intervals."
