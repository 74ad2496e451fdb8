"""What is particular to stores in SQLite files; what every store does is in tests/conformance/test_store.py."""

import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from tests.unit.data import samples
from tests.unit.data.samples import TIME, measurement

import perfport.data
from perfport.data.database import HEAD
from perfport.data.imports import ImportedTables
from perfport.data.measurement import Measurement, Property
from perfport.data.records import (
    CAMPAIGN,
    CAMPAIGN_MEASUREMENT,
    ENVIRONMENT,
    MEASUREMENT,
    METADATA,
    environment_row,
    measurement_row,
)
from perfport.data.store import Store
from perfport.data.tables import read_tables
from perfport.errors import MissingPackageError, StoreError, TableError

MIGRATIONS = Path(perfport.data.__path__[0]) / "migrations"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "perfport.db"


def filled(path: Path, n: int = 3) -> list[Measurement]:
    found = [measurement(block=block) for block in range(n)]
    with Store.open(path) as store:
        store.append(found, campaign="first")
    return found


def read_everything(store: Store) -> None:
    store.campaigns()
    store.units()
    for environment in store.environments():
        store.properties(environment.fingerprint)
        store.done(environment.fingerprint, "")
    store.read()
    store.read(campaign="first")
    store.begin_campaign("first", {})


def test_a_new_store_has_the_tables_that_the_code_speaks_of(path: Path) -> None:
    filled(path)
    inspector = sa.inspect(sa.create_engine(f"sqlite:///{path}"))
    for table in METADATA.sorted_tables:
        columns = {column["name"]: column for column in inspector.get_columns(table.name)}
        assert list(columns) == [column.name for column in table.columns]
        assert [columns[column.name]["nullable"] for column in table.columns] == [c.nullable for c in table.columns]
        unique = {tuple(item["column_names"]) for item in inspector.get_unique_constraints(table.name)}
        declared = {
            tuple(column.name for column in item.columns)
            for item in table.constraints
            if isinstance(item, sa.UniqueConstraint)
        }
        assert unique == declared
        assert {index["name"] for index in inspector.get_indexes(table.name)} == {index.name for index in table.indexes}


def test_the_newest_migration_is_the_schema_the_code_expects() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_heads() == [HEAD]
    revisions = [script.revision for script in scripts.walk_revisions()]
    # Newer schemas are recognised by comparing revisions as text.
    assert revisions == sorted(revisions, reverse=True)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_the_first_schema_is_brought_up_to_date_with_nothing_lost(path: Path, read_only: bool) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        found = [measurement(block=block) for block in range(3)]
        environment = environment_row(samples.BOARD)
        connection.execute(sa.insert(ENVIRONMENT).values(id=1, **environment))
        connection.execute(sa.insert(CAMPAIGN).values(id=1, name="first", spec={}, created_at=""))
        new = {"attempt", "grade", "grade_reasons", "log_se"}
        for number, made in enumerate(found, 1):
            row = measurement_row(made, 1, samples.BOARD.fingerprint)
            old = {name: value for name, value in row.items() if name not in new}
            columns = [column for column in MEASUREMENT.c if column.name not in new]
            table = sa.table("measurement", *(sa.column(column.name, column.type) for column in columns))
            connection.execute(sa.insert(table).values(id=number, **old))
            connection.execute(sa.insert(CAMPAIGN_MEASUREMENT).values(campaign_id=1, measurement_id=number))
    engine.dispose()
    with Store.open(path, read_only=read_only) as store:
        assert store.read(campaign="first") == found
    with Store.open(path) as store:
        assert store.append([replace(found[0], attempt=1, grade="B", grade_reasons=("loud",))], campaign="first") == 1
        assert store.append(found) == 0
        assert store.read(campaign="first")[-1].grade == "B"
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    raw.close()


@pytest.mark.parametrize("protocol", ["table", "timed"])
def test_costs_that_an_older_import_made_up_are_taken_back(path: Path, protocol: str) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.execute(sa.insert(ENVIRONMENT).values(id=1, **environment_row(samples.BOARD)))
        found = [measurement(1, protocol=protocol), measurement(2, protocol=protocol, cost_s=3.0)]
        for number, made in enumerate(found, 1):
            row = measurement_row(made, 1, samples.BOARD.fingerprint)
            connection.execute(sa.insert(MEASUREMENT).values(id=number, **row))
    engine.dispose()
    with Store.open(path) as store:
        first, second = (made.cost_s for made in store.read())
        assert second == 3.0
        np.testing.assert_equal(first, np.nan if protocol == "table" else 0.0)


def test_files_are_in_wal_mode_and_every_commit_waits_for_the_disk(path: Path) -> None:
    with Store.open(path) as store, store._database.reading() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_the_log_is_folded_into_the_file_at_the_end(path: Path) -> None:
    filled(path)
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208


def test_opening_leaves_logging_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (logging.getLogger().level, list(logging.getLogger().handlers), logging.getLogger("alembic").level)
    with caplog.at_level(logging.WARNING):
        filled(path)
    assert caplog.records == []
    assert (logging.getLogger().level, list(logging.getLogger().handlers), logging.getLogger("alembic").level) == before


@pytest.mark.parametrize("spelling", [str, Path, "sqlite:///{}".format])
def test_paths_and_urls_mean_the_same_store(path: Path, spelling: Callable[[Path], str | Path]) -> None:
    found = filled(path)
    with Store.open(spelling(path)) as store:
        assert store.read() == found
        assert store.where == str(path)


def test_a_path_with_odd_characters_is_a_path(tmp_path: Path) -> None:
    for name in ("a b%20c.db", "ü?x=1#y.db", "100%.db"):
        found = filled(tmp_path / name)
        with Store.open(tmp_path / name, read_only=True) as store:
            assert store.read() == found
        assert (tmp_path / name).exists()


def test_a_read_only_store_reads_and_refuses_to_write(path: Path) -> None:
    found = filled(path)
    with Store.open(path, read_only=True) as store:
        assert store.read() == found
        with pytest.raises(StoreError, match="the store is read-only; open it where you may write"):
            store.append([measurement(4)])
        with pytest.raises(StoreError, match="read-only"):
            store.begin_campaign("b", {})


def test_a_file_without_permission_to_write_is_opened_for_reading(path: Path) -> None:
    found = filled(path)
    with as_nobody(path.parent, 0o555), Store.open(path) as store:
        assert store.read() == found
        with pytest.raises(StoreError, match="read-only"):
            store.append([measurement(4)])


def test_a_file_without_permission_to_read_is_refused(path: Path) -> None:
    filled(path)
    path.chmod(0o000)
    with as_nobody(path.parent, 0o555), pytest.raises(StoreError, match="the file cannot be opened"):
        Store.open(path)


def test_a_directory_without_permission_is_refused(path: Path) -> None:
    with as_nobody(path.parent, 0o555), pytest.raises(StoreError, match="may you write there"):
        Store.open(path)


@contextmanager
def as_nobody(folder: Path, mode: int) -> Iterator[None]:
    """Set the mode of a folder, and give up root's right to ignore it."""
    for parent in folder.parents:
        if parent == Path(tempfile.gettempdir()):
            break
        parent.chmod(0o755)  # pytest keeps its folders to itself
    folder.chmod(mode)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def _other_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (a)")
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (lambda path: path.write_bytes(b"this is a text and not a database" * 9), "not an SQLite database"),
        (lambda path: path.mkdir(), "is a directory; give the path of a file"),
        (_other_database, r"holds other tables \(other\) and is no store"),
    ],
)
def test_what_is_no_store_is_refused_and_left_alone(path: Path, prepare: Callable[[Path], object], text: str) -> None:
    prepare(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError, match=text) as caught:
        Store.open(path)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_damaged_file_is_refused(path: Path) -> None:
    filled(path, 200)
    content = bytearray(path.read_bytes())
    content[8192:-4096] = b"\x5a" * (len(content) - 8192 - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|not a store"), Store.open(path) as store:
        store.read()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("environment", "facets", "{"),
        ("environment", "facets", b"\xff\xfe\x00"),
        ("environment", "facets", 7),
        ("environment", "facets", "[" * 100_000),
        ("environment", "facets", '{"clock": {}}'),
        ("environment", "facets", '{"hardware": {"cores": null}}'),
        ("environment", "name", b"board"),
        ("measurement", "configuration", '{"threads": 2'),
        ("measurement", "configuration", '{"threads": [2]}'),
        ("measurement", "repetitions", '{"inference_time_s": ["?"]}'),
        ("measurement", "repetitions", "{}"),
        ("measurement", "absent", '"none"'),
        ("measurement", "conditions", "\x00"),
        ("measurement", "cost_s", "dear"),
        ("measurement", "status", "oj"),
        ("measurement", "log_se", '{"inference_time_s": "0.1"}'),
        ("measurement", "block", b"\x01"),
        ("measurement", "environment_id", 12),
        ("property", "direction", "minimisf"),
        ("property", "unit", b"s"),
        ("campaign", "spec", "{'a': 1}"),
        ("campaign", "spec", "[]"),
        ("campaign", "name", b"first"),
    ],
)
def test_a_damaged_cell_is_named(path: Path, table: str, column: str, value: object) -> None:
    with Store.open(path) as store:
        store.append([measurement()], campaign="first", properties=[Property(TIME, "s")])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))  # noqa: S608  # names of our own
    damage = f"row 1 of table '{table}' is damaged: .*; restore"
    with pytest.raises(StoreError, match=damage) as caught, Store.open(path) as store:
        read_everything(store)
    assert "\n" not in str(caught.value)
    assert caught.value.details["row"] == 1


def test_a_flipped_bit_is_a_store_error_or_a_value(path: Path) -> None:
    with Store.open(path) as store:
        store.append(
            [measurement(block=block) for block in range(3)], campaign="first", properties=[Property(TIME, "s")]
        )
        store.begin_campaign("first", {"space": samples.space().to_yaml()})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    written = np.flatnonzero(np.frombuffer(whole, dtype=np.uint8))  # most of the pages is empty
    n_refused = 0
    for place, bit in zip(rng.choice(written, 200), rng.integers(8, size=200), strict=True):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(bit)
        path.write_bytes(damaged)
        try:
            with Store.open(path) as store:
                read_everything(store)
        except StoreError as error:
            assert "\n" not in str(error)
            n_refused += 1
        for left in path.parent.glob(f"{path.name}-*"):
            left.unlink()
    assert n_refused > 40


def test_a_missing_directory_or_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"directory .*nowhere does not exist; make it first"):
        Store.open(tmp_path / "nowhere" / "perfport.db")
    with pytest.raises(StoreError, match="no such store"):
        Store.open(tmp_path / "perfport.db", create=False)
    with pytest.raises(StoreError, match="no such store"):
        Store.open(f"sqlite:///{tmp_path / 'perfport.db'}", create=False)
    with pytest.raises(StoreError, match="no such store"):
        Store.open(tmp_path / "perfport.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["foo://x", "mysql://u:secret@h/d", "://", "postgresql+nothing://u:secret@h/d"])
def test_urls_of_other_kinds_are_refused_without_telling_the_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingPackageError, match=r"needs .* 'psycopg'; install it: pip install 'perfport\[fleet\]'"):
        Store.open("postgresql://localhost/perfport")


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    # What is left when a process is killed while it makes a store.
    path.touch()
    assert len(filled(path)) == 3


def test_reading_tables_needs_no_database() -> None:
    check = "import sys; import perfport.data.tables; sys.exit('sqlalchemy' in sys.modules or 'alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE perfport_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match=r"schema 9999 is newer than 0003, .*; update perfport"):
        Store.open(path)


def test_a_full_disk_is_said_and_loses_nothing(path: Path) -> None:
    found = filled(path, 2)
    with Store.open(path) as store:
        with store._database.reading() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            # The pool has one idle connection, the one that the next call uses.
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        big = [measurement(block=block, values=np.arange(1.0, 999.0)) for block in range(2, 60)]
        with pytest.raises(StoreError, match="the disk is full; free some space and run again"):
            store.append(big, campaign="second")
        assert store.read() == found
        assert [campaign.name for campaign in store.campaigns()] == ["first"]
    with Store.open(path) as store:
        assert store.append(big) == len(big)


def test_a_locked_store_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfport.data.database._BUSY_TIMEOUT_S", 0.05)
    filled(path)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with Store.open(path) as store:
            assert len(store.read()) == 3  # readers never wait for a writer
            with pytest.raises(StoreError, match="another process has been writing"):
                store.append([measurement(4)])
    finally:
        blocker.close()


def test_published_style_tables_go_in_and_come_out(path: Path, tmp_path: Path) -> None:
    tables = read_tables(samples.table_folder(tmp_path / "tables"))
    with Store.open(path) as store:
        assert store.import_tables(tables).n_new == 3
        assert store.import_tables(tables) == ImportedTables()
        dataset = store.dataset("board")
        assert dataset.space == tables.space
        assert dataset.responses[TIME].tolist() == [0.9, 0.5, 0.4]
        assert store.campaigns()[0].spec["system"] == "sample"


def test_import_of_a_wrong_table_names_it(path: Path, tmp_path: Path) -> None:
    tables = read_tables(samples.table_folder(tmp_path / "tables", files={"board.csv": samples.CSV + "1,none\n"}))
    with Store.open(path) as store:
        with pytest.raises(TableError, match=r"board\.csv: row 4"):
            store.import_tables(tables)
        assert store.read() == []


def test_rows_are_exported(path: Path, tmp_path: Path) -> None:
    filled(path)
    with Store.open(path) as store:
        assert store.export_rows(tmp_path / "rows.parquet", environment="board") == 9
        assert repr(store) == f"<Store {path}>"
