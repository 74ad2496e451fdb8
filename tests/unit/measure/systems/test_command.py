"""The system `command`: real programs, started without a shell."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perfport.data.measurement import Status
from perfport.errors import MeasurementError, SpaceError, UsageError
from perfport.measure.base import AddsReadings, HasOutput
from perfport.measure.protocol import Protocol
from perfport.measure.runner.session import measure_in_session
from perfport.measure.systems.command import CommandSystem
from perfport.measure.systems.program import completed

SPACE = {
    "options": [
        {"name": "threads", "type": "integer", "values": [1, 2], "default": 2},
        {"name": "spin", "type": "boolean", "default": True},
        {"name": "backoff", "type": "integer", "values": [7, 9]},
    ],
    "conditions": [{"option": "backoff", "when": "spin"}],
}
ECHO = """
import json, os, sys
told = json.load(open(sys.argv[1]))
print("starting")
print(json.dumps({"result": {"time_ms": 20 / told["threads"], "all_s": [3, 1, 2]}, "arguments": sys.argv[2:],
                  "told": told, "variable": os.environ.get("SPIN"), "y": [1.0, 2.0]}))
"""


def echo(**changes: Any) -> CommandSystem:
    settings: dict[str, Any] = {
        "command": [
            *("${python}", "-c", ECHO),
            *("${folder}/a/told.json", "${spin?--spin:}", "--backoff=${backoff}", "${side}"),
        ],
        "space": SPACE,
        "environment": {"SPIN": "${spin}"},
        "files": {"a/told.json": '{"threads": ${threads}}'},
        "properties": {"inference_time_s": "result.time_ms", "setup_s": "result.all_s", "score": "y.1"},
        "maximise": ["score"],
        "output": "y",
    }
    return CommandSystem(**(settings | changes))


def test_options_reach_arguments_variables_and_files_and_numbers_come_back_in_si_units() -> None:
    system = echo(properties={"inference_time_s": "result.time_ms", "setup_s": "result.all_s", "score": "y.1"})
    with system.open({"threads": 1}, {"side": 64}) as session:
        session.run_once()
        assert isinstance(session, AddsReadings)
        readings = session.added_readings()
        assert readings["inference_time_s"] == pytest.approx(0.020)
        assert (readings["setup_s"], readings["score"]) == (2.0, 2.0)
        cpu_s = readings["cpu_time_s"]
        assert cpu_s is not None
        assert cpu_s > 0  # that of the program, which has ended
        assert isinstance(session, HasOutput)
        np.testing.assert_array_equal(session.output()[0], [1.0, 2.0])
        answer = session._answer  # type: ignore[attr-defined]
    assert answer["arguments"] == ["--spin", "--backoff=7", "64"]
    assert answer["variable"] == "true"
    with system.open({"spin": False}, {"side": 64}) as session:
        session.run_once()
        answer = session._answer  # type: ignore[attr-defined]
    assert answer["arguments"] == ["64"]
    assert answer["told"] == {"threads": 2}
    assert [(found.name, found.unit, found.direction) for found in system.properties()[:3]] == [
        ("inference_time_s", "s", "minimise"),
        ("setup_s", "s", "minimise"),
        ("score", "", "maximise"),
    ]


def test_numbers_and_booleans_that_yaml_makes_are_the_texts_they_were_written_as() -> None:
    written: dict[str, Any] = {"SPIN": 1, "OMP_DYNAMIC": False}
    system = echo(environment=written, files={"a/told.json": '{"threads": ${threads}}', "b": 2.5})
    assert system.settings["environment"] == {"SPIN": "1", "OMP_DYNAMIC": "false"}
    assert system.settings["files"]["b"] == "2.5"
    with system.open({}, {"side": 64}) as session:
        session.run_once()
        assert session._answer["variable"] == "1"  # type: ignore[attr-defined]
    assert system.facets() == CommandSystem(**system.settings).facets()


def test_what_is_left_out_is_at_its_default_and_inactive_where_its_condition_says_so() -> None:
    space = echo().space()
    assert completed(space, {}, "command") == {"threads": 2, "spin": True, "backoff": 7}
    assert completed(space, {"spin": False}, "command") == {"threads": 2, "spin": False, "backoff": None}
    assert completed(space, {"backoff": 9}, "command") == {"threads": 2, "spin": True, "backoff": 9}


def test_without_a_time_of_its_own_the_clock_around_the_program_counts() -> None:
    system = echo(properties={}, maximise=[])
    outcome = measure_in_session(system, {}, {"side": 1}, protocol=QUICK)
    assert outcome.status is Status.OK
    assert outcome.repetitions["inference_time_s"].min() > 1e-3  # starting Python alone takes longer


QUICK = Protocol(min_repetitions=1, max_repetitions=2, min_time_s=0, warm_up_runs=1, warm_up_max_s=0)


def test_a_file_that_is_not_there_is_told_with_the_folder_it_was_looked_for_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = {"options": [{"name": "n", "type": "boolean"}]}
    there = tmp_path / "there.py"
    there.write_text("raise SystemExit(3)")
    for script, is_lacking in (("scripts/bench.py", True), (str(there), False)):
        system = CommandSystem(["${python}", script, "--n=${n}"], space, properties={})
        reason = measure_in_session(system, {}, {}, protocol=QUICK).reason
        lacking = f"(there is no scripts/bench.py in {tmp_path}, where perfport was started)"
        assert (lacking in reason) == is_lacking


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print('no json here')", "printed no JSON object; its last line is 'no json here'"),
        ("pass", "printed no JSON object; it printed nothing"),
        ("print([1, 2])", r"no JSON object; its last line is '\[1, 2\]'"),
        ("import sys; sys.exit('cannot open the device')", "ended with exit code 1: cannot open the device"),
        ("import os; os.kill(os.getpid(), 11)", "crashed with SIGSEGV"),
        pytest.param(
            "import os; os.kill(os.getpid(), 40)",
            "crashed with signal 40",  # real-time signals have no names
            marks=pytest.mark.skipif(sys.platform != "linux", reason="there are real-time signals on Linux only"),
        ),
        ("print('{\"time\": 1}')", "has no 'inference_time_s'; at 'inference_time_s' there is time"),
        ('print(\'{"inference_time_s": "fast"}\')', "'inference_time_s' is 'fast', not a number"),
        ("print('{\"inference_time_s\": NaN}')", "not a finite number"),
        ("print('{\"inference_time_s\": -1}')", "reported inference_time_s = -1"),
        ("while True: pass", "took longer than 0.5 s"),
        ("print('x' * 40_000_000)", "printed no JSON object"),
    ],
)
def test_what_goes_wrong_is_an_outcome_with_its_reason(code: str, told: str) -> None:
    import re

    space = {"options": [{"name": "level", "type": "integer", "values": [1]}]}
    system = CommandSystem([sys.executable, "-c", code, "${level}"], space, timeout_s=0.5 if "while" in code else 20)
    outcome = measure_in_session(system, {}, {}, protocol=QUICK)
    assert outcome.status is Status.FAILED
    assert re.search(told, outcome.reason), outcome.reason


@pytest.mark.skipif(sys.platform != "linux", reason="a program has a process group of its own on Linux only")
@pytest.mark.parametrize("ends", [True, False])
def test_what_a_program_has_started_ends_with_it(tmp_path: Path, ends: bool) -> None:
    sleeper = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    code = (
        f"import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {sleeper!r}])\n"
        f"while not os.path.exists({str(tmp_path / 'pid')!r}) or not os.path.getsize({str(tmp_path / 'pid')!r}):\n"
        "    time.sleep(0.01)\n"
        f"print('{{}}', flush=True); {'sys.exit()' if ends else 'time.sleep(3600)'}"
    )
    space = {"options": [{"name": "level", "type": "integer", "values": [1]}]}
    # A program that never ends has a second to start the other one.
    command = [sys.executable, "-c", code, "${level}"]
    system = CommandSystem(command, space, properties={}, timeout_s=20 if ends else 1)
    with system.open({}, {}) as session:
        if ends:
            session.run_once()
        else:
            with pytest.raises(MeasurementError, match="took longer than 1 s"):
                session.run_once()
    status = Path("/proc", (tmp_path / "pid").read_text(), "status")
    deadline = time.monotonic() + 10
    while is_running(status) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(status)


def is_running(status: Path) -> bool:
    try:
        return "State:\tZ" not in status.read_text()
    except OSError:
        return False


def test_a_shell_is_never_asked(tmp_path: Path) -> None:
    space = {"options": [{"name": "text", "type": "categorical", "values": [f"; touch {tmp_path}/owned", "$(id)"]}]}
    code = "import json, sys; print(json.dumps({'inference_time_s': 1, 'seen': sys.argv[1:]}))"
    system = CommandSystem([sys.executable, "-c", code, "${text}"], space)
    with system.open({"text": "$(id)"}, {}) as session:
        session.run_once()
        assert session._answer["seen"] == ["$(id)"]  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"command": ["no-such-program", "${spin?a:} ${backoff} ${side}"]}, "'no-such-program' is not found"),
        ({"command": [sys.executable, "${side}"]}, "'backoff' is used nowhere, so it would change nothing"),
        ({"environment": {"X": "${colour}"}}, r"\$\{colour\} is neither option nor workload fact"),
    ],
)
def test_what_would_be_measured_in_vain_is_told_before_the_first_run(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        echo(**changes).check_workload({"side": 1})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"command": []}, "give a list of texts"),
        ({"command": "sh run.sh"}, r"command 'sh run.sh': give a list of texts, the program first, such as \[sh, run"),
        ({"command": ["sh", 1]}, "give a list of texts"),
        ({"command": 3}, "give a list of texts"),
        ({"environment": {"A": None}}, "environment: 'A' is None; give a text, a number, true or false"),
        ({"environment": {"A": [1]}}, r"environment: 'A' is \[1\]"),
        ({"environment": ["A=1"]}, "give names with their texts"),
        ({"environment": {1: "x"}}, "give names with their texts"),
        ({"files": {"a.json": {"x": 1}}}, "files: 'a.json' is {'x': 1}; give a text"),
        ({"timeout_s": "soon"}, "timeout_s is 'soon'; give a positive number of seconds"),
        ({"timeout_s": 0}, "timeout_s is 0; give a positive number"),
        ({"files": {"../x": ""}}, "no name inside the folder"),
        ({"files": {"/etc/x": ""}}, "no name inside the folder"),
        ({"maximise": ["speed"]}, "'speed' is not among the properties"),
    ],
)
def test_settings_that_make_no_sense_are_told(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        echo(**changes)


def test_a_space_that_is_not_sound_is_told() -> None:
    with pytest.raises(SpaceError):
        echo(space={"options": []})


def test_a_program_that_cannot_be_started_is_a_measurement_error(tmp_path: Path) -> None:
    program = tmp_path / "not-executable"
    program.write_text(json.dumps({}))
    space = {"options": [{"name": "name", "type": "categorical", "values": [str(program)]}]}
    with CommandSystem(["${name}"], space).open({}, {}) as session, pytest.raises(MeasurementError, match="Permission"):
        session.run_once()
