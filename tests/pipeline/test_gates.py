"""Each gate must fail when there is something to find: a violation is planted in a copy of the project."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("src", "tests", "benchmarks", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "Makefile", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return tmp_path


def make(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a target of the Makefile with the interpreter's own environment instead of making a new one."""
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    command = ["make", target, f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.installed-dev"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("target", "place", "planted", "expected"),
    [
        ("lint", "src/perfport/planted.py", '"""Planted."""\n\nx = {  "a":1 }\n', "would be reformatted"),
        ("lint", "src/perfport/planted.py", '"""Planted."""\n\nimport os\n', "F401"),
        ("lint", "tests/test_planted.py", "import os\n", "F401"),
        ("types", "src/perfport/planted.py", '"""Planted."""\n\nx: int = "text"\n', "Incompatible types"),
        ("types", "tests/test_planted.py", "def test_x():\n    pass\n", "missing a return type"),
        (
            "imports",
            "src/perfport/space/planted.py",
            "import perfport.data.dataset\n",
            "space.planted -> perfport.data",
        ),
        ("imports", "src/perfport/transfer/planted.py", "import perfport.measure.base\n", "BROKEN"),
        ("imports", "src/perfport/measure/machine/planted.py", "import perfport.measure.runner.rig\n", "BROKEN"),
        ("imports", "src/perfport/space/planted.py", "import onnxruntime\n", "BROKEN"),
        ("imports", "src/perfport/sampling/planted.py", "import torch\n", "BROKEN"),
        ("imports", "src/perfport/study/planted.py", "import pynvml\n", "BROKEN"),
        ("imports", "src/perfport/unlisted.py", '"""Has no place in the house."""\n', "unlisted"),
    ],
)
def test_a_planted_violation_is_found(copy: Path, target: str, place: str, planted: str, expected: str) -> None:
    path = copy / place
    path.write_text(planted)
    result = make(target, copy)
    assert result.returncode != 0, result.stdout
    assert expected in result.stdout + result.stderr
