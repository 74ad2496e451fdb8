"""Recommending from the command line: goals, fronts, settling and searching on a synthetic target."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import perfport
from perfport.cli.app import run
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.tables import SystemTables
from perfport.report.assembly import report_of
from perfport.report.content import Choice

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


TRANSFER = ["transfer", "--data", "tables", "-s", "old", "-t", "new", "-n", "10"]


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of a target on which the number format that is fastest in the source always fails."""
    monkeypatch.chdir(tmp_path)
    space = perfport.Space(
        [
            perfport.Option(name="threads", type="integer", values=(1, 2, 4, 8), default=1),
            perfport.Option(name="precision", type="categorical", values=("f32", "fp16")),
            perfport.Option(name="algorithm", type="categorical", values=("a", "b", "c")),
        ]
    )
    rows = pd.concat(list(space.enumerate()), ignore_index=True)
    y = 0.1 / rows["threads"].to_numpy(float) + 0.02 * rows["algorithm"].map({"a": 1.0, "b": 1.3, "c": 1.1})
    is_half = (rows["precision"] == "fp16").to_numpy()
    y = np.where(is_half, 0.5 * y, y)
    old, new = (
        Dataset(
            space=space,
            environment=Environment(name, hardware={"board": name}),
            properties={"inference_time_s": perfport.Property("inference_time_s", "s")},
            configurations=rows,
            responses={"inference_time_s": np.where(failed, np.nan, y)},
            status=np.where(failed, "failed", "ok"),
        )
        for name, failed in (("old", np.zeros_like(is_half)), ("new", is_half))
    )
    perfport.write_tables("tables", SystemTables.of("toy", [old, new]))
    Path("campaign.yaml").write_text(
        "name: again\nenvironments:\n- {name: new, system: replay, settings: {folder: tables, environment: new}}\n"
        "- {name: old, system: replay, settings: {folder: tables, environment: old}}\n"
    )
    assert run(TRANSFER) == 0
    return tmp_path


def test_what_failed_in_the_target_is_not_recommended_anywhere(
    failing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(TRANSFER) == 0
    transferred = capsys.readouterr().out
    assert "precision=fp16" in transferred
    assert "nan" not in transferred
    for goal in ([], ["--goal", "minimise latency"]):
        assert run(["recommend", "model.perfport", "-n", "3", *goal]) == 0
        shown = capsys.readouterr().out
        assert "fp16" not in shown
        assert "12 of 24 configurations are left out" in " ".join(shown.split())
    assert run(["apply", "model.perfport", "--as", "environment", "--json"]) == 0
    applied = json.loads(capsys.readouterr().out)
    assert applied["configuration"]["precision"] == "f32"
    assert applied["left_out"]["n"] == 12
    assert run(["card", "model.perfport", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert next(option for option in card["options"] if option["name"] == "precision")["measured"] == ["f32"]
    assert any("target rows failed" in limit for limit in card["limits"])
    model = perfport.load_model("model.perfport")
    assert model.recipe is not None
    choice = report_of(model, model.recipe).recommendation
    assert isinstance(choice, Choice) and choice.configuration["precision"] == "f32"


def test_what_is_verified_is_what_is_recommended(failing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["recommend", "model.perfport", "-n", "1", "--measure", "campaign.yaml", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (best,) = answer["recommendations"]
    assert answer["verified"]["configuration"] == best["configuration"]
    assert answer["verified"]["verified"]["value"] == pytest.approx(best["predicted"], rel=0.1)


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ("{name: new, system: replay, settings: {folder: tables, environment: old}}", "hardware.board: new -> old"),
        ("{name: new, system: synthetic}", "option threads (of the model only)"),
        ("{name: other, system: synthetic}", "no environment 'new'"),
    ],
)
def test_another_environment_of_that_name_is_not_measured_for_it(
    failing: Path, capsys: pytest.CaptureFixture[str], environment: str, says: str
) -> None:
    capsys.readouterr()
    Path("other.yaml").write_text(f"name: other\nenvironments:\n- {environment}\n")
    for asked in ([], ["--budget", "3"], ["--budget", "3", "--search"], ["--goal", "minimise latency"]):
        assert run(["recommend", "model.perfport", "--measure", "other.yaml", *asked]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert says in line
    assert not Path("perfport.db").exists()


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
