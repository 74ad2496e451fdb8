"""Alignment: what of a source can be said in the options of a target, and what cannot."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from tests.unit.space.samples import runtime_space
from tests.unit.space.strategies import spaces

from perfport.errors import InvalidConfigurationError, SpaceError
from perfport.space.alignment import Alignment, Match, align
from perfport.space.options import Level, Option
from perfport.space.space import Space


def clock(*levels: float, unit: str = "Hz", name: str = "clock") -> Space:
    return Space([Option(name=name, type="ordinal", values=levels, unit=unit)])


def mapped(alignment: Alignment, levels: list[Level | None]) -> list[Level | None]:
    """What single levels of the only source option become in the only target option."""
    frame = alignment.source.frame([{alignment.source.names[0]: level} for level in levels])
    return alignment.to_target(frame)[alignment.target.names[0]].tolist()


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_a_space_aligned_with_itself_changes_nothing(space: Space) -> None:
    frame = space.sample(20, np.random.default_rng(0))
    for match in ("value", "rank", "fraction"):
        alignment = align(space, space, match=match)
        pd.testing.assert_frame_equal(alignment.to_target(frame), frame, rtol=1e-12)
        assert not alignment.only_in_source
        assert not alignment.only_in_target
        assert not alignment.unseen_levels
        assert not alignment.notes


@pytest.mark.parametrize(
    ("match", "expected"),
    [("value", [1e8, 4e8, 8e8]), ("rank", [1e8, 3e8, 1.6e9]), ("fraction", [2e8, 8e8, 1.6e9])],
)
def test_ordered_levels_are_matched_by_value_rank_or_fraction(match: Match, expected: list[float]) -> None:
    alignment = align(clock(1e8, 4e8, 8e8), clock(1e8, 3e8, 1.6e9), match=match)
    assert mapped(alignment, [1e8, 4e8, 8e8]) == pytest.approx(expected)


def test_ranks_of_lists_of_other_lengths_are_places_along_the_list() -> None:
    five, three = clock(1, 2, 3, 4, 5), clock(10, 20, 30)
    assert mapped(align(five, three, match="rank"), [1, 2, 3, 4, 5]) == [10, 20, 20, 30, 30]
    assert mapped(align(three, five, match="rank"), [10, 20, 30]) == [1, 3, 5]
    assert align(three, five, match="rank").unseen_levels == {"clock": (2, 4)}


def test_descending_lists_are_matched_from_their_lowest_level() -> None:
    assert mapped(align(clock(3, 2, 1), clock(10, 20, 30), match="rank"), [3, 2, 1]) == [30, 20, 10]


def test_ordered_texts_are_matched_by_rank() -> None:
    source = Space([Option(name="o", type="ordinal", values=("off", "basic", "all"))])
    target = Space([Option(name="o", type="ordinal", values=("0", "1", "2", "3", "4"))])
    assert mapped(align(source, target, match="rank"), ["off", "basic", "all"]) == ["0", "2", "4"]
    by_fraction = align(source, target, match="fraction")
    assert mapped(by_fraction, ["off"]) == ["off"]
    assert "'o' cannot be matched by fraction, so it is by value" in by_fraction.notes


def test_units_are_converted_and_snap_to_the_levels_of_the_target() -> None:
    alignment = align(clock(100, 300, 900, unit="MHz"), clock(1e8, 3e8, 7e8))
    assert mapped(alignment, [100, 300, 900]) == [1e8, 3e8, 9e8]
    assert "'clock': converted from MHz to Hz" in alignment.notes
    assert "'clock': the source has not seen 700000000.0" in alignment.notes
    assert "'clock': the target does not have 900000000.0; source rows with these are kept" in alignment.notes
    assert alignment.unseen_levels == {"clock": (7e8,)}


def test_units_of_another_kind_are_an_error_and_a_missing_unit_is_noted() -> None:
    with pytest.raises(SpaceError, match=r"'s' \(source\) cannot be converted into 'Hz' \(target\)"):
        align(clock(1, 2, unit="s"), clock(1, 2))
    assert "'clock': has a unit in one space only, taken as equal" in align(clock(1, 2, unit=""), clock(1, 2)).notes


def test_float_ranges_are_matched_along_their_scale() -> None:
    source = Space([Option(name="r", type="float", lower=1, upper=100, scale="log", unit="ms")])
    target = Space([Option(name="r", type="float", lower=0.0, upper=2.0, unit="s")])
    assert mapped(align(source, target), [1.0, 10.0, 100.0]) == pytest.approx([0.001, 0.01, 0.1])
    assert mapped(align(source, target, match="rank"), [1.0, 10.0, 100.0]) == pytest.approx([0.0, 1.0, 2.0])
    assert mapped(align(source, target, match="fraction"), [50.0, 100.0]) == pytest.approx([1.0, 2.0])
    steps = Space([Option(name="r", type="ordinal", values=(0.002, 0.05, 0.5), unit="s")])
    assert align(source, steps).unseen_levels == {"r": (0.5,)}
    assert mapped(align(source, steps, match="rank"), [1.0, 10.0, 100.0]) == [0.002, 0.05, 0.5]
    assert mapped(align(steps, source, match="rank"), [0.002, 0.05, 0.5]) == pytest.approx([1.0, 10.0, 100.0])


def test_options_of_one_space_only_are_dropped_or_constant() -> None:
    both = Option(name="a", type="boolean")
    source = Space([both, Option(name="old", type="integer", lower=1, upper=3)])
    target = Space([Option(name="new", type="ordinal", values=("x", "y"), default="y"), both])
    alignment = align(source, target)
    rewritten = alignment.to_target(next(source.enumerate()))
    assert list(rewritten.columns) == ["new", "a"]
    assert set(rewritten["new"]) == {"y"}
    assert target.is_valid(rewritten).all()
    assert alignment.only_in_source == ("old",)
    assert alignment.only_in_target == ("new",)
    assert alignment.notes == (
        "only in the source, dropped: 'old'; rows that differ only in these become repeats",
        "only in the target, at their default in all source rows: 'new' = 'y'",
    )


def test_renamed_options_are_paired_and_likely_ones_hinted_at() -> None:
    source, target = clock(1, 2, name="gpu_freq"), clock(1, 2, name="gpu_freq_hz")
    assert mapped(align(source, target, rename={"gpu_freq": "gpu_freq_hz"}), [1, 2]) == [1, 2]
    other = Option(name="a", type="boolean")
    alignment = align(Space([*source.options, other]), Space([*target.options, other]))
    assert "if 'gpu_freq' of the source is 'gpu_freq_hz' of the target, say so with rename" in alignment.notes


def test_an_explicit_name_wins_over_an_equal_one() -> None:
    names = [Option(name=name, type="integer", lower=1, upper=2) for name in ("a", "b")]
    alignment = align(Space(names), Space([names[0]]), rename={"b": "a"})
    assert alignment.pairs == {"a": "b"}
    assert alignment.only_in_source == ("a",)


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ({"intra_thread": "mode"}, "the source has no option 'intra_thread'; did you mean 'intra_threads'?"),
        ({"mode": "mod"}, "the target has no option 'mod'; did you mean 'mode'?"),
        ({"mode": "arena", "pattern": "arena"}, "'mode' and 'pattern' would both be 'arena'"),
    ],
)
def test_wrong_renames_are_refused(rename: dict[str, str], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        align(runtime_space(), runtime_space(), rename=rename)
    assert message in str(caught.value)


def test_spaces_with_nothing_in_common_are_an_error() -> None:
    with pytest.raises(SpaceError, match="share no option: the source has 'a', the target has 'b'; give rename="):
        align(clock(1, 2, name="a"), clock(1, 2, name="b"))
    texts = Space([Option(name="a", type="categorical", values=("x", "y"))])
    with pytest.raises(SpaceError, match="share no option"):
        align(clock(1, 2, name="a"), texts)
    with pytest.raises(SpaceError, match="match 'size' is unknown; give one of 'value', 'rank', 'fraction'"):
        align(texts, texts, match="size")  # type: ignore[arg-type]


def test_levels_of_another_kind_make_another_option() -> None:
    both = Option(name="both", type="boolean")
    source = Space([both, Option(name="precision", type="ordinal", values=(16, 32))])
    target = Space([both, Option(name="precision", type="categorical", values=("fp16", "fp32"))])
    alignment = align(source, target)
    assert alignment.pairs == {"both": "both"}
    assert "'precision' has levels of another kind in the source, so it is taken for another option" in alignment.notes
    assert set(alignment.to_target(next(source.enumerate()))["precision"]) == {"fp16"}


def test_booleans_and_zero_one_are_the_same_levels() -> None:
    booleans = Space([Option(name="x", type="boolean")])
    numbers = Space([Option(name="x", type="ordinal", values=(0, 1, 2))])
    assert mapped(align(booleans, numbers), [False, True]) == [0, 1]
    assert mapped(align(numbers, booleans), [0, 1, 2]) == [False, True, 2]


def test_categorical_levels_the_target_lacks_are_kept() -> None:
    source = Space([Option(name="p", type="categorical", values=("fp32", "fp16"))])
    target = Space([Option(name="p", type="categorical", values=("fp32", "int8"))])
    alignment = align(source, target, match="rank")
    assert mapped(alignment, ["fp16", "fp32"]) == ["fp16", "fp32"]
    assert alignment.unseen_levels == {"p": ("int8",)}


def test_constant_options_are_noted() -> None:
    varied, constant = clock(1, 2, 3), clock(2)
    assert align(varied, constant).notes == ("'clock' never changes in the target (2)",)
    assert align(constant, varied).notes == (
        "'clock' never changes in the source, which says nothing about its influence",
        "'clock': the source has not seen 1, 3",
    )
    assert mapped(align(constant, varied, match="rank"), [2]) == [2]


def test_conditions_are_those_of_the_target() -> None:
    mode = Option(name="mode", type="categorical", values=("seq", "par"))
    inter = Option(name="inter", type="ordinal", values=(1, 2, 4), default=2)
    free, bound = Space([mode, inter]), Space([mode, inter], [{"option": "inter", "when": "mode == 'par'"}])
    emptied = align(free, bound).to_target(next(free.enumerate()))
    assert emptied["inter"].isna().tolist() == (emptied["mode"] == "seq").tolist()
    assert bound.is_valid(emptied).all()
    filled = align(bound, free).to_target(next(bound.enumerate()))
    assert filled.loc[filled["mode"] == "seq", "inter"].tolist() == [2]
    assert str(filled["inter"].dtype) == "int64"
    assert free.is_valid(filled).all()


def test_many_rows_keep_their_index_and_take_no_loop() -> None:
    space = runtime_space()
    frame = space.sample(200, np.random.default_rng(0)).sample(100_000, replace=True, random_state=1)
    rewritten = align(space, space, match="fraction").to_target(frame)
    assert rewritten.index.equals(frame.index)
    assert space.is_valid(rewritten).all()


def test_frames_that_are_not_of_the_source_are_refused() -> None:
    alignment = align(runtime_space(), runtime_space())
    frame = next(runtime_space().enumerate())
    with pytest.raises(InvalidConfigurationError, match="lacks 'arena'"):
        alignment.to_target(frame.drop(columns="arena"))
    with pytest.raises(InvalidConfigurationError, match="option 'mode': 'turbo' is not a level of the source"):
        alignment.to_target(frame.assign(mode="turbo"))
