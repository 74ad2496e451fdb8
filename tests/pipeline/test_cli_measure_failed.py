"""Campaigns in which configurations fail: the reason is told, and once it is mended they are measured again."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfport.cli.app import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measuring needs POSIX process groups")

CAMPAIGN = """\
name: program
environments:
- name: here
  system: command
  settings:
    command: ["${python}", bench.py, "${threads}"]
    space: {options: [{name: threads, type: integer, values: [1, 2]}]}
configurations: 2
sentinel_every: 0
remeasure: 0
meters: []
protocol: {warm_up_runs: 1, warm_up_max_s: 0, min_repetitions: 3, max_repetitions: 3, min_time_s: 0}
"""
PROGRAM = 'import json, sys; assert int(sys.argv[1]) < {most}; print(json.dumps({{"inference_time_s": 0.1}}))'

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def perfport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in a folder of its own; return its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    Path("campaign.yaml").write_text(CAMPAIGN)

    def command(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return run(arguments), capsys.readouterr().out

    return command


def told(answer: tuple[int, str]) -> tuple[int, Any]:
    return answer[0], json.loads(answer[1])


def test_a_campaign_in_which_everything_fails_says_why_and_exits_with_1(perfport: Command) -> None:
    code, printed = perfport("measure", "campaign.yaml")
    assert code == 1
    (line,) = [line for line in printed.splitlines() if "can't open file" in line]
    assert line.startswith("most frequent reason (2 of 2 that are not ok): failed: ")
    # Asked again, nothing is measured, and still nothing is ok.
    code, again = told(perfport("measure", "campaign.yaml", "--json"))
    assert (code, again["n_measured"], again["outcomes"]) == (1, 0, {"failed": 2})
    (reason,) = again["reasons"]
    assert (reason["status"], reason["count"]) == ("failed", 2)
    assert "can't open file" in reason["reason"]


def test_a_campaign_in_which_something_works_is_a_success(perfport: Command) -> None:
    Path("bench.py").write_text(PROGRAM.format(most=2))
    code, first = told(perfport("measure", "campaign.yaml", "--json"))
    assert (code, first["outcomes"]) == (0, {"ok": 1, "failed": 1})
    assert [found["count"] for found in first["reasons"]] == [1]
    Path("bench.py").write_text(PROGRAM.format(most=9))
    assert perfport("measure", "campaign.yaml", "--store", "other.db")[0] == 0
