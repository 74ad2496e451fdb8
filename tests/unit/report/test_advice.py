"""Explanations and comparisons as figures, as a page and on the terminal."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console, RenderableType
from tests.unit.report.samples import TIME, sample_changes, sample_curve

from perfport.advise.comparison.result import KINDS
from perfport.advise.influences.explanation import Explanation, Influence
from perfport.report.advice_figures import change_text, curve_limits, curve_text, draw_changes, draw_curve
from perfport.report.advice_terminal import show_changes, show_explanation
from perfport.report.comparison_page import comparison_headline, render_comparison, write_comparison_page
from perfport.report.figures import figure_json

HOSTILE = "[red]<script>alert('1')</script>"


def printed(shown: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def sample_explanation() -> Explanation:
    return Explanation(
        property=TIME,
        scale="log",
        influences=(
            Influence(("intra_threads",), 0.7, 0.6, 0.8, 1.3),
            Influence(("intra_threads", "spinning"), 0.2, 0.1, 0.3, 1.1),
            Influence(("arena",), 0.001, 0.0, 0.01, 1.0),
        ),
        remainder=0.05,
        curves=(sample_curve(), replace(sample_curve(), option="arena")),
        formula="inference_time_s = 0.02 / intra_threads",
        formula_share=0.93,
        n_configurations=96,
        is_exact=True,
        coverage=0.9,
        interval_origin="50 refits",
    )


def test_every_kind_has_its_own_colour_and_symbol() -> None:
    targets = [trace for trace in draw_changes(sample_changes()).data if str(trace.name).startswith("ocr-large")]
    assert [trace.name.split(": ")[1] for trace in targets] == list(KINDS)
    assert (
        len({trace.marker.color for trace in targets}) == len({trace.marker.symbol for trace in targets}) == len(KINDS)
    )


def test_an_influence_that_flips_lies_beyond_zero_with_its_interval() -> None:
    (flips,) = [trace for trace in draw_changes(sample_changes()).data if str(trace.name).endswith("flips")]
    assert flips.x[0] == pytest.approx(-15.7)
    assert flips.x[0] + flips.error_x.array[0] == pytest.approx(-12.8)
    assert flips.x[0] - flips.error_x.arrayminus[0] == pytest.approx(-18.9)
    low, high = draw_changes(sample_changes()).layout.xaxis.range
    assert low < -18.9 and high > 31.5


def test_the_words_beside_the_picture() -> None:
    texts = [change_text(change) for change in sample_changes().influences]
    assert texts == [
        "stays",
        "scales ×0.42 (0.35 to 0.50)",
        "flips ×-0.80 (-0.95 to -0.66)",
        "vanishes",
        "reshapes",
        "appears",
    ]
    assert comparison_headline(sample_changes()).startswith("Of 6 influences 1 stays the same, 1 scales, 1 flips")
    nothing = replace(sample_changes(), influences=())
    assert comparison_headline(nothing) == "No option has an influence in either environment."


def test_a_curve_has_its_intervals_and_shares_its_axis() -> None:
    curves = [sample_curve(), replace(sample_curve(0.1, has_interval=False), option="other")]
    limits = curve_limits(curves)
    assert limits == pytest.approx((0.002, 0.039))
    figure = draw_curve([("ocr-large", "target", curves[0])], TIME, limits=limits)
    (trace,) = figure.data
    assert trace.y + trace.error_y.array == pytest.approx([0.039, 0.023])
    assert trace.y - trace.error_y.arrayminus == pytest.approx([0.033, 0.018])
    other = draw_curve([("ocr-large", "target", curves[1])], TIME, limits=limits)
    assert figure.layout.yaxis.range == other.layout.yaxis.range and figure.layout.yaxis.type == "log"
    assert curve_text(sample_curve(), "s") == "1: 36.0 ms (33.0 ms to 39.0 ms), 2: 20.0 ms (18.0 ms to 23.0 ms)"


@pytest.mark.parametrize("limits", [(0.02, 0.02), (0.02, 0.021), (-1.0, 2.0), (0.0, 1.0)])
def test_short_and_negative_ranges_have_a_linear_axis_with_ticks(limits: tuple[float, float]) -> None:
    axis = draw_curve([("here", "target", sample_curve())], TIME, limits=limits).layout.yaxis
    assert axis.type is None and axis.range[0] < limits[0] <= limits[1] < axis.range[1]
    assert 2 <= len(axis.tickvals) <= 6


def test_texts_of_users_are_escaped_everywhere() -> None:
    changes = sample_changes(HOSTILE, HOSTILE)
    first = replace(changes.influences[0], options=(HOSTILE,))
    changes = replace(changes, influences=(first,), notes=(HOSTILE,), interval_origin=HOSTILE)
    curve = replace(sample_curve(), option=HOSTILE)
    for figure in (draw_changes(changes), draw_curve([(HOSTILE, "source", curve)], TIME, limits=(0.01, 1.0))):
        text = json.dumps(json.loads(figure_json(figure)))
        assert "<script" not in text and "&lt;script" in text
    page = render_comparison(changes, created=datetime(2026, 1, 31, tzinfo=UTC), command=HOSTILE)
    assert "<script>alert('1')" not in page
    # Rich would take "[red]" for a colour.
    assert HOSTILE[:5] in printed(show_changes(changes), 200)


def test_the_page_has_the_picture_the_table_and_the_ranks(tmp_path: Path) -> None:
    page = write_comparison_page(sample_changes(), tmp_path / "changes.html", command="perfport compare a b")
    text = page.read_text(encoding="utf-8")
    assert 'data-figure="figure-changes"' in text
    for said in ("scales ×0.42 (0.35 to 0.50)", "execution_mode × inter_threads", "40 <span", "1 of 21 rows dropped"):
        assert said in text
    empty = render_comparison(
        replace(sample_changes(), influences=(), ranks=(), n_target_rows=None),
        created=datetime(2026, 1, 31, tzinfo=UTC),
    )
    assert "No rank changed" in empty and "Changes left out" in empty


def test_changes_fit_eighty_columns() -> None:
    text = printed(show_changes(sample_changes()))
    assert max(map(len, text.splitlines())) <= 80
    assert "spinning" in text and "flips ×-0.80" in text and "97%" in text
    assert "In all of them: intra_threads=1." in text
    assert "1.90× the inference time" in text
    unsure = replace(
        sample_changes(), influences=(replace(sample_changes().influences[0], target_interval_pct=None),), ranks=()
    )
    assert "–" in printed(show_changes(unsure))


def test_explanations_fit_eighty_columns() -> None:
    text = printed(show_explanation(sample_explanation()))
    assert max(map(len, text.splitlines())) <= 80
    for said in ("intra_threads × spinning", "60 % to 80 %", "1: 36.0", "Below 0.5 % each: 1 more", "50 refits"):
        assert said in text
    silent = replace(sample_explanation(), influences=(Influence(("arena",), 0.9, None, None, 1.0),))
    assert "not known" in printed(show_explanation(silent)) and "No intervals: 50 refits" in printed(
        show_explanation(silent)
    )


def test_long_curves_are_thinned_out_and_keep_their_ends() -> None:
    n = 40
    curve = replace(
        sample_curve(),
        levels=tuple(range(n)),
        responses=tuple(0.01 + 0.001 * i for i in range(n)),
        lower=None,
        upper=None,
    )
    text = printed(show_explanation(replace(sample_explanation(), curves=(curve,))), 400)
    assert "0: 10.0" in text and "39: 49.0" in text and text.count("ms") == 8
