"""Fixtures every test may use."""

from pathlib import Path

import pytest

PUBLISHED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of published measurements (`data/`, `nas/`), kept outside the project."""
    if not (PUBLISHED / "data").is_dir():
        pytest.skip(f"published measurements are not beside the project ({PUBLISHED} does not exist)")
    return PUBLISHED
