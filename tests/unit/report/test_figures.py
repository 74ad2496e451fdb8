import dataclasses
import json
import math

import numpy as np
import pytest
from tests.unit.report.samples import TIME, sample_choice, sample_configurations, sample_predictions, sample_report

from perfport.data.measurement import Property
from perfport.report.content import (
    Choice,
    Comparison,
    EnvironmentInfluences,
    ErrorRow,
    Estimate,
    Influence,
    LearningCurve,
    Missing,
    Predictions,
)
from perfport.report.figures import (
    draw_choice,
    draw_comparison,
    draw_influences,
    draw_learning_curves,
    draw_predictions,
    figure_json,
    shown_rows,
)

HOSTILE = "<script>alert('1')</script>"


def texts(figure: object) -> str:
    return json.dumps(json.loads(figure_json(figure)), ensure_ascii=False)


def test_fitted_rows_are_told_apart_by_symbol_and_not_by_colour_alone() -> None:
    figure = draw_predictions(sample_predictions(40, 10), TIME)
    unseen, fitted = (next(t for t in figure.data if t.name == name) for name in ("not seen by the model", "fitted on"))
    assert (len(unseen.x), len(fitted.x)) == (30, 10)
    assert unseen.marker.symbol != fitted.marker.symbol
    assert unseen.marker.color != fitted.marker.color


def test_both_axes_are_logarithmic_have_equal_limits_and_name_the_unit_at_every_tick() -> None:
    layout = draw_predictions(sample_predictions(), TIME).layout
    assert layout.xaxis.type == layout.yaxis.type == "log"
    assert layout.xaxis.range == layout.yaxis.range
    assert all(text.endswith("ms") for text in layout.xaxis.ticktext)
    assert 3 <= len(layout.xaxis.ticktext) <= 7
    assert "measured inference time" in layout.xaxis.title.text


def test_error_bars_span_the_interval() -> None:
    given = sample_predictions(5, 0)
    (trace,) = [trace for trace in draw_predictions(given, TIME).data if trace.name == "not seen by the model"]
    assert given.upper is not None and given.lower is not None
    assert trace.y + trace.error_y.array == pytest.approx(given.upper)
    assert trace.y - trace.error_y.arrayminus == pytest.approx(given.lower)
    without = dataclasses.replace(given, lower=None, upper=None)
    assert draw_predictions(without, TIME).data[-1].error_y.array is None


def test_hovering_shows_the_configuration_in_its_units() -> None:
    given = sample_predictions(3, 0)
    hover = draw_predictions(given, TIME, units={"cpu_freq_hz": "Hz"}).data[-1].hovertext[0]
    lines = hover.split("<br>")
    assert lines[0].startswith("measured ") and lines[1].startswith("predicted ")
    assert {line.split(" = ")[0] for line in lines[2:]} == set(given.configurations.columns)
    assert lines[-1].endswith("GHz") or lines[-1].endswith("MHz")


def test_very_many_points_are_thinned_but_no_fitted_row_is_lost() -> None:
    n = 5000
    ones = np.ones(n)
    given = Predictions(sample_configurations(n), ones, ones, np.arange(n) >= n - 7)
    rows = shown_rows(given)
    assert len(rows) == 2007 == len(set(rows))
    assert set(range(n - 7, n)) <= set(rows)
    assert len(shown_rows(sample_predictions())) == 40


def test_influences_are_drawn_with_share_arrow_and_interval() -> None:
    influences = sample_report().influences
    assert not isinstance(influences, Missing)
    source, source_labels, target, target_labels = draw_influences(influences).data
    assert {"34 % ↓", "not listed"} <= {text.strip() for text in source_labels.text}
    assert "18 % ↑" in {text.strip() for text in target_labels.text}
    assert target.x[0] + target.error_x.array[0] == pytest.approx(47) == target_labels.x[0]
    assert not any(source.error_x.array)
    assert target.hovertext[0] == "intra_threads: 41 % ↓ (35 % to 47 %), 1 to 2: 36 ms to 20 ms"


def test_every_environment_has_its_own_colour() -> None:
    terms = (Influence(("threads",), 0.5),)
    given = [EnvironmentInfluences(name, "target" if name == "c" else "source", terms) for name in ("a", "b", "c", "d")]
    bars = [trace for trace in draw_influences(given).data if trace.type == "bar"]
    assert len({bar.marker.color for bar in bars}) == 4


def test_no_more_influences_are_drawn_than_asked_for() -> None:
    many = tuple(Influence((f"option{index}",), 1 / (index + 2)) for index in range(40))
    figure = draw_influences([EnvironmentInfluences("board", "target", many)], n_terms=5)
    assert len(figure.data[0].x) == 5


def test_the_strategy_in_use_stands_out_and_the_noise_floor_is_drawn() -> None:
    comparison = sample_report().comparison
    assert not isinstance(comparison, Missing)
    figure = draw_comparison(comparison)
    colours = list(figure.data[0].marker.color)
    assert colours.count(colours[0]) == 1
    assert figure.data[1].name == "noise floor 2.9 %"
    without = draw_comparison(dataclasses.replace(comparison, replicate=Missing("nothing measured twice")))
    assert len(without.data) == 1


def test_a_learning_curve_shows_the_noise_floor_within_its_limits() -> None:
    curves = [LearningCurve("auto", (3, 10), (20.0, 6.0)), LearningCurve("direct", (3, 10), (61.0, 61.0))]
    figure = draw_learning_curves(curves, noise_floor_pct=2.0)
    assert [trace.name for trace in figure.data] == ["auto", "direct", "noise floor 2.0 %"]
    assert len({trace.line.dash for trace in figure.data[:2]}) == 2
    lower, upper = figure.layout.yaxis.range
    assert 10**lower < 2.0 and 10**upper > 61.0


def test_the_choice_is_drawn_on_a_scale_from_zero_that_holds_every_interval() -> None:
    figure = draw_choice(sample_choice(), TIME)
    assert len(figure.data) == 3
    assert figure.layout.xaxis.range[0] == 0 and figure.layout.xaxis.range[1] > 0.0226
    assert figure.layout.xaxis.ticktext[:2] == ("0", "5 ms")
    alone = Choice({}, {}, Estimate(1.0))
    assert len(draw_choice(alone, TIME).data) == 1


def test_text_of_users_is_escaped_for_the_subset_of_html_that_plotly_reads() -> None:
    hostile_name = Property(HOSTILE, "s")
    frame = sample_configurations(2).rename(columns={"arena": HOSTILE})
    ones = np.ones(2)
    drawn = [
        draw_predictions(Predictions(frame, ones, ones, ones < 0), hostile_name),
        draw_influences([EnvironmentInfluences(HOSTILE, "target", (Influence((HOSTILE,), 0.5, "mixed", HOSTILE),))]),
        draw_comparison(Comparison((ErrorRow(HOSTILE, 1.0, 1.0, None, 2),), HOSTILE, 1)),
        draw_learning_curves([LearningCurve(HOSTILE, (1,), (1.0,))]),
        draw_choice(Choice({}, {}, Estimate(1.0)), hostile_name),
    ]
    for figure in drawn:
        assert "&lt;script&gt;" in texts(figure)
        assert "<script>" not in texts(figure)


def test_json_of_a_figure_may_stand_inside_a_script_element() -> None:
    assert not set("<>&") & set(figure_json(draw_predictions(sample_predictions(), TIME)))


@pytest.mark.parametrize("span", [1.0, 1.05, 3.0, 80.0, 1e4, 1e12])
def test_any_span_of_responses_gets_a_readable_axis(span: float) -> None:
    measured = np.array([0.01, 0.01 * span])
    figure = draw_predictions(Predictions(sample_configurations(2), measured, measured, measured < 0), TIME)
    axis = figure.layout.xaxis
    assert len(axis.ticktext) == len(axis.tickvals) == len(set(axis.ticktext))
    assert 1 <= len(axis.ticktext) <= 7
    assert axis.range[0] <= math.log10(axis.tickvals[0]) <= math.log10(axis.tickvals[-1]) <= axis.range[1]


def test_figures_have_no_fixed_width() -> None:
    figure = draw_choice(sample_choice(), TIME)
    assert figure.layout.width is None and figure.layout.autosize
