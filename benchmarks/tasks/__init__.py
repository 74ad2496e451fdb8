"""The task lists of the benchmarks, in two formats that are not to be mistaken for each other.

transfers    a list of {system, objective, source, target}: a folder of tables, a property, environments
             (several sources joined by +)
devices      task -> {space, source, target}: how folders of tables begin, devices to learn from, devices to foretell
"""

from pathlib import Path
from typing import Any

import yaml

from perfport.errors import UsageError

__all__ = ["DEVICES", "TRANSFERS", "device_tasks", "transfer_tasks"]

TRANSFERS = Path(__file__).parent / "transfers.yaml"
DEVICES = Path(__file__).parent / "devices.yaml"


def transfer_tasks(path: Path = TRANSFERS) -> list[dict[str, str]]:
    """Return the tasks of a list of transfers.

    Raises:
        UsageError: If the file is no such list.
    """
    tasks = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = {"system", "objective", "source", "target"}
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and wanted <= set(task) for task in tasks):
        raise UsageError(f"{path}: no list of transfers ({', '.join(sorted(wanted))}); {TRANSFERS} is one")
    return tasks


def device_tasks(path: Path = DEVICES) -> dict[str, dict[str, Any]]:
    """Return name -> task of a list of tasks over devices.

    Raises:
        UsageError: If the file is no such list.
    """
    tasks = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = {"space", "source", "target"}
    if not isinstance(tasks, dict) or not all(
        isinstance(task, dict) and wanted <= set(task) for task in tasks.values()
    ):
        raise UsageError(f"{path}: no tasks over devices (name: {', '.join(sorted(wanted))}); {DEVICES} has some")
    return tasks
