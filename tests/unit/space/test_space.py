"""Spaces: what is valid, in which words, in which columns, and what is next to it."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from tests.unit.space.samples import OPTIONS, mixed_space, runtime_space
from tests.unit.space.strategies import PlannedSpace, planned_spaces, spaces

from perfport.errors import InvalidConfigurationError, SpaceError
from perfport.space.options import Option
from perfport.space.space import Space


def rows_of(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Rows as tuples with None for inactive cells, so that they can be compared."""
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in frame.itertuples(index=False)]


@settings(max_examples=40, deadline=None)
@given(planned_spaces())
def test_enumeration_size_and_validity_agree_with_brute_force(planned: PlannedSpace) -> None:
    expected = planned.valid()
    if not expected:
        with pytest.raises(SpaceError, match=r"no valid configuration|the given defaults"):
            planned.space()
        return
    try:
        space = planned.space()
    except SpaceError as error:
        assert "the given defaults" in str(error)
        return
    frames = list(space.enumerate(chunk_rows=5))
    rows = [row for frame in frames for row in rows_of(frame)]
    assert set(rows) == expected
    assert len(rows) == len(expected) == space.size()
    assert space.size_is_exact
    assert {len(frame) for frame in frames[:-1]} <= {5}
    assert all(space.is_valid(frame).all() for frame in frames)
    assert tuple(space.default_configuration().values()) in expected


@settings(max_examples=40, deadline=None)
@given(planned_spaces())
def test_violations_agree_with_validity_for_every_combination(planned: PlannedSpace) -> None:
    try:
        space = planned.space()
    except SpaceError:
        return
    everything = next(Space(planned.options).enumerate())
    # Every third cell empty: also combinations whose activity is wrong.
    rng = np.random.default_rng(0)
    holes = everything.astype(object).mask(rng.random(everything.shape) < 0.3, None)
    frame = space.frame([dict(zip(holes.columns, row, strict=True)) for row in rows_of(holes)][:12])
    valid = space.is_valid(frame)
    expected = planned.valid()
    for row, is_valid in zip(rows_of(frame), valid, strict=True):
        assert is_valid == (row in expected)
        assert is_valid == (space.violations(dict(zip(space.names, row, strict=True))) == [])


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_configurations_survive_the_way_into_a_frame_and_back(space: Space) -> None:
    frame = next(space.enumerate())
    configurations = space.configurations(frame)
    pd.testing.assert_frame_equal(space.frame(configurations), frame)
    pd.testing.assert_frame_equal(space.typed(frame[list(reversed(space.names))]), frame)
    for configuration in configurations[:5]:
        space.validate(configuration)
        assert all(type(level) in (bool, int, float, str, type(None)) for level in configuration.values())


def test_the_order_of_enumeration_is_that_of_counting() -> None:
    space = Space([Option(name="a", type="integer", lower=1, upper=2), Option(name="b", type="boolean")])
    assert rows_of(next(space.enumerate())) == [(1, False), (1, True), (2, False), (2, True)]


def test_columns_have_the_dtype_of_their_levels() -> None:
    space = runtime_space()
    dtypes = {name: str(dtype) for name, dtype in next(space.enumerate()).dtypes.items()}
    assert dtypes == {
        "intra_threads": "int64",
        "mode": "str",
        "inter_threads": "float64",  # inactive cells are NaN
        "optimisation": "str",
        "arena": "bool",
        "pattern": "bool",
        "gpu_freq_hz": "float64",
    }
    parallel = space.frame([space.default_configuration() | {"mode": "parallel", "inter_threads": 2}])
    assert str(parallel["inter_threads"].dtype) == "int64"


def test_frames_of_other_dtypes_are_understood() -> None:
    space = runtime_space()
    frame = next(space.enumerate())
    as_text = frame.astype({"mode": object, "arena": "int64", "intra_threads": float, "pattern": object})
    assert space.is_valid(as_text).all()
    pd.testing.assert_frame_equal(space.typed(as_text), frame)
    as_nullable = frame.convert_dtypes()
    assert space.is_valid(as_nullable).all()
    assert space.is_valid(frame.iloc[:0]).shape == (0,)


@pytest.mark.parametrize("levels", [(4294967295, 4294967296), (1.0, 1.0 + 1e-12), (2**60, 2**60 + 1)])
def test_close_levels_are_the_same_by_every_way_in(levels: tuple[float, float]) -> None:
    space = Space([Option(name="limit", type="ordinal", values=levels)])
    rows = [{"limit": level} for level in levels]
    for frame in (space.frame(rows), space.typed(pd.DataFrame(rows)), space.typed(pd.DataFrame(rows, dtype=object))):
        assert space.configurations(frame) == rows
    assert all(space.violations(row) == [] for row in rows)


def test_a_frame_keeps_what_is_no_level_for_is_valid_to_find() -> None:
    space = runtime_space()
    frame = space.frame([space.default_configuration() | {"mode": "turbo", "intra_threads": 99}])
    assert frame.loc[0, "mode"] == "turbo"
    assert space.is_valid(frame).tolist() == [False]


def test_violations_are_told_in_words() -> None:
    space = runtime_space()
    configuration = space.default_configuration() | {"intra_threads": 3, "mode": "parallel", "inter_threads": 2}
    assert space.violations(configuration) == ["constraint 'intra_threads * inter_threads <= cores' does not hold"]
    assert space.violations(space.default_configuration() | {"arena": False, "pattern": True}) == [
        "'arena == False and pattern == True' is forbidden"
    ]
    assert space.violations(space.default_configuration() | {"inter_threads": 2}) == [
        "option 'inter_threads' is 2 but only active when 'mode == 'parallel''"
    ]
    assert space.violations({"mode": "par"})[:2] == [
        "option 'intra_threads' has no level; allowed are 1 ... 4",
        "option 'mode': 'par' is not a level; its levels are 'sequential', 'parallel'",
    ]
    assert space.violations(space.default_configuration() | {"areana": True}) == [
        "unknown option 'areana'; did you mean 'arena'?"
    ]
    with pytest.raises(InvalidConfigurationError, match="invalid configuration: unknown option 'areana'"):
        space.validate(space.default_configuration() | {"areana": True})


def test_a_constant_option_with_another_level_is_a_violation() -> None:
    space = Space([Option(name="a", type="categorical", values=("only",)), Option(name="b", type="boolean")])
    assert space.violations({"a": "other", "b": True}) == ["option 'a': 'other' is not a level; its levels are 'only'"]


def test_wrong_columns_are_named() -> None:
    space = runtime_space()
    frame = next(space.enumerate())
    with pytest.raises(InvalidConfigurationError, match="lacks 'arena'"):
        space.is_valid(frame.drop(columns="arena"))
    with pytest.raises(InvalidConfigurationError, match="column 'arenas' is no option; did you mean 'arena'"):
        space.is_valid(frame.assign(arenas=1))
    with pytest.raises(InvalidConfigurationError, match="the frame has 'arena' twice"):
        space.is_valid(pd.concat([frame, frame["arena"]], axis=1))
    with pytest.raises(InvalidConfigurationError, match="unknown option 'arenas'; did you mean 'arena'"):
        space.frame([{"arenas": True}])
    with pytest.raises(InvalidConfigurationError, match="row 1: option 'mode': 'turbo' is not a level"):
        space.configurations(frame.assign(mode=["parallel", "turbo"] + ["parallel"] * (len(frame) - 2)))
    with pytest.raises(SpaceError, match="unknown option 'aren'; did you mean 'arena'"):
        space.option("aren")


def test_default_is_valid_and_leaves_inactive_options_out() -> None:
    default = runtime_space().default_configuration()
    assert default == {
        "intra_threads": 1,
        "mode": "sequential",
        "inter_threads": None,
        "optimisation": "all",
        "arena": True,
        "pattern": False,
        "gpu_freq_hz": 1.1e8,
    }


def test_implied_defaults_move_to_what_is_allowed_and_given_ones_stay() -> None:
    booleans = [Option(name=name, type="boolean") for name in ("a", "b", "c")]
    assert Space(booleans, forbidden=["a == False and b == False"]).default_configuration() == {
        "a": False,
        "b": True,
        "c": False,
    }
    given_b = [booleans[0], Option(name="b", type="boolean", default=False)]
    assert Space(given_b, forbidden=["a == False and b == False"]).default_configuration() == {"a": True, "b": False}


def test_given_defaults_that_exclude_each_other_are_an_error_with_a_way_out() -> None:
    fixed = [Option(name=name, type="integer", lower=1, upper=4, default=4) for name in ("threads", "streams")]
    with pytest.raises(SpaceError, match=r"valid is for instance \{'threads': 1, 'streams': 1\}"):
        Space(fixed, constraints=["threads * streams <= 4"])
    with pytest.raises(SpaceError, match="no valid configuration: the rules exclude every combination"):
        Space(fixed, constraints=["threads * streams > 16"])
    with pytest.raises(SpaceError, match="give others with 'default'"):
        Space([Option(name="x", type="float", lower=0, upper=1)], constraints=["x > 0.5"])


def test_a_hopeless_search_for_a_default_gives_up() -> None:
    many = [Option(name=f"o{number}", type="categorical", values=("a", "b", "c")) for number in range(40)]
    # Equal at one end of a long chain and different at the other: nothing to see before the last option.
    chain = [f"o{number} == o{number + 1} or o{number} != o{number + 1}" for number in range(39)]
    with pytest.raises(SpaceError, match="no valid configuration found near the defaults"):
        Space(many, constraints=[*chain, "o38 == o39", "o38 != o39"])


def test_neighbours_change_one_option_and_what_depends_on_it() -> None:
    space = runtime_space()
    default = space.default_configuration()
    found = space.configurations(space.neighbours(default))
    changed = [{name: level for name, level in row.items() if level != default[name]} for row in found]
    assert changed == [
        {"intra_threads": 2},
        {"mode": "parallel", "inter_threads": 2},  # its default
        {"optimisation": "basic"},
        {"arena": False},
        {"pattern": True},
        {"gpu_freq_hz": 5e8},
    ]
    # From 2 x 2 threads: 3 x 2 would break the constraint, and so would 2 x 4.
    busy = default | {"mode": "parallel", "intra_threads": 2, "inter_threads": 2}
    around = space.neighbours(busy)
    assert set(zip(around["intra_threads"], around["inter_threads"].fillna(0), strict=True)) == {
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
    }
    with pytest.raises(InvalidConfigurationError):
        space.neighbours(default | {"intra_threads": 9})


@settings(max_examples=40, deadline=None)
@given(spaces())
def test_neighbours_are_valid_distinct_and_not_the_start(space: Space) -> None:
    default = space.default_configuration()
    rows = rows_of(space.neighbours(default))
    assert len(set(rows)) == len(rows)
    assert tuple(default.values()) not in rows
    assert space.is_valid(space.neighbours(default)).all()


def test_neighbours_in_a_float_range_lie_a_tenth_of_its_scale_away() -> None:
    space = mixed_space()
    default = space.default_configuration()
    rates = space.neighbours(default)["rate"]
    assert sorted(set(rates)) == pytest.approx([1e-4, 10**-3.6])
    middle = space.neighbours(default | {"rate": 1e-2})["rate"]
    assert sorted(set(middle)) == pytest.approx([10**-2.4, 1e-2, 10**-1.6])


def test_float_ranges_have_no_size_and_no_enumeration() -> None:
    space = mixed_space()
    assert space.size() is None
    assert not space.size_is_exact
    with pytest.raises(SpaceError, match="'rate' is a float range, which cannot be enumerated"):
        next(space.enumerate())


def test_spaces_are_values() -> None:
    space = runtime_space()
    _ = space.size()
    copy = pickle.loads(pickle.dumps(space))  # noqa: S301  # our own bytes
    assert copy == space == runtime_space()
    assert hash(copy) == hash(space)
    assert copy.key == space.key
    assert space != Space(OPTIONS)
    assert space.key != Space(OPTIONS).key
    assert len(space) == 7
    assert "mode" in space
    assert "Mode" not in space
    assert repr(space) == "<Space 'runtime': 7 options, 3 rules>"
    with pytest.raises(AttributeError):
        space.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        space.constants["cores"] = 8  # type: ignore[index]


def test_html_shows_options_and_rules_and_escapes_them() -> None:
    space = Space([Option(name="<b>", type="boolean")], forbidden=["`<b>` == True"], name="<script>")
    html = space._repr_html_()
    assert "<script>" not in html
    assert "&lt;b&gt;" in html
    assert "never" in html


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"conditions": [{"option": "modes", "when": "arena"}]}, "unknown option 'modes'; did you mean 'mode'?"),
        ({"conditions": [{"option": "mode", "when": "mode == 'parallel'"}]}, "cycle: mode <- mode"),
        (
            {
                "conditions": [
                    {"option": "mode", "when": "arena"},
                    {"option": "arena", "when": "pattern"},
                    {"option": "pattern", "when": "mode == 'parallel'"},
                ]
            },
            "cycle: mode <- arena <- pattern <- mode",
        ),
        ({"constraints": ["threads <= 4"]}, "constraint: 'threads <= 4', column 1: unknown name 'threads'"),
        ({"forbidden": ["mode == 'paralel'"]}, "'paralel' is not a level of 'mode'"),
        ({"forbidden": ["mode in ['parallel', 'seq']"]}, "'seq' is not a level of 'mode'"),
        ({"forbidden": ["mode < 3"]}, "no number"),
        ({"forbidden": "mode == 'parallel'"}, "give a list of expressions"),
        ({"constants": {"mode": 3}}, "both an option and a constant"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        Space(OPTIONS, **rules)
    assert message in str(caught.value)


def test_rules_of_a_chain_of_conditions_are_followed() -> None:
    chain = [Option(name=name, type="boolean") for name in ("c", "b", "a")]
    space = Space(chain, conditions=[{"option": "c", "when": "b"}, {"option": "b", "when": "a == True"}])
    assert space.size() == 4
    assert set(rows_of(next(space.enumerate()))) == {
        (None, None, False),
        (None, False, True),
        (False, True, True),
        (True, True, True),
    }
    assert space.violations({"a": False, "b": None, "c": True}) == ["option 'c' is True but only active when 'b'"]


def test_several_conditions_on_one_option_must_all_hold() -> None:
    options = [Option(name=name, type="boolean") for name in ("a", "b", "c")]
    space = Space(options, conditions=[{"option": "c", "when": "a"}, {"option": "c", "when": "b"}])
    assert space.size() == 5


@pytest.mark.parametrize("space", [runtime_space(), mixed_space()], ids=["runtime", "mixed"])
def test_one_configuration_is_judged_as_in_a_frame(space: Space) -> None:
    odd: list[Any] = [None, float("nan"), True, 0, 1, 0.5, 1e9, -3, "basic", 2.0000000001, np.int64(2), np.float32(0.5)]
    rows = space.configurations(space.sample(2, np.random.default_rng(0)))
    changed = [row | {name: level} for row in rows for name in row for level in odd]
    assert [not space.violations(row) for row in changed] == [
        bool(space.is_valid(space.frame([row]))[0]) for row in changed
    ]
