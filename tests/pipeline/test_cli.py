"""The command line as people use it: measure, transfer, use the model, look at it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from perfport.cli.app import run

CAMPAIGN = """\
name: toy
environments:
- {name: before, system: synthetic}
- {name: after, system: synthetic, settings: {seed: 1}}
configurations: 40
replicates: 4
"""

Command = Callable[..., Any]


@pytest.fixture
def perfport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in a folder of its own, expect success, return its JSON."""
    monkeypatch.chdir(tmp_path)
    Path("campaign.yaml").write_text(CAMPAIGN)

    def command(*arguments: str) -> Any:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return command


def test_a_campaign_is_planned_measured_and_measured_only_once(perfport: Command) -> None:
    planned = perfport("measure", "campaign.yaml", "--dry-run")
    # Two replicated environments, and after every twentieth turn a sentinel in each.
    assert (planned["n_left"], planned["sentinels"]) == (2 * (40 + 4) + 4, 4)
    assert not Path("perfport.db").exists()
    assert perfport("measure", "campaign.yaml", "--max-runs", "10")["stopped_by"] == "max_runs"
    piloted = perfport("plan", "campaign.yaml", "--pilot", "15")
    assert (piloted["n_done"], piloted["estimate_rests_on"]) == (15, "15 measurements made earlier")
    rest = perfport("measure", "campaign.yaml")
    assert rest["n_measured"] == 92 - 15
    assert {told["environment"] for told in rest["quality"]["environments"]} == {"before", "after"}
    again = perfport("measure", "campaign.yaml")
    assert (again["n_measured"], again["is_finished"]) == (0, True)


def test_from_measurements_to_a_report(perfport: Command) -> None:
    perfport("measure", "campaign.yaml")
    made = perfport("transfer", "-s", "before", "-t", "after", "--budget", "8")
    assert len(made["rows"]) == 8
    assert made["errors_on_unseen_rows"]["n"] == 32
    assert made["verdict"]["decision"] in {"helped", "no help", "harmful, not used"}

    default = perfport("predict", "model.perfport")["predictions"][0]
    assert 0 < default["inference_time_s_lower"] < default["inference_time_s"] < default["inference_time_s_upper"]

    best = perfport("recommend", "model.perfport", "-n", "3")["recommendations"]
    predicted = [item["predicted"] for item in best]
    assert predicted == sorted(predicted)

    verified = perfport("recommend", "model.perfport", "--measure", "campaign.yaml")["verified"]
    assert verified["verified"]["value"] > 0
    assert verified["default_measured"]["lower"] <= verified["default_measured"]["value"]

    page = Path(perfport("report", "model.perfport", "--data", "perfport.db")["report"])
    assert "after" in page.read_text(encoding="utf-8")


def test_advice_on_the_budget_is_given_when_asked_for(perfport: Command) -> None:
    perfport("measure", "campaign.yaml")
    made = perfport("transfer", "-s", "before", "-t", "after", "--budget", "8", "--advice")
    assert [step["more"] for step in made["advice"]["later"]] == [5, 10, 20]
    assert made["advice"]["now"]["error_pct"] > 0
    assert made["break_even"]["n"] == 8


def test_rows_are_measured_when_told_how(perfport: Command) -> None:
    perfport("measure", "campaign.yaml")
    made = perfport("transfer", "-s", "before", "-t", "after", "--measure", "campaign.yaml", "--budget", "5")
    assert len(made["rows"]) == 5
    assert made["errors_on_unseen_rows"] is None


def test_an_environment_measured_under_two_protocols_is_used_by_naming_one(
    perfport: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    small = CAMPAIGN.replace("configurations: 40", "configurations: 12").replace("replicates: 4\n", "")
    Path("campaign.yaml").write_text(small)
    Path("second.yaml").write_text(small.replace("name: toy", "name: second") + "protocol: {label: again}\n")
    perfport("measure", "campaign.yaml")
    perfport("measure", "second.yaml")
    transfer = ["transfer", "-s", "before", "-t", "after", "--budget", "6"]
    assert run(transfer) == 2
    told = capsys.readouterr().err
    assert "--protocol or --campaign" in told
    protocol = told.split("protocols (")[1].split(",")[0]
    by_campaign = perfport(*transfer, "--campaign", "toy")
    assert len(by_campaign["rows"]) == 6
    for given in (["--campaign", "second"], ["--protocol", protocol]):
        perfport(*transfer, *given)
        perfport("report", "model.perfport", "--data", "perfport.db", *given)
        perfport("card", "model.perfport", "--data", "perfport.db", *given)
        perfport("compare", "before", "after", *given)
        assert run(["compare", "before", "after", "--fail-if", "failures > 0", *given]) == 0
        assert perfport("export", f"tables{given[1]}", *given)["rows"] == 24
    capsys.readouterr()
    assert run(["compare", "before", "after", "--data", f"tables{protocol}", "--protocol", protocol]) == 2
    assert "holds tables" in capsys.readouterr().err
    assert run(["export", "rows.csv", "--protocol", protocol]) == 2
    assert run([*transfer, "--campaign", "third"]) == 2


def test_why_what_changed_and_what_to_deploy(perfport: Command, capsys: pytest.CaptureFixture[str]) -> None:
    perfport("measure", "campaign.yaml")
    perfport("transfer", "-s", "before", "-t", "after", "-n", "8")
    shares = [influence["share"] for influence in perfport("explain", "model.perfport")["influences"]]
    assert shares == sorted(shares, reverse=True)
    difference = perfport("explain", "model.perfport", "--set", "option_1=true", "--set", "option_3=b")
    total = difference["response"] - difference["baseline_response"]
    assert sum(part["change"] for part in difference["contributions"]) == pytest.approx(total)
    assert perfport("compare", "before", "after", "--output", "changes.html")["influences"]
    assert "figure-changes" in Path("changes.html").read_text(encoding="utf-8")
    assert run(["compare", "before", "before", "--fail-if", "p90 slowdown > 10%"]) == 0
    assert run(["compare", "before", "after", "--fail-if", "p10 slowdown > 0.1%", "--junit", "gate.xml"]) in (0, 1)
    assert "<testsuite" in Path("gate.xml").read_text()
    capsys.readouterr()
    card = perfport("card", "model.perfport", "--data", "perfport.db", "--output", "card.md")
    assert card["held_out"]["n_rows"] > 0 and len(card["sources"]) == 1
    assert card["fingerprint"] in Path("card.md").read_text(encoding="utf-8")
    written = perfport("apply", "model.perfport", "--as", "environment", "--output", "settings")
    assert set(written["not_expressed"]) | set(written["expressed"]) == set(written["configuration"])


def test_a_file_of_configurations_is_predicted(perfport: Command) -> None:
    perfport("measure", "campaign.yaml")
    perfport("transfer", "-s", "before", "-t", "after", "-n", "6")
    perfport("export", "tables", "-e", "after")
    found = perfport("predict", "model.perfport", "-c", "tables/after.csv", "-o", "predicted.csv")
    assert len(found["predictions"]) == len(pd.read_csv("predicted.csv")) == 40


def test_tables_go_in_and_out_unchanged(perfport: Command, published: Path) -> None:
    assert perfport("import", str(published / "data" / "icpe17_xz"))["rows_new"] == 1078
    assert perfport("import", str(published / "data" / "icpe17_xz"))["rows_new"] == 0
    assert perfport("export", "out", "-e", "worker73", "--campaign", "icpe17_xz")["rows"] > 100
    assert perfport("export", "rows.parquet")["rows"] == 1078


def test_doctor_says_why_energy_is_absent(perfport: Command) -> None:
    checks = {check["name"]: check for check in perfport("doctor", "--noise-test", "0")["checks"]}
    assert checks["clock"]["ok"]
    if not checks["energy"]["ok"]:
        assert checks["energy"]["detail"]


COMMANDS = [
    *("quickstart", "doctor", "plan", "measure", "list", "import", "export", "propose", "transfer", "predict"),
    *("recommend", "explain", "compare", "apply", "card", "report", "study"),
]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_eighty_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*command.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    assert "Usage" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["transfer", "-t", "after"], "begins anew"),
        (["transfer", "-t", "after", "--measure", "campaign.yaml"], "goes on where it stopped"),
        (["transfer", "-t", "after", "--measure=campaign.yaml"], "goes on where it stopped"),
        (["measure", "campaign.yaml"], "goes on where it stopped"),
    ],
)
def test_an_interrupted_command_says_whether_it_goes_on(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perfport.cli.app.app", interrupted)
    assert run(arguments) == 130
    assert capsys.readouterr().err == f"perfport: interrupted; the same command {said}\n"


def test_importing_perfport_is_light() -> None:
    script = "import sys, perfport; print([name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ["torch", "onnxruntime", "openvino", "plotly", "fastapi", "pandas", "sklearn", "sqlalchemy"]
    command = [sys.executable, "-c", script, *heavy]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert result.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import perfport

    for name in perfport.__all__:
        assert getattr(perfport, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'teleport'"):
        perfport.teleport  # noqa: B018  # looking it up is the test
