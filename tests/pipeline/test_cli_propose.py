"""`propose` and `list` as people use them who measure with a tool of their own."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

CARD = """\
system: toy
title: a toy
options:
- {name: threads, type: ordinal, values: [1, 2, 4, 8]}
- {name: clock_hz, type: ordinal, unit: Hz, values: [600000000, 900000000, 1200000000]}
- {name: mode, type: categorical, values: [none, fast]}
- {name: cache, type: boolean}
constraints: ["threads < 8 or mode == 'none'"]
objectives:
- {name: inference_time_s, unit: s, direction: minimise}
outcome_column: status
environments:
- {name: old, file: old.csv}
- {name: new, file: new.csv}
"""
CLOCKS_HZ = (600_000_000, 900_000_000, 1_200_000_000)
HEADER = "threads,clock_hz,mode,cache,inference_time_s,status"


def row(threads: int, clock_hz: int, mode: str, cache: int, *, factor: float = 1.0, status: str = "ok") -> str:
    seconds = factor * (0.01 + 6e7 / (threads * clock_hz)) * (0.8 if mode == "fast" else 1.0)
    return f"{threads},{clock_hz},{mode},{cache},{f'{seconds:.5f}' if status == 'ok' else ''},{status}"


ALL_VALID = [
    row for row in product((1, 2, 4, 8), CLOCKS_HZ, ("none", "fast"), (0, 1)) if row[0] < 8 or row[2] == "none"
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a source measured in full, and a target of three rows, one of which failed."""
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "datacard.yaml").write_text(CARD)
    (tables / "old.csv").write_text("\n".join([HEADER, *(row(*levels) for levels in ALL_VALID)]) + "\n")
    few = [row(1, 600_000_000, "none", 0, factor=2), row(8, 900_000_000, "none", 1, factor=2)]
    failed = row(2, 600_000_000, "fast", 1, status="failed")
    (tables / "new.csv").write_text("\n".join([HEADER, *few, failed]) + "\n")
    return tmp_path


def perfport(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "perfport", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def proposed(folder: Path, *arguments: str) -> pd.DataFrame:
    result = perfport(folder, "propose", "--data", "tables", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return pd.DataFrame(json.loads(result.stdout)["rows"])


def test_rows_worth_measuring_are_valid_distinct_and_fit_the_terminal(folder: Path) -> None:
    found = proposed(folder, "-s", "old", "-n", "6")
    assert len(found.drop_duplicates()) == 6
    assert all((found["threads"] < 8) | (found["mode"] == "none"))
    pd.testing.assert_frame_equal(found, proposed(folder, "-s", "old", "-n", "6"))
    shown = perfport(folder, "propose", "--data", "tables", "-s", "old", "-n", "6")
    assert "inference_time_s" in shown.stdout and "threads=" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_what_the_target_has_measured_is_not_proposed_again(folder: Path) -> None:
    found = proposed(folder, "-s", "old", "-t", "new", "-n", str(len(ALL_VALID) - 3))
    rows = set(found.itertuples(index=False, name=None))
    assert rows == set(ALL_VALID) - {(1, 600_000_000, "none", 0), (8, 900_000_000, "none", 1),
                                     (2, 600_000_000, "fast", 1)}  # fmt: skip
    too_many = perfport(folder, "propose", "--data", "tables", "-s", "old", "-t", "new", "-n", "99")
    assert too_many.returncode == 2
    assert f"choose 1 to {len(ALL_VALID) - 3}" in too_many.stderr


def test_rows_are_filled_in_and_imported(folder: Path) -> None:
    result = perfport(folder, "propose", "--data", "tables", "-s", "old", "-n", "5", "-o", "rows.csv")
    assert result.returncode == 0, result.stderr
    lines = (folder / "rows.csv").read_text().splitlines()
    assert lines[0] == HEADER.removesuffix(",status")
    (folder / "mine").mkdir()
    (folder / "mine/datacard.yaml").write_text(
        CARD.replace("outcome_column: status\n", "").replace("- {name: old, file: old.csv}\n", "")
    )
    filled = [line + f"0.0{number}" for number, line in enumerate(lines[1:], start=1)]
    (folder / "mine/new.csv").write_text("\n".join([lines[0], *filled]) + "\n")
    imported = perfport(folder, "import", "mine", "--json")
    assert json.loads(imported.stdout)["rows_new"] == 5
    again = perfport(folder, "propose", "--data", "tables", "-s", "old", "-o", "rows.csv")
    assert again.returncode == 2
    assert "rows.csv exists" in again.stderr


def test_a_new_device_has_levels_and_names_of_its_own(folder: Path) -> None:
    offered = [
        f"{threads},{clock},{mode},0\n" for threads in (1, 2, 4) for clock in (5, 7) for mode in ("none", "fast")
    ]
    (folder / "can.csv").write_text("threads,gpu_hz,mode,cache\n" + "".join(offered))
    arguments = ["-s", "old", "-n", "4", "--candidates", "can.csv", "--rename", "clock_hz=gpu_hz"]
    found = proposed(folder, *arguments)
    assert set(found["gpu_hz"]) == {5, 7}
    assert set(found["mode"]) == {"none", "fast"}
    (folder / "can.csv").write_text("colour\nred\n")
    refused = perfport(folder, "propose", "--data", "tables", *arguments)
    assert refused.returncode == 2
    assert "can.csv: no column is an option" in refused.stderr


def test_candidates_of_a_known_target_must_be_valid_there(folder: Path) -> None:
    (folder / "can.csv").write_text("threads,clock_hz,mode,cache\n1,600000000,none,1\n8,600000000,fast,1\n")
    refused = perfport(folder, "propose", "--data", "tables", "-t", "new", "-n", "1", "-c", "can.csv")
    assert refused.returncode == 2
    assert "can.csv, row 3" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "neither --source nor --target"),
        (["-s", "old", "-t", "old"], "is source and target"),
        (["-s", "odl"], "did you mean 'old'?"),
    ],
)
def test_what_cannot_be_proposed_for_is_told(folder: Path, arguments: list[str], said: str) -> None:
    result = perfport(folder, "propose", "--data", "tables", *arguments)
    assert result.returncode == 2
    assert said in result.stderr


@pytest.mark.parametrize("data", ["tables", "perfport.db"])
def test_what_is_held_is_listed(folder: Path, data: str) -> None:
    assert perfport(folder, "import", "tables").returncode == 0
    result = perfport(folder, "list", data, "--json")
    old, new = json.loads(result.stdout)["environments"]
    assert (old["environment"], old["rows"], old["outcomes"]) == ("old", len(ALL_VALID), {"ok": len(ALL_VALID)})
    assert (new["environment"], new["rows"], new["outcomes"]) == ("new", 3, {"ok": 2, "failed": 1})
    assert new["properties"] == {"inference_time_s": "s"}
    assert new["options"] == ["threads", "clock_hz", "mode", "cache"]
    shown = perfport(folder, "list", data).stdout
    assert "inference_time_s (s)" in shown
    assert next(line.split() for line in shown.splitlines() if line.startswith("new")) == ["new", "3", "2", "1", "4"]
    assert max(map(len, shown.splitlines())) <= 80


def test_properties_are_listed_by_environment_where_they_differ(folder: Path) -> None:
    assert perfport(folder, "import", "tables", "-e", "old").returncode == 0
    (folder / "tables/datacard.yaml").write_text(CARD.replace("inference_time_s, unit: s", "energy_j, unit: J"))
    table = folder / "tables/new.csv"
    table.write_text(table.read_text().replace("inference_time_s", "energy_j"))
    assert perfport(folder, "import", "tables", "-e", "new", "--campaign", "other").returncode == 0
    shown = perfport(folder, "list").stdout
    assert "energy_j (J)" in next(line for line in shown.splitlines() if line.startswith("new"))


def test_a_store_that_is_not_there_is_not_made_by_listing_it(folder: Path) -> None:
    assert perfport(folder, "list", "nowhere.db").returncode != 0
    assert not (folder / "nowhere.db").exists()
