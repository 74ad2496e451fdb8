import gc
import pickle
import weakref
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from tests.unit.data import samples
from tests.unit.data.samples import TIME

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import Property
from perfport.errors import UsageError
from perfport.space.options import Option
from perfport.space.space import Space


def hand_made() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "threads": [1, 2, 4],
            "mode": ["none", "NA", "fast"],
            "arena": [True, False, True],
            TIME: [0.9, 0.5, 0.4],
        }
    )


def test_a_hand_made_frame_becomes_a_dataset() -> None:
    dataset = Dataset.from_frame(hand_made(), properties=[TIME], environment="laptop")
    assert dataset.space.names == ("threads", "mode", "arena")
    assert [option.type for option in dataset.space.options] == ["ordinal", "categorical", "boolean"]
    assert dataset.space.option("threads").levels == (1, 2, 4)
    assert dataset.properties[TIME].unit == "s"
    assert dataset.environment.name == "laptop"
    assert dataset.responses[TIME].tolist() == [0.9, 0.5, 0.4]
    assert dataset.status.tolist() == ["ok"] * 3
    assert np.isnan(dataset.cost_s).all()
    assert np.isnan(dataset.log_se[TIME]).all()
    assert list(dataset.configurations["mode"]) == ["none", "NA", "fast"]
    assert dataset.notes is None


def test_columns_that_are_neither_option_nor_property_are_notes() -> None:
    dataset = Dataset.from_frame(hand_made(), properties={TIME: "s"}, options=["threads"])
    assert dataset.notes is not None
    assert list(dataset.notes.columns) == ["mode", "arena"]


def test_many_numbers_in_a_column_become_a_range() -> None:
    frame = pd.DataFrame({"tokens": np.arange(100), "share": np.linspace(0, 1, 100), TIME: np.ones(100)})
    space = Dataset.from_frame(frame, properties=[TIME]).space
    assert [option.type for option in space.options] == ["integer", "float"]
    assert space.option("share").bounds == (0.0, 1.0)


def test_a_space_may_be_given_and_columns_follow_its_order() -> None:
    space = Space(
        [
            Option(name="mode", type="categorical", values=("none", "NA", "fast", "slow")),
            Option(name="arena", type="boolean"),
        ]
    )
    dataset = Dataset.from_frame(hand_made(), properties=[Property(TIME, "s")], space=space)
    assert list(dataset.configurations.columns) == ["mode", "arena"]
    assert dataset.space is space


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"properties": TIME}, "properties must be a list"),
        ({"properties": ["energy_j"]}, "no column 'energy_j'"),
        ({"properties": [TIME], "options": ["thread"]}, "no column 'thread'; its columns are threads, mode"),
        ({"properties": []}, "needs at least one response"),
        ({"properties": [TIME], "options": ["mode"], "space": samples.space()}, "options or space, not both"),
        ({"properties": [TIME], "space": samples.space()}, "no column 'vm.arena'"),
    ],
)
def test_wrong_arguments_for_a_frame_say_what_to_do(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Dataset.from_frame(hand_made(), **arguments)


def test_a_missing_level_is_refused_by_row() -> None:
    frame = hand_made().assign(mode=pd.Series(["none", None, "fast"]))
    with pytest.raises(UsageError, match="row 1: option 'mode' has no level"):
        Dataset.from_frame(frame, properties=[TIME])


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        (pd.date_range("2020", periods=3), "row 0: option 'mode': Timestamp.* is of type Timestamp, which is no level"),
        (pd.to_timedelta([1, 2, 3], unit="s"), "is of type Timedelta"),
        ([date(2020, 1, day) for day in (1, 2, 3)], "is of type date"),
        (pd.interval_range(0, 3), "is of type Interval"),
        (pd.Categorical(pd.interval_range(0, 3)), "is of type Interval"),
        ([1.0, 2j, 3.0], "is of type complex128"),
        ([(1, 2), (3, 4), (1, 2)], "is of type tuple"),
        (["a", 1, [3]], r"row 2: option 'mode': \[3\] is of type list, which is no level; .* astype\(str\)"),
        (["a", True, 1], "row 1: option 'mode': True is a boolean beside other levels"),
        ([True, 1, 0], "row 0: option 'mode': True is a boolean beside other levels"),
        ([10**400, 1, 2], "does not fit 64 bits"),
    ],
)
def test_what_can_be_no_level_is_named_by_its_row_and_kind(cells: Any, text: str) -> None:
    frame = pd.DataFrame({"mode": cells, TIME: [0.9, 0.5, 0.4]})
    with pytest.raises(UsageError, match=text):
        Dataset.from_frame(frame, properties=[TIME])


@pytest.mark.parametrize("cells", [[[1], [2], [1]], [(1, [2]), 1, 2], [1, True, 2], [1 + 1j, 1, 2]])
def test_what_can_be_no_level_is_no_level_of_a_given_space_either(cells: list[object]) -> None:
    frame = pd.DataFrame({"mode": pd.Series(cells, dtype=object), TIME: [0.9, 0.5, 0.4]})
    space = Space([Option(name="mode", type="ordinal", values=(1, 2))])
    with pytest.raises(UsageError, match=r"is not a level; its levels are 1, 2"):
        Dataset.from_frame(frame, properties=[TIME], space=space)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.9, "fast", 0.4], f"row 1: response '{TIME}' is 'fast'; values are numbers, or NaN"),
        ([0.9, 0.5, ""], "row 2: .* is ''"),
        ([0.9, "nan", 0.4], "row 1: .* is 'nan'"),
        ([0.9, 0.5 + 1j, 0.4], "row 0: .* is .*0.9"),
        (pd.to_timedelta([1, 2, 3], unit="s"), "row 0: .* is np.timedelta64"),
        (pd.Series(pd.to_timedelta([1, 2, 3], unit="s"), dtype=object), "row 0: .* is Timedelta"),
        (pd.date_range("2020", periods=3), "row 0: .* is np.datetime64"),
        ([[0.9], [0.5], [0.4]], r"row 0: .* is \[0.9\]"),
        ([1, 10**400, 2], "row 1: response"),
    ],
)
def test_a_response_that_is_no_number_is_named_by_its_row(values: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Dataset.from_frame(hand_made().assign(**{TIME: values}), properties=[TIME])
    with pytest.raises(UsageError, match="row 0: cost_s is"):
        Dataset(**fields(cost_s=["long", 1.0]))


@pytest.mark.parametrize(
    "values",
    [
        [0.5, "0.25", None],
        [Decimal("0.5"), 0.25, pd.NA],
        pd.Series([0.5, 0.25, None], dtype="Float64"),
        pd.Series([0.5, 0.25, None], dtype="float32"),
        pd.Categorical([0.5, 0.25, None]),
    ],
)
def test_responses_are_numbers_however_they_are_held(values: Any) -> None:
    dataset = Dataset.from_frame(hand_made().assign(**{TIME: values}), properties=[TIME])
    np.testing.assert_array_equal(dataset.responses[TIME], [0.5, 0.25, np.nan])


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (["threads", "threads", "arena", TIME], "two columns 'threads'; rename or drop one"),
        (["threads", "mode", TIME, TIME], f"two columns '{TIME}'"),
        ([0, "mode", "arena", TIME], "column 0 has a name of type int; .* rename"),
        ([("threads", ""), "mode", "arena", TIME], "of type tuple"),
    ],
)
def test_columns_have_names_of_their_own(columns: list[object], text: str) -> None:
    frame = hand_made()
    frame.columns = pd.Index(columns, tupleize_cols=False)
    with pytest.raises(UsageError, match=text):
        Dataset.from_frame(frame, properties=[TIME])


def test_decimals_are_numbers() -> None:
    frame = pd.DataFrame({"clock": [Decimal("1.5"), Decimal(2), Decimal("1.5")], TIME: [0.9, 0.5, 0.4]})
    dataset = Dataset.from_frame(frame, properties=[TIME])
    assert dataset.space.option("clock").levels == (1.5, 2.0)
    assert dataset.configurations["clock"].tolist() == [1.5, 2.0, 1.5]


def test_numbers_beside_texts_stay_numbers() -> None:
    frame = pd.DataFrame({"mode": ["x", 1, "1", np.int64(2)], TIME: [0.9, 0.5, 0.4, 0.3]})
    dataset = Dataset.from_frame(frame, properties=[TIME])
    assert dataset.space.option("mode").levels == (1, "1", 2, "x")
    assert dataset.configurations["mode"].tolist() == ["x", 1, "1", 2]


def fields(**changes: Any) -> dict[str, Any]:
    space = Space([Option(name="threads", type="ordinal", values=(1, 2, 4))])
    return {
        "space": space,
        "environment": samples.BOARD,
        "properties": {TIME: Property(TIME, "s")},
        "configurations": pd.DataFrame({"threads": [1, 2]}),
        "responses": {TIME: np.array([0.1, 0.2])},
    } | changes


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"configurations": pd.DataFrame({"thread": [1, 2]})}, "the columns are thread, the options are threads"),
        ({"configurations": pd.DataFrame({"threads": [1, 3]})}, "row 1: option 'threads': 3 is not a level"),
        ({"configurations": pd.DataFrame({"threads": ["1", "2"]})}, "row 0: option 'threads': '1' is not a level"),
        ({"responses": {TIME: np.array([0.1])}}, r"shape \(1,\), the configurations have 2 rows"),
        ({"responses": {TIME: np.array([0.1, -1.0])}}, "row 1: response .* is -1.0"),
        ({"responses": {TIME: np.array([np.inf, 1.0])}}, "row 0: response .* is inf"),
        ({"responses": {}}, "at least one response"),
        ({"responses": {"energy_j": np.ones(2)}}, "response 'energy_j' belongs to no property"),
        ({"properties": {TIME: Property("energy_j", "J")}}, "'energy_j' is filed under the name"),
        ({"properties": {TIME: Property(TIME), "energy_j": Property("energy_j")}}, "'energy_j' has no responses"),
        ({"log_se": {"energy_j": np.ones(2)}}, "log_se 'energy_j' belongs to no property"),
        ({"log_se": {TIME: np.ones(3)}}, "log_se .* has shape"),
        ({"status": ["ok", "good"]}, "status 'good' is not one of ok, invalid, failed, timed_out"),
        ({"status": ["ok"]}, "status has 1 entries"),
        ({"cost_s": [1.0, -1.0]}, "row 1: cost_s is -1.0"),
        ({"notes": pd.DataFrame({"a": [1]})}, "the notes have 1 rows, the configurations 2"),
    ],
)
def test_illegal_datasets_cannot_be_made(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Dataset(**fields(**changes))


def test_zero_and_missing_responses_are_legal() -> None:
    dataset = Dataset(**fields(responses={TIME: np.array([0.0, np.nan])}))
    assert len(dataset.with_rows_ok(TIME)) == 1


def test_levels_take_the_types_of_the_space() -> None:
    dataset = Dataset(**fields(configurations=pd.DataFrame({"threads": [2.0, 4.0]}, index=[7, 3])))
    assert dataset.configurations["threads"].tolist() == [2, 4]
    assert dataset.configurations["threads"].dtype == np.int64
    assert dataset.configurations.index.tolist() == [0, 1]


def test_arrays_are_read_only_copies() -> None:
    times = np.array([0.1, 0.2])
    dataset = Dataset(**fields(responses={TIME: times}))
    times[0] = 9.0
    assert dataset.responses[TIME][0] == 0.1
    for array in (
        dataset.responses[TIME],
        dataset.log_se[TIME],
        dataset.cost_s,
        dataset.status,
        dataset.take([0]).status,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[0]
    with pytest.raises(TypeError):
        dataset.responses["new"] = times  # type: ignore[index]


def test_take_cuts_every_column_alike() -> None:
    dataset = samples.dataset(8)
    rows = [5, 0, 5]
    part = dataset.take(rows)
    assert len(part) == 3
    assert part.configurations.equals(dataset.configurations.iloc[rows].reset_index(drop=True))
    assert part.responses[TIME].tolist() == dataset.responses[TIME][rows].tolist()
    assert part.environment is dataset.environment
    assert len(dataset.take([])) == 0


def test_take_accepts_a_mask() -> None:
    dataset = samples.dataset(4)
    assert dataset.take(np.array([True, False, False, True])).key == dataset.take([0, 3]).key


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([6], "row 6 does not exist; the dataset has rows 0 to 5"),
        ([-1], "row -1 does not exist"),
        ([0.5], "must be a list of integers"),
        ([[0]], "must be a list of integers"),
        ([True, False], r"the mask has shape \(2,\)"),
    ],
)
def test_rows_that_do_not_exist_are_refused(rows: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        samples.dataset(6).take(rows)


def test_rows_ok_leave_out_failures_and_missing_values() -> None:
    dataset = Dataset(
        **fields(
            configurations=pd.DataFrame({"threads": [1, 2, 4]}),
            responses={TIME: np.array([0.1, np.nan, np.nan])},
            status=["ok", "ok", "failed"],
        )
    )
    assert dataset.with_rows_ok(TIME).configurations["threads"].tolist() == [1]
    with pytest.raises(UsageError, match="no property 'energy_j'; it has inference_time_s"):
        dataset.with_rows_ok("energy_j")


def test_equality_is_identity_and_the_key_is_content() -> None:
    one, same, other = samples.dataset(5), samples.dataset(5), samples.dataset(5, seed=1)
    assert one != same
    assert one.key == same.key
    assert one.key != other.key
    assert one.take([1, 0]).key != one.take([0, 1]).key
    assert one.take(range(5)).key == one.key


@pytest.mark.parametrize("column", ["responses", "status", "cost_s", "log_se"])
def test_the_key_sees_every_column(column: str) -> None:
    changed: dict[str, Any] = {
        "responses": {TIME: [0.1, 0.3]},
        "status": ["ok", "failed"],
        "cost_s": [1.0, 2.0],
        "log_se": {TIME: [0.1, 0.1]},
    }
    assert Dataset(**fields()).key != Dataset(**fields(**{column: changed[column]})).key


def option(**changes: Any) -> Option:
    return Option(**({"name": "threads", "type": "ordinal", "values": (1, 2, 4)} | changes))


@pytest.mark.parametrize(
    "space",
    [
        Space([option(type="categorical")]),
        Space([option(scale="log")]),
        Space([option(group="cores")]),
        Space([option(values=(1, 2, 4, 8))]),
        Space([option()], forbidden=["threads == 4"]),
        Space([option()], constraints=["threads < cores"], constants={"cores": 8}),
    ],
)
def test_the_key_sees_the_whole_space(space: Space) -> None:
    assert Dataset(**fields(space=Space([option()]))).key != Dataset(**fields(space=space)).key


def test_the_key_sees_which_way_is_better_and_no_description() -> None:
    space = Space([option(description="worker threads")], name="runtime")
    properties = {TIME: Property(TIME, "s", description="of one call")}
    one = Dataset(**fields(space=Space([option()])))
    assert Dataset(**fields(space=space, properties=properties)).key == one.key
    assert Dataset(**fields(space=Space([option()]), properties={TIME: Property(TIME, "s", "maximise")})).key != one.key


def test_the_key_tells_a_number_from_a_text() -> None:
    space = Space([Option(name="mode", type="categorical", values=(1, "1"))])
    one, other = (
        Dataset(**fields(space=space, configurations=pd.DataFrame({"mode": levels}, dtype=object)))
        for levels in ([1, "1"], ["1", 1])
    )
    assert one.key != other.key


def test_the_key_does_not_depend_on_how_pandas_holds_a_level() -> None:
    floats = pd.DataFrame({"threads": [1.0, 2.0]})
    assert Dataset(**fields()).key == Dataset(**fields(configurations=floats)).key


@samples.relaxed
@given(samples.datasets())
def test_datasets_survive_pickle(dataset: Dataset) -> None:
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301  # our own bytes, as a worker process gets them
    assert again.key == dataset.key
    assert not again.cost_s.flags.writeable


def test_a_dataset_can_be_the_key_of_a_weak_cache() -> None:
    cache: weakref.WeakKeyDictionary[Dataset, int] = weakref.WeakKeyDictionary()
    dataset = samples.dataset()
    cache[dataset] = 1
    del dataset
    gc.collect()
    assert len(cache) == 0


def test_concat_joins_rows() -> None:
    dataset = samples.dataset(6)
    joined = dataset.take([0, 1]).concat(dataset.take([2]), dataset.take([3, 4, 5]))
    assert joined.key == dataset.key


def test_concat_keeps_notes_of_some() -> None:
    noted = Dataset(**fields(notes=pd.DataFrame({"a": ["x", "y"]})))
    joined = Dataset(**fields()).concat(noted)
    assert joined.notes is not None
    assert joined.notes["a"].tolist()[2:] == ["x", "y"]


def test_concat_refuses_other_environments_spaces_and_units() -> None:
    dataset = Dataset(**fields())
    with pytest.raises(UsageError, match=r"hardware\.cores: 4 -> 8"):
        dataset.concat(Dataset(**fields(environment=Environment("b", {"cores": 8}, {"name": "resnet"}, {"side": 224}))))
    with pytest.raises(UsageError, match=r"units differ: .*'s'.*'ms'"):
        dataset.concat(Dataset(**fields(properties={TIME: Property(TIME, "ms")})))
    wider = Space([Option(name="threads", type="ordinal", values=(1, 2, 4, 8))])
    with pytest.raises(UsageError, match="they differ in options threads"):
        dataset.concat(Dataset(**fields(space=wider)))


def test_inactive_options_are_kept() -> None:
    space = Space(
        [
            Option(name="mode", type="categorical", values=("serial", "parallel")),
            Option(name="inter", type="ordinal", values=(1, 2)),
            Option(name="pin", type="boolean"),
        ],
        conditions=[{"option": "inter", "when": "mode == 'parallel'"}, {"option": "pin", "when": "mode == 'parallel'"}],
    )
    frame = space.frame([{"mode": "serial"}, {"mode": "parallel", "inter": 2, "pin": True}])
    dataset = Dataset(**fields(space=space, configurations=frame))
    assert dataset.configurations["inter"].isna().tolist() == [True, False]
    assert dataset.take([1, 0]).configurations["pin"].tolist() == [True, None]


def test_representations_name_environment_rows_and_properties() -> None:
    dataset = samples.dataset(6)
    assert repr(dataset) == "<Dataset 'board': 6 rows, 4 options, properties inference_time_s>"
    html = dataset._repr_html_()
    assert "<table" in html
    assert "inference_time_s" in html
