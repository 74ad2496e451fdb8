"""Fixtures every test may use."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

PUBLISHED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of published measurements (`data/`, `nas/`), kept outside the project."""
    if not (PUBLISHED / "data").is_dir():
        pytest.skip(f"published measurements are not beside the project ({PUBLISHED} does not exist)")
    return PUBLISHED


@pytest.fixture(scope="session", autouse=True)
def _own_machine_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let each worker of the test run measure as if it were alone: its figures are not kept."""
    folder = tmp_path_factory.mktemp("machine")
    own = {"PERFPORT_LEASE_FILE": str(folder / "device.lock"), "PERFPORT_STATE_DIR": str(folder / "state")}
    with mock.patch.dict(os.environ, own):
        yield
