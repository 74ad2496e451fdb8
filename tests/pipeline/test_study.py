"""A study from the command line: from a file to rows, page and table; killed, and going on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.unit.study.samples import ENVIRONMENTS

from perfport.cli.app import run
from perfport.data.tables import SystemTables, write_tables
from perfport.study.run import run_study
from perfport.study.spec import StudySpec

STUDY = """\
name: toy
data: tables
environments: [old, new]
strategies: [scaled, linear_shift, "target_only:tree"]
budgets: [5, 15]
seeds: 2
"""

LONG_STUDY = STUDY.replace("seeds: 2", "seeds: 32")

Command = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_tables("tables", SystemTables.of("toy", [ENVIRONMENTS["old"], ENVIRONMENTS["new"]]))
    Path("study.yaml").write_text(STUDY)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_study_of_which_nothing_came_fails_and_says_why(
    folder: Path, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("study.yaml").write_text(STUDY.replace("[5, 15]", "[500]"))
    assert run(["study", "study.yaml", *flags]) == 1
    told = capsys.readouterr()
    assert "all 12 cells of the study failed" in told.err
    assert "leave no configuration to test on" in told.err.splitlines()[-1]
    assert told.out


def test_a_study_gives_rows_a_page_and_an_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = printed(capsys, "study", "study.yaml")
    assert (first["cells"], first["computed"], first["n_tasks"]) == (24, 24, 2)
    assert first["best"] in first["errors_pct"]
    assert first["baseline"] == "target_only:tree"
    assert len(pd.read_parquet(folder / "toy" / "cells")) == 24
    assert "toy" in Path(first["page"]).read_text(encoding="utf-8")
    # What is kept beside the rows is a study too, wherever it is started from.
    assert printed(capsys, "study", "toy/study.yaml", "--out", "toy")["computed"] == 0
    assert printed(capsys, "study", "study.yaml")["computed"] == 0


def test_the_table_is_shown_on_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "study.yaml", "--out", "results"]) == 0
    text = capsys.readouterr().out
    assert "linear_shift" in text
    assert "has the least error over 2 tasks" in " ".join(text.split())


def test_data_may_be_named_on_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tables").rename("elsewhere")
    assert printed(capsys, "study", "study.yaml", "--data", "elsewhere")["computed"] == 24


def test_a_store_is_as_good_as_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, "import", "tables")
    from_store = printed(capsys, "study", "study.yaml", "--data", "perfport.db", "--out", "a")
    from_tables = printed(capsys, "study", "study.yaml", "--out", "b")
    assert from_store["errors_pct"] == from_tables["errors_pct"]


def test_several_systems_are_told_apart_by_their_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("all").mkdir()
    Path("tables").rename("all/toy")
    pairs = "pairs: [{system: toy, sources: old, target: new}]"
    Path("study.yaml").write_text(STUDY.replace("environments: [old, new]", pairs).replace("data: tables", "data: all"))
    assert printed(capsys, "study", "study.yaml")["cells"] == 12
    across = "environments: [toy/old, toy/new]"
    Path("study.yaml").write_text(
        STUDY.replace("environments: [old, new]", across).replace("data: tables", "data: all")
    )
    assert printed(capsys, "study", "study.yaml")["cells"] == 24
    Path("study.yaml").write_text(STUDY.replace("data: tables", "data: all"))
    assert run(["study", "study.yaml"]) == 2
    assert "holds tables of several systems" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("budgets", "budget"), "unknown field 'budget'; did you mean 'budgets'?"),
        (("scaled", "scalled"), "unknown strategy 'scalled'; did you mean 'scaled'?"),
        (("old, new", "old, nev"), "no environment 'nev'"),
        (("data: tables", "data: tabels"), "there are no data at"),
        (("name: toy", "name: [toy"), "not YAML"),
        (("seeds: 2", "properties: [energy_j]"), "has no property 'energy_j'"),
    ],
)
def test_a_wrong_study_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], said: str
) -> None:
    Path("study.yaml").write_text(STUDY.replace(*change))
    assert run(["study", "study.yaml"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_help_fits_eighty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["study", "--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Rows of the study that is stopped below, where nobody stops it."""
    folder = tmp_path_factory.mktemp("whole")
    write_tables(folder / "tables", SystemTables.of("toy", [ENVIRONMENTS["old"], ENVIRONMENTS["new"]]))
    return run_study(StudySpec.from_yaml(LONG_STUDY), folder / "rows", data=folder / "tables").rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGKILL, 1), (signal.SIGKILL, 2), (signal.SIGTERM, 2), (signal.SIGINT, 2)],
    ids=["killed", "killed with workers", "ended", "interrupted"],
)
def test_a_study_that_was_stopped_goes_on_and_ends_with_the_same_rows(
    folder: Path, whole: pd.DataFrame, number: signal.Signals, workers: int
) -> None:
    Path("study.yaml").write_text(LONG_STUDY)
    command = [sys.executable, "-m", "perfport", "study", "study.yaml", "--out", "stopped", "--workers", str(workers)]
    started = subprocess.Popen(command, env=os.environ | {"PYTHONWARNINGS": "ignore"}, start_new_session=True)
    cells = folder / "stopped" / "cells"
    deadline = time.monotonic() + 120
    while not list(cells.glob("*.parquet")) and started.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    # Only the one that was started is told; its workers must follow.
    started.send_signal(number)
    code = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGINT: 130}[number]
    assert started.wait(60) == code
    assert_all_gone(started.pid)
    n_kept = len(pd.read_parquet(cells))
    assert 0 < n_kept < 384

    resumed = run_study(StudySpec.from_yaml(LONG_STUDY), folder / "stopped", data=folder / "tables")
    assert (resumed.n_before, resumed.n_computed) == (n_kept, 384 - n_kept)
    timing = ["elapsed_s"]
    assert resumed.rows.drop(columns=timing).equals(whole.drop(columns=timing))


def assert_all_gone(group: int) -> None:
    """No process of a group is left; the kernel takes a moment to end what it was told to end."""
    deadline = time.monotonic() + 20
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.02)
        pytest.fail("workers go on without the study")
