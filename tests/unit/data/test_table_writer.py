import copy
import gzip
import resource
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from tests.unit.data import samples
from tests.unit.data.samples import TIME

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import Property
from perfport.data.tables import SystemTables, read_tables, write_tables
from perfport.errors import TableError
from perfport.space.options import Option
from perfport.space.space import Space


def sample_tables() -> SystemTables:
    other = samples.dataset(4, environment=Environment("other", hardware={"cores": 8}), seed=1)
    return SystemTables.of("sample", [samples.dataset(), other], title="two boards")


def assert_same(one: SystemTables, two: SystemTables) -> None:
    assert (one.name, one.title, one.index_column, one.metadata) == (
        two.name,
        two.title,
        two.index_column,
        two.metadata,
    )
    assert one.space == two.space
    assert dict(one.properties) == dict(two.properties)
    assert list(one.environments) == list(two.environments)
    for name, dataset in one.environments.items():
        again = two.environments[name]
        assert again.environment == dataset.environment
        assert again.key == dataset.key
        assert again.configurations.dtypes.equals(dataset.configurations.dtypes)


@samples.relaxed
@given(samples.datasets())
def test_what_is_written_reads_back_equal(dataset: Dataset) -> None:
    tables = SystemTables.of("drawn", [dataset])
    with TemporaryDirectory() as folder:
        write_tables(Path(folder) / "tables", tables)
        assert_same(tables, read_tables(Path(folder) / "tables"))


def test_several_environments_title_and_metadata_survive(tmp_path: Path) -> None:
    tables = sample_tables()
    noted = SystemTables(
        tables.name, tables.title, tables.space, tables.properties, tables.environments,
        metadata={"source": {"licence": "CC0"}, "known_defects": ["none: really", "2024-01-01"]},
    )  # fmt: skip
    write_tables(tmp_path / "a" / "b", noted)
    assert_same(noted, read_tables(tmp_path / "a" / "b"))


def test_rules_of_the_space_survive(tmp_path: Path) -> None:
    space = Space(
        [
            Option(name="threads", type="integer", lower=1, upper=8, scale="log", owner="actuator", default=2),
            Option(name="streams", type="ordinal", values=(1, 2)),
            Option(name="mode", type="categorical", values=("serial", "parallel"), group="g", description="how"),
        ],
        conditions=[{"option": "streams", "when": "mode == 'parallel'"}],
        forbidden=["threads == 7"],
        constraints=["threads * streams <= cores"],
        constants={"cores": 8},
        name="rules",
    )
    configurations = space.sample(10, np.random.default_rng(0))
    dataset = Dataset(
        space=space,
        environment=samples.BOARD,
        properties={TIME: Property(TIME, "s")},
        configurations=configurations,
        responses={TIME: np.arange(1.0, len(configurations) + 1)},
    )
    tables = SystemTables.of("rules", [dataset])
    write_tables(tmp_path / "t", tables)
    assert_same(tables, read_tables(tmp_path / "t"))


def test_notes_and_index_survive(tmp_path: Path) -> None:
    frame = pd.DataFrame({"threads": [1, 2], TIME: [0.1, 0.2], "id": [7, 9], "remark": ["hot, very", "007"]})
    dataset = Dataset.from_frame(frame, properties=[TIME], options=["threads"], environment=samples.BOARD)
    tables = SystemTables("s", "", dataset.space, dataset.properties, {"board": dataset}, index_column="id")
    write_tables(tmp_path / "t", tables)
    again = read_tables(tmp_path / "t").environments["board"]
    assert (tmp_path / "t" / "board.csv").read_text(encoding="utf-8").startswith("id,threads,")
    assert again.notes is not None
    assert dataset.notes is not None
    assert again.notes.equals(dataset.notes)


def test_reasons_survive_and_columns_give_way_to_names_in_use(tmp_path: Path) -> None:
    frame = pd.DataFrame({"status": ["a", "b"], "cost_s": [1, 2], "blocks": [8, 4], "reason": [1, 2], TIME: [0.1, 0.2]})
    plain = Dataset.from_frame(frame, properties=[TIME], environment=samples.BOARD)
    dataset = Dataset(
        space=plain.space,
        environment=plain.environment,
        properties=plain.properties,
        configurations=plain.configurations,
        responses={TIME: np.array([0.1, np.nan])},
        status=np.array(["ok", "failed"]),
        cost_s=np.array([1.5, np.nan]),
        notes=pd.DataFrame({"reason": ["", "no such kernel"], "blocks": [1, 3]}),
    )
    write_tables(tmp_path / "t", SystemTables.of("s", [dataset]))
    again = read_tables(tmp_path / "t").environments["board"]
    assert again.key == dataset.key
    assert again.notes is not None
    assert again.notes["reason"].tolist() == ["", "no such kernel"]
    assert again.notes["blocks_"].tolist() == [1, 3]


def test_compressed_tables_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tables(tmp_path / name, sample_tables(), compress=True)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["board.csv.gz", "datacard.yaml", "other.csv.gz"]
    assert (tmp_path / "a" / "board.csv.gz").read_bytes() == (tmp_path / "b" / "board.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a" / "board.csv.gz").read_bytes()).startswith(b"threads,")


def test_names_that_file_systems_dislike_get_files_of_their_own(tmp_path: Path) -> None:
    names = ["../up", "a/b", "A/B", ".hidden", "datacard.yaml", "ü"]
    datasets = [samples.dataset(2, environment=Environment(name, hardware={"n": name})) for name in names]
    tables = SystemTables.of("sample", datasets)
    write_tables(tmp_path / "t", tables)
    assert len(list((tmp_path / "t").iterdir())) == len(names) + 1
    assert_same(tables, read_tables(tmp_path / "t"))


def test_a_folder_in_use_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    write_tables(tmp_path / "t", sample_tables())
    (tmp_path / "t" / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(TableError, match="is not empty; give another folder, or overwrite=True"):
        write_tables(tmp_path / "t", sample_tables())
    only = SystemTables.of("sample", [samples.dataset(3, seed=5)])
    write_tables(tmp_path / "t", only, overwrite=True)
    assert_same(only, read_tables(tmp_path / "t"))
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["board.csv", "datacard.yaml", "mine.txt"]


def test_overwriting_removes_nothing_a_card_does_not_name_beside_it(tmp_path: Path) -> None:
    precious = tmp_path / "precious.csv"
    precious.write_text("1", encoding="utf-8")
    card = copy.deepcopy(samples.CARD)
    card["environments"][0]["file"] = "../precious.csv"
    folder = samples.table_folder(tmp_path / "t", card=card, files={})
    write_tables(folder, sample_tables(), overwrite=True)
    assert precious.exists()


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    write_tables(tmp_path, sample_tables())
    assert_same(sample_tables(), read_tables(tmp_path))


def test_nothing_is_left_behind_when_the_disk_refuses(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(TableError, match=r"t: cannot be written: File too large"):
            write_tables(tmp_path / "t", sample_tables())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_an_old_table_survives_a_failed_overwrite(tmp_path: Path) -> None:
    write_tables(tmp_path / "t", sample_tables())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(TableError, match="cannot be written"):
            write_tables(tmp_path / "t", SystemTables.of("sample", [samples.dataset(60)]), overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_same(sample_tables(), read_tables(tmp_path / "t"))


def test_what_a_table_cannot_say_is_refused(tmp_path: Path) -> None:
    dataset = samples.dataset()
    with pytest.raises(TableError, match="rows 0 and 6 are the same configuration; fold replicates first"):
        write_tables(tmp_path / "t", SystemTables.of("s", [dataset.concat(dataset)]))
    space = Space(
        [Option(name="on", type="boolean"), Option(name="mode", type="categorical", values=("", "a"))],
        conditions=[{"option": "mode", "when": "on"}],
    )
    frame = space.sample(3, np.random.default_rng(0)).assign(**{TIME: 1.0})
    with pytest.raises(TableError, match="option 'mode': two of its levels would be the same text in a table"):
        write_tables(tmp_path / "t", SystemTables.of("s", [Dataset.from_frame(frame, properties=[TIME], space=space)]))
    tables = SystemTables("s", "", dataset.space, dataset.properties, {"board": dataset}, metadata={"options": []})
    with pytest.raises(TableError, match="metadata 'options' is a field of the card itself"):
        write_tables(tmp_path / "t", tables)
    tables = replace(tables, metadata={"author": "me"})
    with pytest.raises(TableError, match="metadata 'author' is no key of a card; it may hold source, licence"):
        write_tables(tmp_path / "t", tables)
    tables = SystemTables("s", "", dataset.space, dataset.properties, {"board": dataset}, index_column="id")
    with pytest.raises(TableError, match="the notes have no index column 'id'"):
        write_tables(tmp_path / "t", tables)
    assert not (tmp_path / "t").exists()


def test_the_card_reads_alike_with_any_yaml_reader(tmp_path: Path) -> None:
    frame = pd.DataFrame({"mode": ["on", "off", "1", "1e5", "none"], TIME: [1.0, 2.0, 3.0, 4.0, 5.0]})
    write_tables(tmp_path / "t", SystemTables.of("s", [Dataset.from_frame(frame, properties=[TIME])]))
    card = yaml.safe_load((tmp_path / "t" / "datacard.yaml").read_text(encoding="utf-8"))
    assert card["options"][0]["values"] == ["1", "1e5", "none", "off", "on"]
    assert read_tables(tmp_path / "t").space.option("mode").levels == ("1", "1e5", "none", "off", "on")
