"""The database under the store: opening, locking, migrating, and saying in one line what went wrong.

SQLite and PostgreSQL differ in this module only; the store speaks portable SQL.

**What survives.** SQLite runs in WAL mode with `synchronous=FULL`. In WAL mode a committed row
survives `kill -9` whatever `synchronous` says, because the operating system holds it; only FULL
makes each commit wait for the disk, and so survive a power cut too. A measurement takes
seconds and the wait milliseconds, so the choice costs nothing that matters.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from perfport.data.decoding import json_cell
from perfport.data.records import METADATA, VERSION_TABLE
from perfport.errors import MissingPackageError, PerfError, StoreError, StoreUsageError

__all__ = ["HEAD", "Database"]

HEAD = "0003"  # the newest migration; a test compares it with migrations/versions
_VERSIONS = tuple(f"{number:04d}" for number in range(1, int(HEAD) + 1))

# A writer holds the lock for one append, milliseconds; half a minute outlasts even a bulk import.
_BUSY_TIMEOUT_S = 30
# Any fixed number: it only has to be the same in every process that opens the store.
_POSTGRES_MIGRATION_LOCK = 0x70657266

_NO_STORE = "not a database"
_ADVICE = (
    ("database or disk is full", "the disk is full; free some space and run again, nothing stored before is lost"),
    ("no space left", "the disk is full; free some space and run again, nothing stored before is lost"),
    ("readonly database", "the store is read-only; open it where you may write"),
    ("read-only transaction", "the store is read-only; open it where you may write"),
    ("database is locked", f"another process has been writing for {_BUSY_TIMEOUT_S} s; wait for it or end it"),
    (_NO_STORE, "the file is not a store (not an SQLite database); give another path"),
    ("disk i/o error", "the disk fails to read or write; check it and its free space"),
    ("could not decode to utf-8", "a text in it cannot be read, the file is damaged; restore it from a copy"),
    ("malformed", "the file is damaged; restore it from a copy"),
    ("unable to open database file", "the file cannot be opened; does the directory exist, and may you write there?"),
    ("connection refused", "the database server does not answer; is it running?"),
)


class Database:
    """One open database, at the newest schema.

    Attributes:
        where: What people call it: the path or URL, without a password.
        is_writable: Whether rows can be added.
    """

    def __init__(self, engine: sa.Engine, where: str, *, is_writable: bool) -> None:
        self._engine = engine
        self.where = where
        self.is_writable = is_writable

    @classmethod
    def open(cls, url_or_path: str | Path, *, create: bool, read_only: bool) -> "Database":
        """Open a database and bring its schema up to date.

        Raises:
            StoreError: If it cannot be opened, is something else, or has a newer schema.
            MissingPackageError: If the driver of the URL is not installed.
        """
        if _is_url(url_or_path):
            database = cls._of_url(str(url_or_path), create=create, read_only=read_only)
        else:
            database = cls._of_file(Path(url_or_path), create=create, read_only=read_only)
        try:
            if read_only and database._is_older():
                # Rows of an older schema cannot be read as they are; whoever may write brings them up to date.
                cls.open(url_or_path, create=False, read_only=False).close()
            database._bring_up_to_date()
        except PerfError:
            database.close()
            raise
        return database

    @classmethod
    def _of_url(cls, text: str, *, create: bool, read_only: bool) -> "Database":
        scheme = text.split("://", maxsplit=1)[0]
        try:
            url = sa.make_url(text)
            if url.drivername in ("postgresql", "postgres"):
                url = url.set(drivername="postgresql+psycopg")
            where = url.render_as_string(hide_password=True)
            if url.get_backend_name() == "sqlite":
                if not url.database or url.database == ":memory:":
                    return cls(_memory_engine(), ":memory:", is_writable=True)
                return cls._of_file(Path(url.database), create=create, read_only=read_only)
            if url.get_backend_name() != "postgresql":
                raise StoreUsageError(f"{where}: stores live in SQLite or PostgreSQL; give a path or postgresql://...")
            options = {"options": "-c default_transaction_read_only=on"} if read_only else {}
            engine = sa.create_engine(url, connect_args=options, pool_pre_ping=True)
        except (ArgumentError, NoSuchModuleError) as error:
            # Not the whole text: it may hold a password.
            raise StoreUsageError(
                f"'{scheme}://...' is no store; give a path, sqlite:///... or postgresql://..."
            ) from error
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"{where} needs the package '{error.name}'; install it: pip install 'perfport[fleet]'"
            ) from error
        return cls(engine, where, is_writable=not read_only)

    @classmethod
    def _of_file(cls, path: Path, *, create: bool, read_only: bool) -> "Database":
        if str(path) == ":memory:":
            return cls(_memory_engine(), ":memory:", is_writable=True)
        path = path.expanduser()
        if path.is_dir():
            raise StoreUsageError(
                f"{path}: is a directory; give the path of a file such as {path / 'perfport.db'}", path=path
            )
        if not path.parent.is_dir():
            raise StoreUsageError(f"{path}: directory {path.parent} does not exist; make it first", path=path)
        exists = path.exists()
        if not exists and (read_only or not create):
            raise StoreUsageError(
                f"{path}: no such store; `perfport measure` or `perfport import` makes one", path=path
            )
        is_writable = not read_only and (not exists or _may_write(path))
        return cls(_file_engine(path, is_writable=is_writable), str(path), is_writable=is_writable)

    def close(self) -> None:
        """Give back all connections; the last one out of SQLite folds the log into the file."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection in one consistent snapshot."""
        with self._explained(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield a connection in one transaction: everything in it happens, or nothing.

        Raises:
            StoreError: If the store is read-only, full, locked for too long, or damaged.
        """
        if not self.is_writable:
            raise StoreError(f"{self.where}: the store is read-only; open it where you may write")
        with (
            self._explained(),
            self._engine.connect() as connection,
            connection.execution_options(**{_WRITES: True}).begin(),
        ):
            yield connection

    def insert_new(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert the rows that break no unique constraint, and return how many these are."""
        if not rows:
            return 0
        # Counted by what comes back: drivers do not agree on the row count of many INSERTs in one.
        statement = self.skipping_duplicates(table).returning(*table.primary_key.columns)
        return len(connection.execute(statement, list(rows)).all())

    def skipping_duplicates(self, table: sa.Table) -> "sqlite.Insert | postgresql.Insert":
        """Return an INSERT that leaves out rows which break a unique constraint.

        Both databases spell it alike, but SQLAlchemy has no common word for it.
        """
        if self._engine.dialect.name == "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the database says into a `StoreError` of one line."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            text = " ".join(str(cause).split())
            advice = next((advice for sign, advice in _ADVICE if sign in text.lower()), f"the database says: {text}")
            kind = StoreUsageError if _NO_STORE in text.lower() else StoreError
            raise kind(f"{self.where}: {advice}", where=self.where, cause=text) from error
        except UnicodeDecodeError as error:
            # SQLite's message about a damaged schema quotes it, and the driver cannot read the quotation.
            raise StoreError(
                f"{self.where}: the file is damaged; restore it from a copy", where=self.where, cause=str(error)
            ) from error

    def _is_older(self) -> bool:
        with self.reading() as connection:
            return (self._version(connection) or HEAD) < HEAD

    def _bring_up_to_date(self) -> None:
        with self.reading() as connection:
            version = self._version(connection)
        if version == HEAD:
            return
        if not self.is_writable:
            raise StoreError(
                f"{self.where}: an older schema ({version or 'none'}) that must be brought up to date, and read-only; "
                "copy it to where you may write"
            )
        if self._engine.dialect.name == "sqlite":
            self._keep_a_log()
        with self.writing() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRES_MIGRATION_LOCK)))
            # Again, now that nobody else can be migrating: the other process may have been first.
            if self._version(connection) != HEAD:
                _upgrade(connection)

    def _keep_a_log(self) -> None:
        """Switch an SQLite file to WAL mode; it stays so. Not before the file is known to be a store."""
        with self._explained(), self._engine.connect() as connection:
            # On the driver's own connection: the mode cannot change inside a transaction.
            driver = connection.connection.driver_connection
            if driver is not None:
                driver.execute("PRAGMA journal_mode = WAL")

    def _version(self, connection: sa.Connection) -> str | None:
        """Return the schema version, None for an empty database.

        Raises:
            StoreError: If the database holds something else, or a newer schema.
        """
        names = set(sa.inspect(connection).get_table_names())
        if VERSION_TABLE not in names:
            ours = set(METADATA.tables)
            foreign = names if self._engine.dialect.name == "sqlite" else names & ours
            if foreign:
                shown = ", ".join(sorted(foreign)[:3])
                raise StoreUsageError(f"{self.where}: holds other tables ({shown}) and is no store; give another path")
            return None
        version: object = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  # a constant
        if version is None or version in _VERSIONS:
            return version
        if isinstance(version, str) and version.isdigit() and version > HEAD:
            raise StoreError(
                f"{self.where}: schema {version} is newer than {HEAD}, the newest this version knows; update perfport",
                version=version,
            )
        raise StoreError(
            f"{self.where}: its schema says it is version {version!r}, which there never was; the file is damaged, "
            "restore it from a copy",
            version=version,
        )


_WRITES = "perfport_writes"


def _is_url(url_or_path: str | Path) -> bool:
    return isinstance(url_or_path, str) and "://" in url_or_path


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _memory_engine() -> sa.Engine:
    # One connection for all: each new one to ":memory:" would be another, empty database.
    engine = sa.create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}, json_deserializer=json_cell
    )
    _set_up_sqlite(engine)
    return engine


def _file_engine(path: Path, *, is_writable: bool) -> sa.Engine:
    query = {} if is_writable else {"mode": "ro", "uri": "true"}
    if not is_writable and not _may_write(path.parent) and not Path(f"{path}-wal").exists():
        # SQLite cannot make the shared-memory file of a WAL database here; where there is no log, it needs none.
        query["immutable"] = "1"
    name = str(path) if is_writable else f"file:{quote(str(path.absolute()))}"
    url = sa.URL.create("sqlite", database=name, query=query)
    engine = sa.create_engine(url, json_deserializer=json_cell)
    _set_up_sqlite(engine)
    return engine


def _set_up_sqlite(engine: sa.Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        # The driver's own transactions begin too late (at the first INSERT) for what `_on_begin` does.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_S * 1000}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        # A writer takes the lock at once: two that first read and then write would deadlock, and
        # SQLite would fail one of them without waiting.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _upgrade(connection: sa.Connection) -> None:
    # Only a new or an old store needs it, and it takes as long to load as everything else here.
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = str(files("perfport.data") / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))  # it interpolates
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
