"""Campaigns in which configurations fail: the reason is told, and once it is mended they are measured again."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfport.cli.app import run
from perfport.data.store import Store

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


def test_what_failed_is_measured_once_more_when_that_is_asked_for(perfport: Command) -> None:
    assert "--retry-failed" in perfport("measure", "campaign.yaml")[1]
    assert "2 failed or timed out" in told(perfport("plan", "campaign.yaml", "--json"))[1]["notes"][0]
    Path("bench.py").write_text(PROGRAM.format(most=2))
    code, unasked = told(perfport("measure", "campaign.yaml", "--json"))
    assert (code, unasked["n_measured"]) == (1, 0)
    code, half = told(perfport("measure", "campaign.yaml", "--retry-failed", "--json"))
    assert (code, half["n_measured"], half["n_retried"], half["n_again"]) == (0, 2, 2, 0)
    assert half["is_finished"]
    assert half["outcomes"] == {"ok": 1, "failed": 1}
    Path("bench.py").write_text(PROGRAM.format(most=9))
    code, printed = perfport("measure", "campaign.yaml", "--retry-failed")
    assert code == 0
    assert "1 ok (1 of them again, having failed)" in printed
    assert "reason" not in printed
    with Store.open("perfport.db") as store:
        attempts = [(found.configuration["threads"], found.attempt, str(found.status)) for found in store.read()]
        assert sorted(attempts) == [(1, 0, "failed"), (1, 1, "ok"), (2, 0, "failed"), (2, 1, "failed"), (2, 2, "ok")]
        assert store.dataset("here").status.tolist() == ["ok", "ok"]
    # What is ok stays as it is.
    assert told(perfport("measure", "campaign.yaml", "--retry-failed", "--json"))[1]["n_measured"] == 0
