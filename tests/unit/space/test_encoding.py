import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.space.encoding import CLIP, Encoder
from perfport.space.options import Option
from perfport.space.space import Space

OPTIONS = [
    Option(name="clock_hz", type="ordinal", values=(1e8, 4e8, 8e8, 1.6e9)),
    Option(name="pinned", type="boolean"),
    Option(name="mode", type="categorical", values=("a", "b", "c")),
    Option(name="side", type="categorical", values=("left", "right")),
    Option(name="depth", type="integer", lower=1, upper=3),
    Option(name="constant", type="ordinal", values=(1,)),
    Option(name="size", type="ordinal", values=("small", "middle", "large")),
]
SPACE = Space(OPTIONS)
FRAME = SPACE.sample(400, np.random.default_rng(0))
ENCODER = Encoder(SPACE, fitted_on=FRAME)


def kinds(encoder: Encoder) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for column in encoder.columns:
        found.setdefault(column.option, []).append(column.kind)
    return found


def test_every_option_gets_the_columns_its_levels_ask_for() -> None:
    assert kinds(ENCODER) == {
        "clock_hz": ["log", "reciprocal"],
        "depth": ["linear", "square"],
        "mode": ["level", "level", "level"],
        "pinned": ["linear"],
        "side": ["level"],
        "size": ["linear", "square"],
    }
    assert all(column.primary for column in ENCODER.columns if column.kind in ("level", "log", "linear"))


def test_columns_are_standardised_and_a_second_one_is_orthogonal_to_the_first() -> None:
    X = ENCODER.transform(FRAME)
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(X.std(axis=0), 1.0, rtol=1e-9)
    names = [(column.option, column.kind) for column in ENCODER.columns]
    first, second = names.index(("clock_hz", "log")), names.index(("clock_hz", "reciprocal"))
    assert abs(X[:, first] @ X[:, second]) < 1e-6


def test_a_wide_scale_can_be_asked_for_and_refused() -> None:
    for scale, kind in (("linear", "linear"), ("log", "log"), (None, "log")):
        option = Option(name="clock_hz", type="ordinal", values=(1e8, 4e8, 8e8, 1.6e9), scale=scale)
        encoder = Encoder(Space([option]), fitted_on=FRAME[["clock_hz"]])
        assert encoder.columns[0].kind == kind


def test_options_of_one_group_are_counted() -> None:
    layers = [Option(name=f"layer{i}", type="categorical", values=("conv", "skip"), group="layer") for i in range(4)]
    space = Space(layers)
    frame = space.sample(16, np.random.default_rng(1))
    encoder = Encoder(space, fitted_on=frame)
    counted = [i for i, column in enumerate(encoder.columns) if column.kind == "count"]
    assert [encoder.columns[i].level for i in counted] == ["conv", "skip"]
    assert encoder.groups == {layer.name: "layer" for layer in layers}
    counts = (frame == "skip").sum(axis=1).to_numpy()
    encoded = encoder.transform(frame)[:, counted[1]]
    assert np.corrcoef(counts, encoded)[0, 1] == pytest.approx(1.0)


def test_unknown_levels_missing_cells_and_missing_options_do_not_break_it() -> None:
    strange = FRAME.head(3).copy()
    strange["mode"] = "d"
    strange["clock_hz"] = [np.nan, -1.0, 1e20]
    X = ENCODER.transform(strange.drop(columns=["side"]))
    assert np.all(np.isfinite(X))
    assert np.abs(X).max() <= CLIP
    levels = [i for i, column in enumerate(ENCODER.columns) if column.option == "mode"]
    assert np.all(X[:, levels] < 0)


def test_an_option_that_is_sometimes_inactive_says_so_in_a_column() -> None:
    frame = FRAME.assign(clock_hz=FRAME["clock_hz"].where(FRAME["pinned"]))
    encoder = Encoder(SPACE, fitted_on=frame)
    assert ("clock_hz", "active") in {(column.option, column.kind) for column in encoder.columns}
    assert np.all(np.isfinite(encoder.transform(frame)))


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(len(OPTIONS))))
def test_the_order_of_options_and_rows_does_not_matter(order: list[int]) -> None:
    shuffled = Space([OPTIONS[i] for i in order])
    encoder = Encoder(shuffled, fitted_on=FRAME[list(shuffled.names)].iloc[::-1])
    np.testing.assert_allclose(encoder.transform(FRAME), ENCODER.transform(FRAME), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(encoder.keys(FRAME), ENCODER.keys(FRAME))


def test_keys_are_equal_for_equal_configurations_only() -> None:
    keys = ENCODER.keys(FRAME)
    same = FRAME.astype({"clock_hz": object, "depth": float, "pinned": int})
    np.testing.assert_array_equal(ENCODER.keys(same), keys)
    assert len(np.unique(keys)) == len(FRAME.drop_duplicates())
    grid = pd.DataFrame({"a": np.repeat(np.arange(300), 300), "b": np.tile(np.arange(300), 300)})
    space = Space([Option(name=name, type="integer", lower=0, upper=300) for name in "ab"])
    assert len(np.unique(Encoder(space, fitted_on=grid).keys(grid))) == len(grid)


def test_where_no_option_has_a_column_one_of_zeros_stands_for_them() -> None:
    names = tuple(f"n{at:02d}" for at in range(50))
    space = Space([Option(name="network", type="categorical", values=names), OPTIONS[5]])
    frame = space.sample(20, np.random.default_rng(0))
    encoder = Encoder(space, fitted_on=frame)
    assert [(column.option, column.kind, column.primary) for column in encoder.columns] == [("", "none", False)]
    np.testing.assert_array_equal(encoder.transform(frame), np.zeros((20, 1)))
    assert len(np.unique(encoder.keys(frame))) == 20


def test_a_number_is_not_the_text_that_writes_it() -> None:
    space = Space([Option(name="mode", type="categorical", values=(1, "1", "x", ""))])
    frame = pd.DataFrame({"mode": [1, "1", "x", "", None]}, dtype=object)
    encoder = Encoder(space, fitted_on=frame)
    assert len(np.unique(encoder.keys(frame))) == 5
    levels = [at for at, column in enumerate(encoder.columns) if column.kind == "level"]
    np.testing.assert_array_equal(encoder.transform(frame)[:, levels].argmax(axis=1)[:4], [1, 2, 3, 0])
    as_float = frame.replace({1: 1.0})
    np.testing.assert_array_equal(encoder.keys(as_float), encoder.keys(frame))
    np.testing.assert_array_equal(encoder.transform(as_float), encoder.transform(frame))
