"""Recommending from the command line: goals, fronts, settling and searching on a synthetic target."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfport
from perfport.cli.app import run

CAMPAIGN = """\
name: toy
environments:
- {name: before, system: synthetic}
- {name: after, system: synthetic, settings: {seed: 1}}
configurations: 40
"""

Command = Callable[..., Any]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in a folder of its own with a model in it, expect success, return its JSON."""
    monkeypatch.chdir(tmp_path)
    Path("campaign.yaml").write_text(CAMPAIGN)

    def call(*arguments: str) -> Any:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    call("measure", "campaign.yaml")
    call("transfer", "-s", "before", "-t", "after", "--budget", "20")
    return call


@pytest.mark.slow
def test_the_best_is_settled_or_searched_for_by_measuring(command: Command) -> None:
    settled = command("recommend", "model.perfport", "--measure", "campaign.yaml", "--budget", "15")["settled"]
    assert settled["stopped"] in {"settled", "budget spent"}
    readings = [len(standing["readings"]) for standing in settled["standings"]]
    assert sum(readings) == settled["n_measured"] <= 15
    assert all(number > 0 for number in readings[:1])

    search = command("recommend", "model.perfport", "--measure", "campaign.yaml", "--budget", "3", "--search")["search"]
    assert 1 <= len(search["readings"]) <= 3
    assert search["response"] == min(reading["response"] for reading in search["readings"])


@pytest.mark.slow
def test_two_models_give_a_front_on_the_terminal_and_on_the_page(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with perfport.Store.open("perfport.db") as store:
        target = store.dataset("after")
    frame = target.configurations.assign(energy_j=1.0 / np.sqrt(target.responses["inference_time_s"]))
    made = perfport.Dataset.from_frame(
        frame, properties=["energy_j"], space=target.space, environment=target.environment
    )
    perfport.save_model(perfport.transfer(sources=[], target=made, property="energy_j"), "energy.perfport")

    found = command("recommend", "model.perfport", "energy.perfport", "--goal", "minimise latency and energy")[
        "trade_off"
    ]
    times = [offer["expected"][0]["predicted"] for offer in found["offers"]]
    energies = [offer["expected"][1]["predicted"] for offer in found["offers"]]
    assert times == sorted(times)
    assert energies == sorted(energies, reverse=True)

    assert run(["recommend", "model.perfport", "energy.perfport"]) == 0
    shown = capsys.readouterr().out
    assert "is the knee" in shown
    command("report", "model.perfport", "--beside", "energy.perfport", "--output", "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert "Trade-off" in page
    assert "The star is the knee" in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--budget", "3"), "--budget was given without --measure"),
        (("--search",), "--search was given without --budget"),
        (("--goal", "minimise power"), "no property goes by 'power'"),
        (("--goal", "fast please"), "cannot read 'fast please'"),
        (("--goal", "minimise latency", "--measure", "c.yaml", "--budget", "3", "--search"), "without --goal"),
    ],
)
def test_what_does_not_fit_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    space = perfport.Space([perfport.Option(name="threads", type="ordinal", values=(1, 2, 4))])
    rows = perfport.Dataset.from_frame(
        space.frame([{"threads": 1}, {"threads": 2}, {"threads": 4}]).assign(inference_time_s=[3.0, 2.0, 1.0]),
        properties=["inference_time_s"],
        space=space,
    )
    perfport.save_model(perfport.transfer(sources=[], target=rows, property="inference_time_s"), "model.perfport")
    assert run(["recommend", "model.perfport", *arguments]) == 2
    told = capsys.readouterr().err.strip()
    assert says in told
    assert len(told.splitlines()) == 1
