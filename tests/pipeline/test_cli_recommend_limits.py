"""`perfport recommend --goal ... --measure ...` as people call it: limits that are held against measurements."""

import html
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import perfport
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import FloatArray, Property
from perfport.data.tables import SystemTables

TIME, MEMORY = Property("inference_time_s", "s", "minimise"), Property("peak_rss_bytes", "B", "minimise")
SPACE = perfport.Space(
    [
        perfport.Option(name="threads", type="ordinal", values=(1, 2, 4), default=1),
        perfport.Option(name="optimisation", type="ordinal", values=("off", "basic", "all"), default="off"),
        perfport.Option(name="arena", type="boolean", default=False),
    ]
)
CAMPAIGN = """\
name: replayed
environments:
- {name: after, system: replay, settings: {folder: tables, environment: after}}
configurations: 18
"""


def law(rows: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """What is fast takes memory: four threads with an arena would be fastest."""
    threads, arena = rows["threads"].to_numpy(float), rows["arena"].to_numpy(float)
    level = rows["optimisation"].map({"off": 0.0, "basic": 1.0, "all": 2.0}).to_numpy(float)
    return 0.1 * threads**-0.8 * np.exp(-0.2 * level - 0.15 * arena), 2e8 * threads**0.5 * np.exp(0.3 * arena)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Tables of the target, a campaign that replays them, and models of both properties made from half the rows."""
    rows = pd.concat(list(SPACE.enumerate()), ignore_index=True)
    time_s, memory_bytes = law(rows)
    target = Dataset(
        SPACE,
        Environment("after", hardware={"board": "B"}),
        {TIME.name: TIME, MEMORY.name: MEMORY},
        rows,
        {TIME.name: time_s, MEMORY.name: memory_bytes},
    )
    perfport.write_tables(tmp_path / "tables", SystemTables.of("replayed", [target]))
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    known = target.take(np.random.default_rng(0).permutation(18)[:10])
    for name in target.properties:
        perfport.save_model(perfport.transfer(sources=[], target=known, property=name), tmp_path / f"{name}.perfport")
    return tmp_path


def recommend(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    models = [f"{TIME.name}.perfport", f"{MEMORY.name}.perfport"]
    command = [sys.executable, "-m", "perfport", "recommend", *models, "--measure", "campaign.yaml", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def answered(folder: Path, *arguments: str) -> Any:
    done = recommend(folder, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


GOAL = ("--goal", "memory <= 450 MB, minimise latency", "--confidence", "0.6")


@pytest.mark.slow
def test_an_offer_is_measured_beside_the_default_and_held_to_its_limits(folder: Path) -> None:
    found = answered(folder, *GOAL)["verified"]
    chosen = found["offer"]["configuration"]
    time_s, memory_bytes = law(SPACE.frame([chosen]))
    assert found["measured"][TIME.name]["value"] == pytest.approx(float(time_s[0]))
    assert found["measured"][MEMORY.name]["value"] == pytest.approx(float(memory_bytes[0]))
    assert found["keeps_limits"] is bool(memory_bytes[0] <= 450e6)
    assert found["gains"][TIME.name]["value"] == pytest.approx(0.1 / float(time_s[0]))


@pytest.mark.slow
def test_a_budget_settles_which_offer_is_best_under_the_limits(folder: Path) -> None:
    settled = answered(folder, *GOAL, "--budget", "20")["settled"]
    rows = pd.concat(list(SPACE.enumerate()), ignore_index=True)
    time_s, memory_bytes = law(rows)
    assert settled["stopped"] == "settled"
    assert settled["best"]["estimate"] == pytest.approx(time_s[memory_bytes <= 450e6].min(), rel=0.03)
    assert settled["best"]["probability_kept"] > 0.6
    assert settled["best"]["limited"][MEMORY.name] <= 450e6
    shown = recommend(folder, *GOAL, "--budget", "20")
    assert shown.returncode == 0, shown.stderr
    assert "limit: peak_rss_bytes <= 450 MB" in shown.stdout
    assert "settled after" in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--budget", "5"), 2, "has 2 objectives"),
        (("--goal", "minimise latency", "--budget", "5", "--search"), 2, "--search goes with one model"),
        (("--goal", "power <= 3 W, minimise latency"), 2, "no property goes by 'power'"),
    ],
)
def test_what_cannot_be_settled_is_one_line(folder: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = recommend(folder, *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_is_headed_by_what_serves_the_goal(folder: Path) -> None:
    models = [f"{TIME.name}.perfport", "--beside", f"{MEMORY.name}.perfport"]
    goal = ["--goal", "latency <= 60 ms, minimise memory", "--output", "two.html"]
    command = [sys.executable, "-m", "perfport", "report", *models, *goal]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (folder / "two.html").read_text(encoding="utf-8")
    answer = html.unescape(page.partition('<p class="answer">')[2].partition("</p>")[0])
    assert "inference_time_s <= 0.06 s" in answer.replace("\N{NO-BREAK SPACE}", " ")
    # Four threads are the fastest, and take the most memory.
    assert "threads" not in answer
    assert "minimise peak_rss_bytes" in answer
    assert "predicted peak rss bytes" in answer


def test_predictions_of_recommend_and_predict_are_told_apart(folder: Path) -> None:
    model = f"{TIME.name}.perfport"

    def said(*arguments: str) -> str:
        command = [sys.executable, "-m", "perfport", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout

    best = json.loads(said("recommend", model, "-n", "1", "--json"))["recommendations"][0]
    settings = [word for name, level in best["configuration"].items() for word in ("--set", f"{name}={level}")]
    (predicted,) = json.loads(said("predict", model, *settings, "--json"))["predictions"]
    assert predicted["inference_time_s_median"] == pytest.approx(best["predicted"])
    shown = said("recommend", model)
    assert shown.startswith("inference_time_s of after, best first: predicted medians")
    assert "median" in said("predict", model)
