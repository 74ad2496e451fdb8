import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console, RenderableType
from tests.unit.report.samples import sample_choice, sample_report

from perfport.data.environment import Environment
from perfport.data.measurement import Property
from perfport.report.content import Comparison, ErrorRow, Estimate, Missing, ReportData, ReportedEnvironment
from perfport.report.terminal import (
    show_absent,
    show_comparison,
    show_environments,
    show_measuring,
    show_recommendation,
    show_report,
    show_rows,
    show_verdict,
)
from perfport.transfer.verdict import Verdict

MARKUP = "[red]board[/red] [/]"


def printed(part: RenderableType, *, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, color_system=None)
    console.print(part)
    return console.export_text()


def unwrapped(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_report_fits_the_width(width: int) -> None:
    long = "a-board-with-a-name-that-nobody-can-remember-and-nobody-should-have-to-" * 2
    report = sample_report()
    assert isinstance(report.environments, tuple)
    environments = tuple(
        dataclasses.replace(given, environment=dataclasses.replace(given.environment, name=long))
        for given in report.environments
    )
    for data in (report, dataclasses.replace(report, environments=environments)):
        assert max(map(len, printed(show_report(data), width=width).splitlines())) <= width


def test_all_parts_are_there_and_the_answer_comes_last() -> None:
    text = unwrapped(printed(show_report(sample_report())))
    places = [
        text.index(part)
        for part in (
            "What differs",
            "How it was measured",
            "energy_j absent, because",
            "Errors of each strategy",
            "The sources helped",
            "Settings",
            "Set intra_threads = 2",
        )
    ]
    assert places == sorted(places)
    assert text.endswith("The verifying measurement lies inside the predicted 90 % interval.")


def test_environments_show_only_what_differs() -> None:
    environments = sample_report().environments
    assert isinstance(environments, tuple)
    text = printed(show_environments(environments))
    assert "32.0 GB" in text and "8.00 GB" in text
    assert "aarch64" not in text
    assert "7 more facts are the same." in text
    assert "do not differ in any of their 12 facts" in printed(show_environments(environments[:1] * 2))


def test_the_noise_floor_stands_beneath_the_errors() -> None:
    comparison = sample_report().comparison
    assert not isinstance(comparison, Missing)
    lines = [line.split() for line in printed(show_comparison(comparison)).splitlines() if line.strip()]
    assert lines[-1] == ["noise", "floor:", "measured", "again", "2.9", "%", "1.8", "%", "0.997", "8"]
    assert ["auto", "(used)", "6.1", "%", "4.4", "%", "0.983", "30"] in lines
    without = Comparison((ErrorRow("direct", 61.0, 60.0, None, 30),), "auto", 10)
    assert "noise floor left out: no configuration was measured twice" in printed(show_comparison(without))


def test_outcomes_that_are_not_ok_come_with_their_reasons() -> None:
    environments = sample_report().environments
    assert isinstance(environments, tuple)
    text = unwrapped(printed(show_measuring(environments)))
    assert "ocr-large (target): 2 × not enough memory for batch 4" in text
    imported = ReportedEnvironment(Environment("old"), "source", Missing("it was imported"))
    assert "not known: it was imported" in unwrapped(printed(show_measuring([imported])))


def test_the_recommendation_shows_prediction_verification_and_gain() -> None:
    lines = [line.strip() for line in printed(show_recommendation(sample_report())).splitlines()]
    assert "predicted  12.4 ms (11.2 ms to 13.9 ms), 90 % interval" in lines
    assert "verified   12.1 ms (11.9 ms to 12.3 ms)" in lines
    assert "default    22.1 ms (21.8 ms to 22.6 ms)" in lines
    assert "gain       1.83× (1.77× to 1.90×)" in lines


def test_a_gain_within_the_noise_is_called_so() -> None:
    choice = dataclasses.replace(sample_choice(), default_measured=Estimate(0.0122))
    text = printed(show_recommendation(dataclasses.replace(sample_report(), recommendation=choice)))
    assert "1.01×, within the noise" in text
    unverified = dataclasses.replace(sample_choice(), verified=Missing("there was no time"))
    text = printed(show_recommendation(dataclasses.replace(sample_report(), recommendation=unverified)))
    assert "verified   there was no time" in text and "gain" not in text


def test_a_report_of_nothing_is_short() -> None:
    report = sample_report()
    text = printed(show_report(ReportData("Nothing yet", report.created, report.property)))
    assert "comparison left out: no target rows were measured" in unwrapped(text)
    assert "No recommendation: no configuration was recommended." in text


def test_brackets_in_texts_of_users_are_no_markup() -> None:
    report = sample_report()
    hostile = dataclasses.replace(
        report,
        environments=(
            ReportedEnvironment(Environment(MARKUP, {MARKUP: MARKUP}), "source", Missing(MARKUP)),
            ReportedEnvironment(Environment(MARKUP), "target"),
        ),
        absent={MARKUP: MARKUP},
        comparison=Comparison((ErrorRow(MARKUP, 1.0, 1.0, 1.0, 1),), "auto", 1, Missing(MARKUP)),
        verdict=Verdict("no help", notes=(MARKUP,)),
        recommendation=dataclasses.replace(sample_choice(), configuration={MARKUP: MARKUP}, verified=Missing(MARKUP)),
    )
    text = printed(show_report(hostile), width=200)
    assert text.count("[red]") == text.count("[/]") > 8


def test_a_verdict_lists_its_notes() -> None:
    text = printed(show_verdict(Verdict("helped", {}, 5.0, 10.0, ("one row was dropped",))))
    assert text.splitlines() == [
        "The sources helped: estimated error 5.0 %, against 10.0 % from the target rows ",
        "alone.",
        "  note: one row was dropped",
    ]
    assert printed(show_absent({"energy_j": "there is no counter"})) == "energy_j absent, because there is no counter\n"


def test_rows_say_how_they_ended_where_there_is_no_number() -> None:
    status = np.array(["ok", "timed_out", "timed_out", "failed", "ok"])
    values = np.array([0.5, 2.0, np.nan, 0.0, np.nan])
    shown = show_rows(pd.DataFrame({"threads": range(5)}), {"t_s": values}, Property("t_s", "s"), status=status)
    assert [line.split("  ")[-1].strip() for line in printed(shown).splitlines()[-5:]] == [
        *("500 ms", ">= 2.00 s", "timed out", "failed", "not measured"),
    ]
