"""What cannot be used as given: one line that names it, the documented exit code, and nothing lost."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from perfport.cli.app import run

CARD = """\
system: toy
title: a toy
options:
- {name: threads, type: ordinal, values: [1, 2, 4]}
- {name: mode, type: categorical, values: [none, fast]}
objectives:
- {name: time_s, unit: s, direction: minimise}
environments:
- {name: here, file: here.csv}
- {name: there, file: there.csv}
"""
ROWS = "threads,mode,time_s\n1,none,4.0\n2,none,2.5\n4,none,2.0\n1,fast,3.0\n2,fast,1.9\n4,fast,1.5\n"

CAMPAIGN = """\
name: toy
environments:
- {name: here, system: synthetic}
configurations: 5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with sound tables and a sound campaign."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/datacard.yaml").write_text(CARD)
    for name in ("here", "there"):
        (tmp_path / f"tables/{name}.csv").write_text(ROWS)
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    return tmp_path


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def emptied(folder: Path) -> None:
    """A store that was begun and never written, as an interrupted copy leaves it."""
    (folder / "empty.db").touch()


def untouched(folder: Path) -> None:
    """The files are sound; the command line is not."""


TRANSFER = ["transfer", "--data", "tables", "-s", "here", "-t", "there", "-p", "time_s", "-n", "3"]
TABLE = "tables/here.csv"
CARD_FILE = "tables/datacard.yaml"

# (what is wrong, how the files are changed, the command line, exit code, what the line must say)
Case = tuple[str, Callable[[Path], None], list[str], int, tuple[str, ...]]
CASES: list[Case] = [
    ("unknown command", untouched, ["mesure"], 2, ("mesure", "measure")),
    ("unknown flag", untouched, ["doctor", "--loud"], 2, ("--loud",)),
    ("missing argument", untouched, ["measure"], 2, ("campaign",)),
    ("flag without a number", untouched, ["measure", "campaign.yaml", "--max-runs", "many"], 2, ("--max-runs",)),
    ("number out of range", untouched, [*TRANSFER[:-1], "0"], 2, ("--budget",)),
    ("no such campaign file", untouched, ["measure", "nowhere.yaml"], 2, ("nowhere.yaml", "No such file")),
    (
        "campaign is no mapping",
        replaced("campaign.yaml", CAMPAIGN, "- 1\n"),
        ["plan", "campaign.yaml"],
        2,
        ("mapping",),
    ),
    (
        "campaign is no YAML",
        replaced("campaign.yaml", "name: toy", "name: [toy"),
        ["plan", "campaign.yaml"],
        2,
        ("line",),
    ),
    (
        "misspelt key",
        replaced("campaign.yaml", "configurations", "configuratoins"),
        ["plan", "campaign.yaml"],
        2,
        ("configuratoins", "configurations"),
    ),
    (
        "unknown system",
        replaced("campaign.yaml", "synthetic", "syntetic"),
        ["plan", "campaign.yaml"],
        2,
        ("synthetic",),
    ),
    (
        "unknown network",
        replaced("campaign.yaml", "system: synthetic", "system: onnxruntime, network: resnet9000"),
        ["plan", "campaign.yaml"],
        2,
        ("resnet9000", "ppocr_det"),
    ),
    (
        "missing workload fact",
        replaced("campaign.yaml", "system: synthetic", "system: onnxruntime, network: ppocr_det"),
        ["plan", "campaign.yaml"],
        2,
        ("side",),
    ),
    (
        "unknown option in a listed configuration",
        replaced("campaign.yaml", "configurations: 5", "configurations: [{turbo: true}]"),
        ["plan", "campaign.yaml"],
        2,
        ("turbo", "option_1"),
    ),
    (
        "negative repetitions",
        replaced("campaign.yaml", "configurations: 5", "configurations: -5"),
        ["plan", "campaign.yaml"],
        2,
        ("configurations",),
    ),
    ("folder without a card", untouched, ["import", "."], 2, ("datacard.yaml",)),
    ("folder that is not there", untouched, ["import", "nowhere"], 2, ("nowhere",)),
    (
        "card that is no YAML",
        replaced(CARD_FILE, "title: a toy", "title: {a"),
        ["import", "tables"],
        2,
        ("datacard.yaml",),
    ),
    ("unknown option type", replaced(CARD_FILE, "ordinal", "odinal"), ["import", "tables"], 2, ("odinal", "ordinal")),
    (
        "card without objectives",
        replaced(CARD_FILE, "objectives", "objectifs"),
        ["import", "tables"],
        2,
        ("'objectifs'", "did you mean 'objectives'"),
    ),
    (
        "misspelt key of a card",
        replaced(CARD_FILE, "title:", "repetition_colum:"),
        ["import", "tables"],
        2,
        ("'repetition_colum'", "did you mean 'repetition_column'"),
    ),
    (
        "file outside the folder",
        replaced(CARD_FILE, "file: here.csv", "file: ../here.csv"),
        ["import", "tables"],
        2,
        ("../here.csv",),
    ),
    (
        "file that is not there",
        replaced(CARD_FILE, "file: here.csv", "file: gone.csv"),
        ["import", "tables"],
        2,
        ("gone.csv",),
    ),
    ("missing column", replaced(TABLE, "threads,", "treads,"), ["import", "tables"], 2, ("here.csv", "threads")),
    ("text for a number", replaced(TABLE, "4.0", "fast"), ["import", "tables"], 2, ("here.csv", "row", "fast")),
    ("empty response", replaced(TABLE, "4.0", ""), ["import", "tables"], 2, ("here.csv", "row")),
    ("infinite response", replaced(TABLE, "4.0", "inf"), ["import", "tables"], 2, ("here.csv", "row", "inf")),
    ("negative response", replaced(TABLE, "4.0", "-4.0"), ["import", "tables"], 2, ("here.csv", "row", "-4")),
    (
        "level the card does not have",
        replaced(TABLE, "4,none", "3,none"),
        ["import", "tables"],
        2,
        ("here.csv", "threads", "3"),
    ),
    (
        "row twice with different values",
        replaced(TABLE, "2,none,2.5", "1,none,2.5"),
        ["import", "tables"],
        2,
        ("here.csv", "row"),
    ),
    ("row that is too short", replaced(TABLE, "2,none,2.5", "2,none"), ["import", "tables"], 2, ("here.csv", "row")),
    ("no such source", untouched, [*TRANSFER[:4], "hear", *TRANSFER[5:]], 2, ("hear", "here")),
    ("no such property", untouched, [*TRANSFER[:8], "energy_j", *TRANSFER[9:]], 2, ("energy_j", "time_s")),
    ("budget above the space", untouched, [*TRANSFER[:-1], "600"], 2, ("600", "6")),
    ("unknown strategy", untouched, [*TRANSFER, "--strategy", "magic"], 2, ("magic", "auto")),
    ("rename without an equals sign", untouched, [*TRANSFER, "--rename", "threads"], 2, ("--rename", "NAME=VALUE")),
    ("no such store", untouched, ["export", "out", "--store", "nowhere.db"], 2, ("nowhere.db",)),
    ("store that is no database", untouched, ["export", "out", "--store", "campaign.yaml"], 2, ("campaign.yaml",)),
    ("empty store", emptied, ["transfer", "--data", "empty.db", "-t", "here"], 2, ("empty.db", "is empty")),
    ("empty store to export", emptied, ["export", "out", "--store", "empty.db"], 2, ("empty.db", "is empty")),
    ("empty store to plan with", emptied, ["plan", "campaign.yaml", "--store", "empty.db"], 2, ("is empty",)),
    ("no such model", untouched, ["predict", "nowhere.perfport"], 2, ("nowhere.perfport",)),
    ("model that is no model", untouched, ["predict", "campaign.yaml"], 2, ("campaign.yaml",)),
    (
        "export to another kind of file",
        untouched,
        ["export", "o.xlsx"],
        2,
        ("o.xlsx", ".parquet, .csv, .csv.gz", "folder"),
    ),
    ("export into a folder in use", untouched, ["export", "tables"], 2, ("tables: exists", "--overwrite")),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_bad_input_is_answered_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str], case: Case) -> None:
    _, change, arguments, code, said = case
    change(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("perfport: ")
    assert printed.err.count("\n") == 1, printed.err
    for part in said:
        assert part in printed.err
    assert before.items() <= {path: path.read_bytes() for path in before if path.exists()}.items()


@pytest.mark.parametrize("text", ["[", "{a: 1", "@x", "2024-13-45", ""])
def test_a_level_that_is_no_yaml_is_answered_with_the_levels(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert run(TRANSFER) == 0
    capsys.readouterr()
    assert run(["predict", "model.perfport", "--set", f"mode={text}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line
    assert "none" in line and "fast" in line


def test_a_failed_import_keeps_what_is_in_the_store(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "tables"]) == 0
    (folder / TABLE).write_text(ROWS.replace("4.0", "nonsense"))
    assert run(["import", "tables"]) == 2
    capsys.readouterr()
    assert run(["export", "rows.csv"]) == 0
    assert len((folder / "rows.csv").read_text().splitlines()) == 1 + 12


FROM_STORE = ["transfer", "--data", "perfport.db", *TRANSFER[3:]]


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "tables", "-e", "hear"],
        ["export", "out", "-e", "hear"],
        ["export", "out", "--campaign", "toi"],
        ["export", "nowhere/rows.csv"],
        [*FROM_STORE[:4], "hear", *FROM_STORE[5:]],
        ["compare", "--data", "tables", "here", "their", "-p", "time_s"],
        ["card", "model.perfport", "-o", "nowhere/card.md"],
        ["report", "model.perfport", "-o", "nowhere/report.html"],
        ["predict", "model.perfport", "-o", "nowhere/rows.csv"],
        [*TRANSFER, "-m", "nowhere/model.perfport"],
    ],
    ids=" ".join,
)
def test_a_name_or_a_path_that_is_not_there_is_a_usage_error(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(["import", "tables"]) == 0
    if "model.perfport" in arguments:
        assert run([*TRANSFER, "-m", "model.perfport"]) == 0
    capsys.readouterr()
    assert run(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_tables_are_replaced_when_asked(folder: Path) -> None:
    assert run(["import", "tables"]) == 0
    assert run(["export", "boards.v2"]) == 0
    assert run(["export", "boards.v2"]) == 2
    assert run(["export", "boards.v2", "--overwrite"]) == 0
    assert sorted(path.name for path in (folder / "boards.v2").iterdir()) == ["datacard.yaml", "here.csv", "there.csv"]


def test_what_an_import_leaves_out_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tables/there.csv").write_text("threads,mode,time_s\n")
    assert run(["import", "tables"]) == 0
    assert capsys.readouterr().out == (
        "toy: 6 new rows of 1 environment are in perfport.db\n"
        "environment 'there' has no row, and so is not in the store\n"
    )
    (folder / TABLE).write_text(ROWS.replace("2.5", "2.6"))
    assert run(["import", "tables", "-e", "here"]) == 0
    difference = "environment 'here', threads=2 mode=none: time_s is 2.5 in the store and 2.6 in the table"
    assert capsys.readouterr().out == (
        "toy: 0 new rows of 1 environment are in perfport.db\n"
        f"1 row differs from what is stored and was left as it is, the first: {difference}\n"
        "add --replace to take what the tables say\n"
    )
    assert run(["import", "tables", "--replace", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows_new"], told["rows_differing"], told["rows_replaced"]) == (0, 1, 1)
    assert (told["differences"], told["environments_without_rows"]) == ([difference], ["there"])
    assert run(["import", "tables", "-e", "here", "--replace"]) == 0
    assert capsys.readouterr().out == "toy: 0 new rows of 1 environment are in perfport.db\n"


def test_time_outs_are_lower_bounds_from_tables_and_from_a_store(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / CARD_FILE).write_text(CARD + "outcome_column: outcome\n")
    rows = "1,none,4.0,ok\n2,none,2.5,ok\n4,none,2.0,timed_out\n1,fast,3.0,ok\n2,fast,,failed\n"
    for name in ("here", "there"):
        (folder / f"tables/{name}.csv").write_text("threads,mode,time_s,outcome\n" + rows)
    assert run(["import", "tables", "--store", "s.db"]) == 0
    for data in ("tables", "s.db"):
        capsys.readouterr()
        assert run(["transfer", "--data", data, "-s", "here", "-t", "there", "-p", "time_s", "-n", "5"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "target 'there': 1 of 5 rows timed out and are lower bounds" in said
        assert "threads=4 mode=none >= 2.00 s" in said
        assert "threads=2 mode=fast failed" in said
        assert "nan" not in said


@pytest.mark.parametrize("arguments", [["mesure"], ["import", "nowhere"], ["predict", "nowhere.perfport"]])
def test_the_command_itself_exits_with_one_line(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "perfport", *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
