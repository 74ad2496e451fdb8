"""The whole story with a real network on a real runtime, small: told, interrupted, told again."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from perfport.data.measurement import Measurement
from perfport.data.store import Store
from perfport.errors import StoreError
from perfport.measure.networks import network
from perfport.measure.protocol import Protocol
from perfport.quickstart import Move, Quickstart
from perfport.report.content import Comparison, Missing, ReportData, ReportedEnvironment

pytest.importorskip("onnxruntime", reason="the package onnxruntime is not installed")

pytestmark = pytest.mark.slow

QUICK = Protocol(
    warm_up_runs=1,
    warm_up_max_s=0.05,
    min_repetitions=3,
    min_time_s=0.0,
    budget_s=0.05,
    interval_width=0.5,
    timeout_s=20.0,
)


def small(tmp_path: Path, move: Move) -> Quickstart:
    return Quickstart(
        move=move,
        store=str(tmp_path / "perfport.db"),
        report=tmp_path / "report.html",
        n_source=16,
        budget=5,
        n_test=6,
        n_replicates=3,
        protocol=QUICK,
    )


def told(story: Quickstart) -> tuple[str, ReportData]:
    console = Console(file=io.StringIO(), width=80)
    data = story.run(console).data
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue(), data


def environments_of(data: ReportData) -> tuple[ReportedEnvironment, ...]:
    assert not isinstance(data.environments, Missing)
    return data.environments


def stored(path: str) -> list[Measurement]:
    with Store.open(path, read_only=True) as store:
        return store.read()


def wait_for_rows(store: Path, n: int) -> None:
    """Wait until a process that measures has stored `n` rows; the store may still be in the making."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(StoreError):
            if store.exists() and len(stored(str(store))) >= n:
                return
        time.sleep(0.2)
    raise AssertionError(f"no {n} rows after two minutes")


@pytest.mark.parametrize("move", ["size", "openvino"])
def test_the_story_is_told_and_its_second_telling_measures_nothing(tmp_path: Path, move: Move) -> None:
    network("ppocr_det")
    if move == "openvino":
        pytest.importorskip("openvino", reason="the package openvino is not installed")
    story = small(tmp_path, move)
    text, data = told(story)
    for part in (
        "energy",
        "noise floor",
        "auto (used)",
        "target_only",
        "direct",
        "linear_shift",
        "predicted",
        "verified",
    ):
        assert part in text
    page = story.report.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "plotly" in page
    assert isinstance(data.comparison, Comparison)
    assert all(4 <= row.n_rows <= 6 for row in data.comparison.rows)
    assert 4 <= data.comparison.n_target <= 5
    assert not isinstance(data.comparison.replicate, Missing)
    assert 2 <= data.comparison.replicate.n_rows <= 3  # OpenVINO refuses some configurations

    with Store.open(story.store, read_only=True) as store:
        rows = [store.dataset(given.environment) for given in environments_of(data)]
    assert [len(dataset) >= n for dataset, n in zip(rows, (16, 11), strict=True)] == [True, True]

    measured = stored(story.store)
    told(story)
    assert [found.started_at for found in stored(story.store)] == [found.started_at for found in measured]


def test_after_ctrl_c_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "perfport", "quickstart", "--store", "q.db", "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    store = tmp_path / "q.db"
    wait_for_rows(store, 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "perfport: interrupted; the same command goes on where it stopped"
    before = stored(str(store))
    assert len(before) >= 3

    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_rows(store, len(before) + 1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    after = stored(str(store))
    assert [found.started_at for found in after[: len(before)]] == [found.started_at for found in before]
    keys = [json.dumps([found.environment.name, dict(found.configuration), found.block]) for found in after]
    assert len(set(keys)) == len(keys)
