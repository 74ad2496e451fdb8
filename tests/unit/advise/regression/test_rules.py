import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfport.advise.regression.rules import Clause, parse_rule
from perfport.errors import UsageError


def test_a_rule_is_read() -> None:
    assert parse_rule("p90 slowdown > 10%").alternatives == ((Clause("p90", "slowdown", ">", 10.0),),)


def test_and_binds_tighter_than_or() -> None:
    rule = parse_rule("median slowdown > 5% and max slowdown >= 1.5x OR failures > 0")
    assert [[str(clause) for clause in clauses] for clauses in rule.alternatives] == [
        ["median slowdown > 5%", "max slowdown >= 50%"],
        ["failures > 0"],
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("slowdown > 10%", Clause("median", "slowdown", ">", 10.0)),
        ("worst increase<1.25x", Clause("max", "increase", "<", 25.0)),
        ("  BEST Speedup <= 2 % ", Clause("best", "speedup", "<=", 2.0)),
        ("failures >= 5%", Clause("", "failures", ">=", 5.0)),
        ("failures > 2", Clause("", "failures", ">", 2.0, is_count=True)),
        ("p100 decrease > 0.5%", Clause("p100", "decrease", ">", 0.5)),
    ],
)
def test_all_forms_are_read(text: str, wanted: Clause) -> None:
    assert parse_rule(text).clauses == (wanted,)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "cannot read ''"),
        ("p90 slowdown", "cannot read 'p90 slowdown'"),
        ("p90 slowdown > 10", "10% or 10x"),
        ("p101 slowdown > 10%", "p0 to p100"),
        ("p90 latency > 10%", "quantities: slowdown"),
        ("max failures > 1", "no statistic"),
        ("failures > 1.5x", "no factor"),
        ("slowdown > 10% and", "cannot read ''"),
        ("slowdown > -10%", "cannot read"),
        ("__import__('os').system('true')", "cannot read"),
        ("slowdown > 10%; import os", "cannot read"),
        ("slowdown > " + "9" * 600, "at most 500"),
        ("slowdown > ١٠%", "cannot read"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match) as refused:
        parse_rule(text)
    assert "\n" not in refused.value.message


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        rule = parse_rule(text)
    except UsageError:
        return
    assert rule.clauses


@given(
    statistic=st.sampled_from(["p0", "p50", "median", "mean", "max", "min", "best"]),
    quantity=st.sampled_from(["slowdown", "speedup", "increase", "decrease"]),
    comparator=st.sampled_from([">", ">=", "<", "<="]),
    limit=st.integers(0, 10_000),
)
def test_a_clause_reads_as_it_is_written(statistic: str, quantity: str, comparator: str, limit: int) -> None:
    (clause,) = parse_rule(f"{statistic} {quantity} {comparator} {limit}%").clauses
    assert parse_rule(str(clause)).clauses == (clause,)
