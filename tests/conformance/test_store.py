"""What every store promises, whatever database holds it: SQLite in memory and in a file, PostgreSQL."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.data import samples
from tests.unit.data.samples import BOARD, TIME, measurement

from perfport.data.environment import Environment
from perfport.data.measurement import Measurement, Property, Status, configuration_key
from perfport.data.store import Store
from perfport.data.tables import SystemTables, read_tables, write_tables
from perfport.errors import NotEnoughDataError, StoreError
from perfport.report.assembly import measuring_summary
from perfport.space.options import Option
from perfport.space.space import Space

OTHER = Environment("other", hardware={"cores": 8})


LASTING = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]
lasting = pytest.mark.parametrize("where", LASTING, indirect=True)


@pytest.fixture(params=["memory", *LASTING])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    if request.param == "memory":
        return ":memory:"
    if request.param == "sqlite":
        return tmp_path / "perfport.db"
    return str(request.getfixturevalue("postgres"))


@pytest.fixture
def store(where: str | Path) -> Iterator[Store]:
    with Store.open(where) as opened:
        yield opened


def test_what_is_appended_is_read_back_in_order(store: Store) -> None:
    found = [measurement(4), measurement(1, status=Status.FAILED), measurement(2, environment=OTHER, cost_s=1 / 3)]
    assert store.append(found) == 3
    assert store.read() == found


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(samples.measurements(), max_size=4))
def test_every_legal_measurement_is_kept_to_the_last_digit(store: Store, drawn: list[Measurement]) -> None:
    # PostgreSQL has no place for a zero byte in text; measurements that hold one are SQLite's alone.
    if store.where.startswith("postgres"):
        drawn = [
            item for item in drawn if "\\u0000" not in repr(item.to_dict()) and "\\x00" not in repr(item.to_dict())
        ]
    known = {item.key for item in store.read()}
    new = [item for item in {item.key: item for item in reversed(drawn)}.values() if item.key not in known]
    assert store.append(drawn) == len(new)
    kept = {item.key: item for item in store.read()}
    for item in new:
        assert kept[item.key] == item


def test_the_same_again_changes_nothing(store: Store) -> None:
    found = [measurement(threads) for threads in (1, 2, 4)]
    assert store.append(found[:2]) == 2
    assert store.append(found) == 1
    assert store.append(found) == 0
    assert store.append([]) == 0
    assert store.read() == found


def test_the_first_measurement_of_a_key_counts(store: Store) -> None:
    first = measurement(2, values=[0.1])
    assert store.append([first]) == 1
    assert store.append([measurement(2, values=[9.9])]) == 0
    assert store.append([measurement(2, values=[5.0]), measurement(2, values=[6.0])]) == 0
    assert store.read() == [first]


@pytest.mark.parametrize("change", [{"protocol": "p"}, {"block": 1}, {"environment": OTHER}, {"threads": 4}])
def test_the_key_is_environment_configuration_protocol_and_block(store: Store, change: dict[str, object]) -> None:
    store.append([measurement()])
    assert store.append([measurement(**change)]) == 1  # type: ignore[arg-type]


def test_an_append_happens_whole_or_not_at_all(store: Store) -> None:
    store.append([measurement(1)], properties=[Property(TIME, "s")])
    before = store.read()
    with pytest.raises(StoreError, match="property 'inference_time_s' is stored in 's', given in 'ms'"):
        store.append([measurement(2), measurement(4)], campaign="new", properties=[Property(TIME, "ms")])
    assert store.read() == before
    assert store.campaigns() == []


def test_one_environment_may_measure_in_another_unit_than_the_next(store: Store) -> None:
    store.append([measurement(1)], properties=[Property("latency", "s", "minimise", "a batch")])
    store.append([measurement(1, environment=OTHER)], properties=[Property("latency", "ms")])
    assert store.properties("board") == {"latency": Property("latency", "s", "minimise", "a batch")}
    assert store.properties(OTHER)["latency"].unit == "ms"
    assert store.units() == {(BOARD.fingerprint, "latency"): "s", (OTHER.fingerprint, "latency"): "ms"}


def test_reading_is_restricted_by_environment_campaign_status_and_protocol(store: Store) -> None:
    a, b = measurement(1), measurement(2, status=Status.TIMED_OUT)
    c, d = measurement(1, environment=OTHER), measurement(1, protocol="long")
    store.append([a, b], campaign="first")
    store.append([c, d], campaign="second")
    assert store.read(environment="board") == [a, b, d]
    assert store.read(environment=OTHER.fingerprint) == [c]
    assert store.read(environment=OTHER) == [c]
    assert store.read(campaign="second") == [c, d]
    assert store.read(campaign="second", environment="board") == [d]
    assert store.read(status=Status.TIMED_OUT) == [b]
    assert store.read(protocol="long") == [d]


def test_a_measurement_may_belong_to_two_campaigns(store: Store) -> None:
    shared = measurement(1)
    store.append([shared], campaign="first")
    assert store.append([shared, measurement(2)], campaign="second") == 1
    assert len(store.read(campaign="second")) == 2
    assert store.read(campaign="first") == [shared]
    assert store.append([shared], campaign="second") == 0


def test_done_tells_what_need_not_be_measured_again(store: Store) -> None:
    store.append([measurement(1), measurement(1, block=1), measurement(2, status=Status.FAILED)], campaign="first")
    store.append([measurement(4)], campaign="second")
    keys = {threads: configuration_key(measurement(threads).configuration) for threads in (1, 2, 4)}
    assert store.done(BOARD.fingerprint, "", "first") == {(keys[1], 0, 0), (keys[1], 1, 0), (keys[2], 0, 0)}
    assert store.done(BOARD.fingerprint, "") == {(keys[1], 0, 0), (keys[1], 1, 0), (keys[2], 0, 0), (keys[4], 0, 0)}
    assert store.done(BOARD.fingerprint, "another protocol") == set()
    assert store.done("0" * 16, "") == set()
    assert store.done(BOARD.fingerprint, "", "no such campaign") == set()


def test_campaigns_keep_their_spec(store: Store) -> None:
    spec = {"system": "synthetic", "seed": 1, "levels": (1, 2.5, True, None, "none")}
    record = store.begin_campaign("first", spec)
    assert record.spec == {"system": "synthetic", "seed": 1, "levels": [1, 2.5, True, None, "none"]}
    assert store.begin_campaign("first", spec) == record
    assert store.campaigns() == [record]
    with pytest.raises(StoreError, match="campaign 'first' is known with another seed; give"):
        store.begin_campaign("first", spec | {"seed": 2})


def test_a_campaign_made_by_an_append_takes_its_spec_later(store: Store) -> None:
    store.append([measurement()], campaign="first")
    assert store.begin_campaign("first", {"seed": 1}).spec == {"seed": 1}
    assert store.campaigns()[0].spec == {"seed": 1}


def test_environments_are_found_by_name_and_fingerprint(store: Store) -> None:
    store.append([measurement(), measurement(environment=OTHER)])
    assert store.environments() == [BOARD, OTHER]
    assert store.environment("other") == OTHER
    assert store.environment(BOARD.fingerprint) == BOARD


def test_one_environment_may_have_two_names(store: Store) -> None:
    renamed = Environment("renamed", BOARD.hardware, BOARD.network, BOARD.workload, BOARD.software)
    store.append([measurement(1), measurement(2, environment=renamed)])
    assert [item.environment.name for item in store.read()] == ["board", "renamed"]
    assert len(store.dataset("board")) == len(store.dataset("renamed")) == 2
    assert store.environment("renamed").name == "renamed"


def test_two_environments_of_one_name_must_be_told_apart(store: Store) -> None:
    newer = Environment("board", hardware={"cores": 16})
    store.append([measurement(), measurement(environment=newer)])
    with pytest.raises(StoreError, match="2 environments are called 'board'; give a fingerprint: "):
        store.read(environment="board")
    assert len(store.read(environment=newer)) == 1


def test_unknown_names_are_refused_with_those_that_exist(store: Store) -> None:
    store.append([measurement()], campaign="first")
    with pytest.raises(StoreError, match="no environment 'boart'; it has board; did you mean 'board'"):
        store.read(environment="boart")
    with pytest.raises(StoreError, match="no campaign 'fist'; it has first; did you mean 'first'"):
        store.read(campaign="fist")
    with pytest.raises(StoreError, match="no environment 'nowhere'"):
        store.dataset("nowhere")


def test_a_dataset_sums_up_repetitions_and_blocks(store: Store) -> None:
    store.append([measurement(2, values=[0.1, 0.2, 0.9]), measurement(2, block=1, values=[0.4]), measurement(4)])
    dataset = store.dataset("board")
    assert dataset.environment == BOARD
    assert dataset.configurations["threads"].tolist() == [2, 4]
    np.testing.assert_allclose(dataset.responses[TIME], [0.3, 0.2])


def test_a_dataset_takes_the_space_of_its_campaign(store: Store) -> None:
    space = Space(
        [
            Option(name="threads", type="ordinal", values=(1, 2, 4, 8)),
            Option(name="mode", type="categorical", values=("fast", "slow")),
            Option(name="arena", type="boolean"),
            Option(name="share", type="float", lower=0, upper=1),
        ]
    )
    store.begin_campaign("first", {"space": space.to_yaml()})
    store.append([measurement()], campaign="first")
    assert store.dataset("board").space == space
    wider = Space([*space.options, Option(name="pin", type="boolean")])
    store.begin_campaign("second", {"spaces": {"board": wider.to_yaml(), "other": space.to_yaml()}})
    store.append([measurement()], campaign="second")
    assert store.dataset("board", campaign="second").space == wider
    assert store.dataset("board", space=space).space == space
    with pytest.raises(StoreError, match="the campaigns first, second measured in environment 'board' with different"):
        store.dataset("board")


def test_numbers_of_two_protocols_are_never_mixed(store: Store) -> None:
    store.append([measurement(1, protocol="long"), measurement(2, protocol="short")])
    with pytest.raises(StoreError, match=r"2 protocols \(long, short\), whose numbers do not compare; give protocol"):
        store.dataset("board")
    assert len(store.dataset("board", protocol="long")) == 1
    with pytest.raises(NotEnoughDataError, match="no measurements of campaign"):
        store.dataset("board", protocol="none")


LIMITED = samples.CARD | {"outcome_column": "outcome"}
LIMITED_ROWS = f"threads,mode,{TIME},outcome\n1,none,0.9,ok\n2,NA,2.0,timed_out\n4,fast,,timed_out\n1,fast,,failed\n"


def test_limits_of_time_outs_survive_import_and_export(store: Store, tmp_path: Path) -> None:
    tables = read_tables(samples.table_folder(tmp_path / "in", card=LIMITED, files={"board.csv": LIMITED_ROWS}))
    assert store.import_tables(tables).n_new == 4
    write_tables(tmp_path / "out", SystemTables.of("sample", [store.dataset("board")]))
    for dataset in (store.dataset("board"), read_tables(tmp_path / "out").environments["board"]):
        assert dataset.status.tolist() == ["ok", "timed_out", "timed_out", "failed"]
        np.testing.assert_array_equal(dataset.responses[TIME], [0.9, 2.0, np.nan, np.nan])
    store.export_rows(tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert rows["status"].tolist() == ["ok", "timed_out", "timed_out", "failed"]
    np.testing.assert_array_equal(rows["value"], [0.9, 2.0, np.nan, np.nan])


def test_a_corrected_table_is_told_and_replaces_what_is_stored_when_asked(store: Store, tmp_path: Path) -> None:
    samples.table_folder(tmp_path / "in")
    assert store.import_tables(read_tables(tmp_path / "in"), campaign="old").n_new == 3
    store.append([measurement(2, environment=OTHER)])
    before = store.read()
    samples.table_folder(tmp_path / "in", files={"board.csv": samples.CSV.replace("0.5", "0.6")})
    made = store.import_tables(read_tables(tmp_path / "in"))
    assert (made.n_new, made.n_replaced) == (0, 0)
    said = f"environment 'board', threads=2 mode=NA: {TIME} is 0.5 in the store and 0.6 in the table"
    assert made.differences == (said,)
    assert store.read() == before
    made = store.import_tables(read_tables(tmp_path / "in"), replace=True)
    assert (made.n_new, made.n_replaced, made.differences) == (0, 1, (said,))
    assert store.read() == [before[0], *made.differing, *before[2:]]
    assert store.dataset("board", campaign="old").responses[TIME].tolist() == [0.9, 0.6, 0.4]
    assert not store.import_tables(read_tables(tmp_path / "in"), replace=True).differing


def test_repetitions_in_a_table_are_kept_one_by_one(store: Store, tmp_path: Path) -> None:
    card = samples.CARD | {"repetition_column": "run", "outcome_column": "outcome"}
    rows = [
        "1,none,1,0.9,ok",
        "2,NA,1,0.5,ok",
        "1,none,2,0.7,ok",
        "1,none,3,,failed",
        "2,NA,2,0.6,ok",
        "4,fast,1,,failed",
    ]
    text = "\n".join([f"threads,mode,run,{TIME},outcome", *rows, ""])
    tables = read_tables(samples.table_folder(tmp_path / "in", card=card, files={"board.csv": text}))
    assert store.import_tables(tables).n_new == 3
    assert [made.to_dict()["repetitions"] for made in store.read()] == [{TIME: [0.9, 0.7]}, {TIME: [0.5, 0.6]}, {}]
    dataset, folded = store.dataset("board"), tables.environments["board"]
    np.testing.assert_array_equal(dataset.responses[TIME], folded.responses[TIME])
    np.testing.assert_array_equal(dataset.log_se[TIME], folded.log_se[TIME])
    assert dataset.notes is not None
    assert dataset.notes["repetitions"].tolist() == [2, 2, 0]


def test_a_cost_that_nobody_recorded_stays_unknown(store: Store, tmp_path: Path) -> None:
    store.import_tables(read_tables(samples.table_folder(tmp_path / "in")))
    assert np.isnan(store.dataset("board").cost_s).all()
    write_tables(tmp_path / "out", SystemTables.of("sample", [store.dataset("board")]))
    assert "cost" not in (tmp_path / "out/board.csv").read_text() + (tmp_path / "out/datacard.yaml").read_text()
    assert np.isnan(read_tables(tmp_path / "out").environments["board"].cost_s).all()
    summary = measuring_summary(store.read(), TIME)
    assert summary.cost_s is None


def test_an_environment_without_rows_is_told(store: Store, tmp_path: Path) -> None:
    empty = {"name": "orin", "file": "orin.csv", "hardware": "another board"}
    card = samples.CARD | {"environments": [*samples.CARD["environments"], empty]}
    files = {"board.csv": samples.CSV, "orin.csv": samples.CSV.splitlines()[0] + "\n"}
    made = store.import_tables(read_tables(samples.table_folder(tmp_path / "in", card=card, files=files)))
    assert (made.n_new, made.without_rows) == (3, ("orin",))


@lasting
def test_what_one_store_writes_another_reads_at_once(where: str | Path) -> None:
    with Store.open(where) as one, Store.open(where) as two:
        one.append([measurement(1)])
        assert two.read() == [measurement(1)]
        assert two.append([measurement(1), measurement(2)]) == 1
        assert len(one.read()) == 2


@lasting
def test_closing_and_opening_again_loses_nothing(where: str | Path) -> None:
    with Store.open(where) as store:
        store.append([measurement(1)], campaign="first")
    with Store.open(where) as store:
        assert store.read(campaign="first") == [measurement(1)]


@lasting
def test_threads_may_share_a_store(store: Store) -> None:
    barrier = threading.Barrier(4)

    def append(worker: int) -> int:
        barrier.wait()
        return sum(store.append([measurement(1, block=block)], campaign=f"c{worker}") for block in range(10))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(append, range(4))) == 10
    assert len(store.read()) == 10
    assert all(len(store.read(campaign=f"c{worker}")) == 10 for worker in range(4))
