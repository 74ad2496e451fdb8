import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tests.unit.study.samples import Broken, environments, spec
from tests.unit.study.test_summary import METHODS, result

from perfport.report.study_figures import (
    draw_each_strategy,
    draw_ranks,
    draw_study_curves,
    shown_methods,
    strategy_methods,
)
from perfport.report.study_markdown import markdown_table, study_markdown
from perfport.report.study_page import render_study, write_study_page
from perfport.report.study_rows import cost_sentence, method_rows, study_headline, units_sentence
from perfport.report.study_terminal import show_study
from perfport.study.run import run_study
from perfport.study.summary import StudySummary, summarise

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SUMMARY = summarise(result(dict(zip(METHODS, (1.0, 4.0, 2.0), strict=True))))


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> StudySummary:
    folder = tmp_path_factory.mktemp("nothing")
    return summarise(run_study(spec(budgets=[500]), folder, data=environments, strategies={"<broken>": Broken()}))


def page(summary: StudySummary) -> str:
    return render_study(summary, spec(title="A & B"), created=NOW, command="perfport study x.yaml")


def terminal(summary: StudySummary, width: int = 80) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(show_study(summary))
    return console.export_text()


def test_the_headline_is_the_answer() -> None:
    assert study_headline(SUMMARY) == (
        "auto has the least error over 10 tasks: 4.5 % from 10, 2.3 % from 40 target rows. "
        "No other method is in its group."
    )


def test_methods_that_cannot_be_told_from_the_best_are_named() -> None:
    same = summarise(result(dict.fromkeys(METHODS, 1.0)))
    assert study_headline(same).endswith("cannot be told from it.")


def test_rows_hold_errors_and_the_comparison_with_the_baseline() -> None:
    first, second, third = method_rows(SUMMARY)
    assert (first.method, first.rank, first.by_budget, first.is_best) == ("auto", "1", ("4.5 %", "2.3 %"), True)
    assert (first.ratio, first.record, first.p_holm, first.effect) == ("0.50×", "10/0/0", "0.004", "-0.58")
    assert second.is_baseline
    assert (second.ratio, second.record) == ("", "")
    assert third.rank == "3"


def test_the_cost_is_told_in_rows_and_seconds(nothing: StudySummary) -> None:
    assert cost_sentence(SUMMARY).startswith("1000 target rows were measured (looked up), measuring them took 33 min")
    assert "the data do not tell" in cost_sentence(replace(SUMMARY, cost_s=None))
    assert "10 tasks" in units_sentence(SUMMARY)
    assert "too few tasks" in units_sentence(nothing)


def test_the_page_holds_every_part_and_loads_nothing() -> None:
    html = page(SUMMARY)
    for part in ("What does a budget buy?", "Which methods differ?", "Mean ranks", "Task by task", "Make it again"):
        assert part in html
    outside_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "://" not in outside_scripts
    figures = re.findall(r'<script type="application/json" id="figure-(\w+)">(.*?)</script>', html, flags=re.DOTALL)
    assert [name for name, _ in figures] == ["curves", "ranks"]
    assert all(json.loads(text)["data"] for _, text in figures)


def test_names_on_the_page_are_text_whatever_they_hold() -> None:
    hostile = "<script>alert(1)</script>"
    summary = summarise(result({hostile: 1.0, "scaled": 2.0, "target_only:tree": 3.0}))
    html = page(replace(summary, title=hostile))
    assert hostile not in html
    assert "&lt;script&gt;alert(1)" in html


def test_a_study_in_which_everything_failed_has_a_page(nothing: StudySummary) -> None:
    html = page(nothing)
    assert "No method could be compared" in html
    assert "&lt;broken&gt;" in html
    assert "leave no configuration to test on" in html
    assert "No method could be compared" in terminal(nothing)


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    path = write_study_page(SUMMARY, spec(), tmp_path / "study.html", created=NOW)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["study.html"]


def test_the_terminal_shows_every_method_within_eighty_columns() -> None:
    text = terminal(SUMMARY)
    assert all(method in text for method in METHODS)
    assert max(map(len, text.splitlines())) <= 80


def test_of_many_methods_the_best_of_each_strategy_and_the_baseline_are_drawn() -> None:
    errors = {f"residual:{name}": 1.0 + at for at, name in enumerate("abcdefghij")} | {"target_only:tree": 30.0}
    summary = summarise(result(errors))
    assert shown_methods(summary) == ["residual:a", "target_only:tree"]
    assert [trace.name for trace in draw_study_curves(summary).data] == ["residual:a", "target_only:tree"]


def test_every_strategy_has_a_panel_of_its_own_where_there_are_many() -> None:
    errors = {f"strategy_{at}:tree": 1.0 + at for at in range(6)} | {"target_only:tree": 30.0}
    summary = summarise(result(errors))
    assert strategy_methods(summary) == list(errors)
    figure = draw_each_strategy(summary)
    assert [title.text for title in figure.layout.annotations] == list(errors)
    own = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert own[0].y == pytest.approx(tuple(summary.errors.loc["strategy_0:tree"]))
    assert 'id="figure-strategies"' in page(summary)


def test_ranks_are_drawn_with_half_a_critical_difference_on_either_side() -> None:
    assert SUMMARY.critical is not None
    (trace,) = draw_ranks(SUMMARY.critical).data
    assert list(trace.x) == [1.0, 2.0, 3.0]
    assert trace.error_x.array[0] == SUMMARY.critical.critical_difference / 2


def test_markdown_holds_the_answer_the_table_and_the_command() -> None:
    text = study_markdown(replace(SUMMARY, title="A | B"), command="perfport study a.yaml")
    lines = text.splitlines()
    assert lines[:3] == ["# A | B", "", study_headline(SUMMARY)]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(METHODS)
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert "    perfport study a.yaml" in lines
    assert markdown_table(["a"], [["x|y"]]).endswith("| x\\|y |")


def test_markdown_of_a_study_in_which_everything_failed_says_so(nothing: StudySummary) -> None:
    assert "No method could be compared" in study_markdown(nothing)
