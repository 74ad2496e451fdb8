import numpy as np
from tests.unit.report.samples import OPTIONS, TIME, sample_choice, sample_predictions, sample_report

from perfport.data.environment import Environment
from perfport.report.content import EnvironmentInfluences, Influence, Missing, ReportedEnvironment
from perfport.report.rows import TermCell, fact_rows, point_rows, rank_terms, setting_rows


def test_pairs_are_matched_whatever_their_order_and_the_largest_anywhere_comes_first() -> None:
    influences = sample_report().influences
    assert not isinstance(influences, Missing)
    terms = rank_terms(influences)
    assert [term.name for term in terms[:3]] == ["intra_threads", "graph_optimisation", "spinning"]
    pair = next(term for term in terms if "×" in term.name)
    assert pair.name == "inter_threads × execution_mode"
    assert [cell.share for cell in pair.cells] == [0.09, 0.11]
    missing, listed = next(term for term in terms if term.name == "cpu_freq_hz").cells
    assert missing == TermCell() and missing.label == "not listed"
    assert listed.label == "10 % ↓"


def test_an_interval_that_misses_its_share_is_stretched_to_it() -> None:
    given = EnvironmentInfluences("board", "target", (Influence(("a",), 0.3, lower=0.31, upper=0.4),))
    (cell,) = rank_terms([given])[0].cells
    assert (cell.lower, cell.share, cell.upper) == (0.3, 0.3, 0.4)
    assert cell.describe() == "30 % ↕ (30 % to 40 %)"


def test_facts_that_one_environment_does_not_state_differ() -> None:
    rows = fact_rows(
        [
            ReportedEnvironment(Environment("a", {"cores": 2}, workload={"batch": 1}), "source"),
            ReportedEnvironment(
                Environment("b", {"cores": 2, "governor": "powersave"}, workload={"batch": 1}), "target"
            ),
        ]
    )
    assert [(row.facet, row.name, row.values, row.differs) for row in rows] == [
        ("hardware", "cores", ("2", "2"), False),
        ("hardware", "governor", ("not stated", "powersave"), True),
        ("workload", "batch", ("1", "1"), False),
    ]


def test_settings_come_in_the_order_of_the_space_and_unknown_options_last() -> None:
    rows = setting_rows(sample_choice(), OPTIONS[::-1][:3])
    assert [row.option for row in rows[:3]] == ["cpu_freq_hz", "arena", "batch"]
    assert len(rows) == len(OPTIONS)
    assert (rows[0].level, rows[0].default, rows[0].is_changed) == ("1.60 GHz", "1.20 GHz", True)
    assert rows[1].description == "Keep freed memory for the next inference"
    assert not rows[1].is_changed


def test_the_largest_errors_come_first() -> None:
    given = sample_predictions(40, 10)
    rows = point_rows(given, OPTIONS, TIME.unit, n_rows=5)
    errors = [float(row.error.removesuffix(" %")) for row in rows]
    assert len(rows) == 5 and errors == sorted(errors, reverse=True)
    assert errors[0] == round(float(100 * np.max(np.abs(given.predicted / given.measured - 1))), 1)
    assert all(row.interval.count("ms") == 2 for row in rows)
    assert len(rows[0].levels) == len(OPTIONS)
