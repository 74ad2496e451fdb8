"""The task lists of the benchmarks are read, are what the documents say they are, and are not taken for each other."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from perfport.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
TASKS = ROOT / "benchmarks" / "tasks"


@pytest.fixture(scope="module")
def lists() -> dict[str, Any]:
    return runpy.run_path(str(TASKS / "__init__.py"))


def test_transfers_are_the_pairs_of_the_study(lists: dict[str, Any]) -> None:
    study = yaml.safe_load((ROOT / "examples/twenty_systems/study.yaml").read_text())
    pairs = {(pair["system"], pair["properties"], pair["sources"], pair["target"]) for pair in study["pairs"]}
    tasks = lists["transfer_tasks"]()
    assert {(task["system"], task["objective"], task["source"], task["target"]) for task in tasks} == pairs
    assert (len(tasks), len({task["system"] for task in tasks})) == (72, 20)


@pytest.mark.parametrize(("name", "n"), [("opml19.yaml", 24), ("opml19_three_sources.yaml", 8)])
def test_the_other_lists_are_transfers(lists: dict[str, Any], name: str, n: int) -> None:
    assert len(lists["transfer_tasks"](TASKS / name)) == n


def test_device_tasks_foretell_devices_they_have_not_seen(lists: dict[str, Any]) -> None:
    tasks = lists["device_tasks"]()
    assert len(tasks) == 12
    for task in tasks.values():
        assert not set(task["source"]) & set(task["target"])


def test_one_format_is_not_taken_for_the_other(lists: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"devices\.yaml: no list of transfers"):
        lists["transfer_tasks"](lists["DEVICES"])
    with pytest.raises(UsageError, match=r"transfers\.yaml: no tasks over devices"):
        lists["device_tasks"](lists["TRANSFERS"])
