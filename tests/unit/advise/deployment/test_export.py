import ast
import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import trees
from tests.conformance.test_actuators import fake_nvpmodel
from tests.trees import write_files

from perfport.advise.deployment.export import TARGETS, Export, export
from perfport.advise.deployment.formats import triton_files
from perfport.advise.deployment.settings import REASONS, TABLES
from perfport.errors import UsageError
from perfport.measure.actuators import BUILTIN
from perfport.measure.actuators.allocator import Allocator
from perfport.measure.actuators.cgroup import CpuQuota
from perfport.measure.actuators.devfreq import JetsonClocks
from perfport.measure.actuators.memory import HugePages
from perfport.measure.actuators.nvml import NvmlSettings
from perfport.measure.actuators.nvpmodel import PowerMode
from perfport.measure.actuators.opml19 import Opml19Profile
from perfport.measure.actuators.process import CpuAffinity, EnvironmentVariables
from perfport.measure.actuators.processor import CpuFrequency, CpuHotplug, Smt
from perfport.measure.base import Actuator
from perfport.space.options import Level
from perfport.testing.fakes_nvml import FakeNvml

ORT: dict[str, Level | None] = {
    "intra_op_threads": 2,
    "execution_mode": "parallel",
    "inter_op_threads": 1,
    "spinning": False,
    "graph_optimisation": "extended",
    "memory_arena": True,
    "memory_pattern": None,
    "batch": 4,
}
NASTY = "'; rm -rf / #\"$(id)`id`\\ \n{}%s\t${HOME} --flag é"


def test_session_options_say_everything_but_the_batch() -> None:
    exported = export(ORT, "onnxruntime", network="net.onnx")
    assert exported.text == (
        "import onnxruntime\n\n"
        "options = onnxruntime.SessionOptions()\n"
        "options.intra_op_num_threads = 2\n"
        "options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL\n"
        "options.inter_op_num_threads = 1\n"
        "options.add_session_config_entry('session.intra_op.allow_spinning', '0')\n"
        "options.add_session_config_entry('session.inter_op.allow_spinning', '0')\n"
        "options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED\n"
        "options.enable_cpu_mem_arena = True\n"
        "session = onnxruntime.InferenceSession('net.onnx', options, providers=[\"CPUExecutionProvider\"])\n"
    )
    assert list(exported.not_expressed) == ["batch"]
    assert "memory_pattern" not in exported.expressed, "an inactive option is nothing to set"
    stored = json.loads(exported.files["session_options.json"])
    assert stored["session_options"]["execution_mode"] == "ORT_PARALLEL"
    assert stored["session_config_entries"]["session.intra_op.allow_spinning"] == "0"


def test_openvino_properties_are_texts_in_json_and_python() -> None:
    exported = export({"threads": 2, "streams": 1, "precision": "f32", "cpu_pinning": True}, "openvino")
    assert json.loads(exported.files["openvino_properties.json"]) == {
        "CPU": {
            "INFERENCE_NUM_THREADS": "2",
            "NUM_STREAMS": "1",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": "YES",
        }
    }
    ast.parse(exported.text)


def test_torch_settings_are_calls_and_assignments() -> None:
    exported = export({"threads": 2, "onednn": False, "precision": "bf16"}, "torch")
    assert "torch.set_num_threads(2)\ntorch.backends.mkldnn.enabled = False\n" in exported.text
    assert "torch.autocast" in exported.not_expressed["precision"]


def test_triton_gets_the_backend_that_expresses_most() -> None:
    exported = export(ORT, "triton", network="models/detector.onnx")
    assert 'name: "detector"\nbackend: "onnxruntime"\nmax_batch_size: 4\n' in exported.text
    assert 'parameters { key: "execution_mode" value: { string_value: "1" } }' in exported.text
    assert "optimization { graph { level: 1 } }" in exported.text
    assert list(exported.not_expressed) == ["spinning"]
    assert 'backend: "openvino"' in export({"threads": 2, "streams": 2}, "triton").text
    assert 'backend: "pytorch"' in export({"threads": 2}, "triton", backend="pytorch").text


def test_the_defaults_of_a_target_need_no_words() -> None:
    exported = export({"graph_optimisation": "all"}, "triton")
    assert "optimization" not in exported.text
    assert exported.expressed == ("graph_optimisation",)


def test_vllm_arguments() -> None:
    exported = export(
        {"max_num_seqs": 64, "enable_prefix_caching": False, "enforce_eager": True, "gpu_memory_utilization": 0.85},
        "vllm",
        network="org/model",
    )
    assert exported.text.splitlines()[1] == (
        "exec vllm serve org/model --max-num-seqs=64 --no-enable-prefix-caching --enforce-eager "
        "--gpu-memory-utilization=0.85"
    )
    assert json.loads(exported.files["vllm_arguments.json"])[0] == "--max-num-seqs=64"


def test_what_is_set_around_the_process_is_sent_there() -> None:
    machine: dict[str, Level | None] = {"OMP_NUM_THREADS": 2, "cpus": "0-1", "governor": "performance"}
    assert all("'shell'" in reason for reason in export(machine, "onnxruntime").not_expressed.values())
    assert export(machine, "shell").not_expressed == {}
    assert set(export(machine, "environment").not_expressed) == {"cpus", "governor"}
    assert "--cpuset-cpus" in export(machine, "docker").not_expressed["cpus"]
    inside = export({"intra_op_threads": 2, "colour": "red"}, "shell").not_expressed
    assert "onnxruntime or torch" in inside["intra_op_threads"]
    assert "nothing known" in inside["colour"]


def test_other_names_are_brought_to_known_ones() -> None:
    exported = export({"num_threads": 3}, "onnxruntime", rename={"num_threads": "intra_op_threads"})
    assert "intra_op_num_threads = 3" in exported.text
    assert exported.expressed == ("num_threads",)


def test_two_options_cannot_set_the_same_thing_differently() -> None:
    exported = export({"threads": 2, "intra_op_threads": 4}, "torch")
    assert "already sets torch.set_num_threads to 2" in exported.not_expressed["intra_op_threads"]


@pytest.mark.parametrize(
    ("name", "level", "target"),
    [
        ("intra_op_threads", 1.5, "onnxruntime"),
        ("intra_op_threads", True, "onnxruntime"),
        ("intra_op_threads", "2; import os", "onnxruntime"),
        ("spinning", "maybe", "onnxruntime"),
        ("graph_optimisation", "most", "onnxruntime"),
        ("graph_optimisation", "layout", "triton"),
        ("precision", "f64", "openvino"),
        ("gpu_memory_utilization", float("inf"), "vllm"),
        ("cpus", "0; id", "shell"),
        ("cpu_freq_hz", 12, "shell"),
        ("cpu_quota", 0, "shell"),
        ("transparent_hugepages", "sometimes", "shell"),
        ("allocator", "mine", "shell"),
        ("cpu1_online", "maybe", "shell"),
    ],
)
def test_levels_a_target_does_not_know_are_listed(name: str, level: Level, target: str) -> None:
    exported = export({name: level}, target)
    assert list(exported.not_expressed) == [name]
    assert exported.expressed == ()


_ONE_OF_EACH = (1, 2, True, 0.5, *("f32", "LATENCY", "PERFORMANCE", "ANY_CORE", "sequential", "off", "high", "default"))


def test_everything_in_a_table_can_be_expressed() -> None:
    for table, options in TABLES.items():
        target, _, backend = table.partition(":")
        for name in options:
            found = [export({name: level}, target, backend=backend or None).expressed for level in _ONE_OF_EACH]
            assert (name,) in found, (table, name)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="known are onnxruntime, openvino"):
        export(ORT, "tensorrt")
    with pytest.raises(UsageError, match="unknown backend 'tvm'"):
        export(ORT, "triton", backend="tvm")
    with pytest.raises(UsageError, match="no option of the configuration"):
        export(ORT, "onnxruntime", rename={"colour": "spinning"})
    with pytest.raises(UsageError, match="NUL"):
        export({"A": "x\0y"}, "environment")


def test_files_are_written_once(tmp_path: Path) -> None:
    exported = export(ORT, "onnxruntime")
    paths = exported.write(tmp_path / "new")
    assert [path.name for path in paths] == ["session_options.py", "session_options.json"]
    assert paths[0].read_text() == exported.text
    with pytest.raises(UsageError, match="exists already"):
        exported.write(tmp_path / "new")


def test_the_result_is_shown_with_what_is_missing_and_escaped_in_html() -> None:
    exported = export({"A": "<script>"}, "environment")
    assert "<script>" in str(exported) and "<script>" not in exported._repr_html_()
    assert "not expressed: batch" in str(export(ORT, "onnxruntime"))
    assert json.loads(json.dumps(export(ORT, "onnxruntime").to_dict()))["target"] == "onnxruntime"


# What follows tries to break out of every language a level is written in.

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@settings(max_examples=25, deadline=None)
@given(texts)
def test_no_text_escapes_from_environment_lines(text: str) -> None:
    (line, *more) = export({"VALUE": text}, "environment").text.removesuffix("\n").split("\n", 1)
    script = "\n".join([line, *more, 'printf "%s" "$VALUE"'])
    shown = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    assert shown.decode() == text
    assert json.loads(export({"VALUE": text}, "environment").files["environment.json"]) == {"VALUE": text}


@given(texts)
def test_no_text_escapes_from_vllm_arguments(text: str) -> None:
    exported = export({"dtype": text, "max_num_seqs": 2}, "vllm", network=text)
    words = shlex.split(exported.text.split("\n", 1)[1])
    assert words == ["exec", "vllm", "serve", text, f"--dtype={text}", "--max-num-seqs=2"]


@given(texts)
def test_no_network_escapes_from_python(network: str) -> None:
    for target in ("onnxruntime", "openvino", "torch"):
        tree = ast.parse(export({"threads": 1}, target, network=network).text)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert len(calls) <= 2
        assert network in literals or target == "torch"


@given(texts)
def test_no_text_escapes_from_pbtxt(text: str) -> None:
    (setting,) = TABLES["triton:onnxruntime"]["memory_arena"](True)
    content = triton_files([replace(setting, value=text)], f"onnxruntime:{text}")["config.pbtxt"]
    lines = content.removesuffix("\n").split("\n")
    assert len(lines) == 3, "control characters are escaped"
    assert unquoted(lines[0].removeprefix("name: ")) == text
    inside = lines[2].removeprefix('parameters { key: "enable_mem_arena" value: { string_value: ')
    assert unquoted(inside.removesuffix(" } }")) == text


def unquoted(literal: str) -> str:
    """Read a string literal of the text format: its escapes are those of Python's bytes."""
    assert re.fullmatch(r'"(?:[^"\\]|\\.)*"', literal)
    ascii_only = "".join(c if c.isascii() else "".join(f"\\{byte:03o}" for byte in c.encode()) for c in literal)
    return str(ast.literal_eval("b" + ascii_only).decode())


def test_a_dockerfile_line_stays_one_line() -> None:
    exported = export({"A": 'x" RUN $HOME \\', "B": NASTY}, "docker")
    assert exported.text.splitlines()[0] == 'ENV A="x\\" RUN \\$HOME \\\\"'
    assert "control characters" in exported.not_expressed["B"]
    assert len(exported.text.splitlines()) == 2


def run_script(exported: Export, root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the script on a copy of the kernel's files."""
    script = re.sub(r"(?<!\S)'?(/proc)?/sys/", lambda found: f"{root}{found[0]}", exported.text)
    path = root / "run.sh"
    path.write_text(script)
    return subprocess.run(["sh", str(path), *command], capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for number, governor in enumerate(("powersave", "ondemand")):
        folder = tmp_path / f"sys/devices/system/cpu/cpufreq/policy{number}"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor)
        (folder / "scaling_max_freq").write_text("3000000\n")
        (folder / "scaling_min_freq").write_text("800000\n")
    (tmp_path / "proc/sys/vm").mkdir(parents=True)
    (tmp_path / "proc/sys/vm/swappiness").write_text("60\n")
    return tmp_path


def contents(machine: Path) -> list[str]:
    return [path.read_text().strip() for path in sorted(machine.rglob("*")) if path.is_file() and path.suffix != ".sh"]


SETTINGS: dict[str, Level | None] = {
    "governor": "performance",
    "cpu_freq_hz": 1.5e9,
    "vm.swappiness": 10,
    "OMP_NUM_THREADS": 2,
}


def test_the_script_sets_runs_and_restores(machine: Path) -> None:
    before = contents(machine)
    files = f"{machine}/sys/devices/system/cpu/cpufreq/*/* {machine}/proc/sys/vm/swappiness"
    done = run_script(export(SETTINGS, "shell"), machine, "sh", "-c", f"cat {files}; echo $OMP_NUM_THREADS; exit 7")
    assert done.returncode == 7, done.stderr
    assert done.stdout == 2 * "performance15000001500000" + "102\n"
    assert contents(machine) == before


def test_the_script_restores_when_it_is_interrupted(machine: Path) -> None:
    before = contents(machine)
    done = run_script(export(SETTINGS, "shell"), machine, "sh", "-c", "kill -TERM $PPID; sleep 0.2")
    assert done.returncode == 143
    assert contents(machine) == before


def test_the_script_restores_when_a_setting_is_not_there(machine: Path) -> None:
    before = contents(machine)
    (machine / "proc/sys/vm/swappiness").unlink()
    done = run_script(export(SETTINGS, "shell"), machine, "true")
    assert done.returncode == 3
    assert "is not there" in done.stderr
    assert contents(machine) == [text for text in before if text != "60"]


def test_a_choice_in_brackets_is_read_set_and_restored(tmp_path: Path) -> None:
    file = write_files(tmp_path, {"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never"})
    file = file / "sys/kernel/mm/transparent_hugepage/enabled"
    done = run_script(export({"transparent_hugepages": "never"}, "shell"), tmp_path, "cat", str(file))
    assert (done.returncode, done.stdout) == (0, "never"), done.stderr
    assert file.read_text() == "madvise"


def test_processors_go_off_line_before_clocks_are_set_and_the_upper_limit_is_the_first() -> None:
    configuration: dict[str, Level | None] = {
        "vm.swappiness": 1,
        "cpu_freq_hz": 2e9,
        "cpu12_online": False,
        "smt": False,
    }
    lines = export(configuration, "shell").text.splitlines()
    set_files = [re.sub(r".*/", "", line.split(";")[0]) for line in lines if re.match("set_file /|for file in", line)]
    assert set_files == ["control off", "online 0", "scaling_max_freq", "scaling_min_freq", "swappiness 1"]
    assert "set_file /sys/devices/system/cpu/cpu12/online 0" in lines


def test_a_quota_and_processors_stand_before_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("systemd-run", "taskset"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\nprintf "%s " "${0##*/}" "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = run_script(export({"cpus": "0-1", "cpu_quota": 1.5}, "shell"), tmp_path, "true")
    assert done.stdout == "systemd-run --quiet --scope --property=CPUQuota=150% taskset -c 0-1 true "


def test_an_allocator_is_loaded_before_the_command_if_it_is_there(tmp_path: Path) -> None:
    exported = export({"allocator": "jemalloc", "LD_PRELOAD": ""}, "shell")
    script = exported.text.replace("/usr/lib /usr/lib64 /usr/local/lib /lib /usr/lib/*-linux-gnu*", str(tmp_path))
    assert script != exported.text
    moved = replace(exported, files={"run_with_settings.sh": script})
    done = run_script(moved, tmp_path, "true")
    assert done.returncode == 3 and "libjemalloc.so is not there" in done.stderr
    (tmp_path / "libjemalloc.so.2").touch()
    done = run_script(moved, tmp_path, "sh", "-c", "echo $LD_PRELOAD")
    assert done.stdout == f"{tmp_path}/libjemalloc.so.2\n"
    assert export({"allocator": "system"}, "shell").expressed == ("allocator",)


def built_in_actuators(root: Path) -> dict[str, Actuator]:
    """Every built-in actuator on a machine that has what it sets, by its name in the registry."""
    server, tx2 = trees.server(root / "server"), trees.tx2(root / "tx2")
    (root / "nvpmodel").mkdir()
    return {
        "affinity": CpuAffinity(),
        "allocator": Allocator({"jemalloc": root, "mimalloc": root, "tcmalloc": root}),
        "cpu_quota": CpuQuota(),
        "cpufreq": CpuFrequency(server),
        "devfreq": JetsonClocks(tx2),
        "environment": EnvironmentVariables(),
        "hotplug": CpuHotplug(tx2),
        "hugepages": HugePages(server),
        "nvml": NvmlSettings(FakeNvml()),
        "nvpmodel": PowerMode(*fake_nvpmodel(root / "nvpmodel")),
        "opml19": Opml19Profile(tx2),
        "smt": Smt(server),
    }


def test_every_option_of_every_actuator_is_in_the_script_or_has_its_reason(tmp_path: Path) -> None:
    actuators = built_in_actuators(tmp_path)
    assert actuators.keys() == BUILTIN.keys(), "a new actuator: say in the table of the shell what it sets"
    reasons = set(REASONS["shell"])
    for name, actuator in actuators.items():
        assert actuator.options, name
        for option in actuator.options:
            for level in option.levels or option.bounds:
                exported = export({option.name: level}, "shell")
                if option.name in REASONS["shell"]:
                    assert exported.not_expressed == {option.name: REASONS["shell"][option.name]}
                    reasons.discard(option.name)
                else:
                    assert exported.expressed == (option.name,), (option.name, level, exported.not_expressed)
    assert not reasons, "reasons for options that no actuator has"


def test_the_script_wants_a_command(machine: Path) -> None:
    done = run_script(export(SETTINGS, "shell"), machine)
    assert done.returncode == 2 and "usage" in done.stderr


def test_the_script_chooses_processors(tmp_path: Path) -> None:
    first = min(os.sched_getaffinity(0))
    done = run_script(export({"cpus": str(first)}, "shell"), tmp_path, "sh", "-c", "taskset -cp $$")
    assert done.stdout.strip().endswith(f": {first}")


def test_no_level_escapes_from_the_script(machine: Path) -> None:
    nasty = {
        "governor": f"$(touch {machine}/hit)",
        "A": f"`touch {machine}/hit`",
        "vm.swappiness": "'; touch hit; '",
    }
    run_script(export(nasty, "shell"), machine, "true")
    assert not (machine / "hit").exists() and not Path("hit").exists()


def test_targets_are_complete() -> None:
    for target in TARGETS:
        assert export({}, target).files


@pytest.mark.slow
def test_exported_session_options_open_a_session(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = small_network(tmp_path)
    exported = export(ORT, "onnxruntime", network=str(network))
    found: dict[str, object] = {}
    exec(compile(exported.text, "session_options.py", "exec"), found)  # noqa: S102  # running it is the test
    options, session = found["options"], found["session"]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)  # type: ignore[attr-defined]
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"  # type: ignore[attr-defined]
    assert session.run(None, {"x": [[1.0, 2.0]]})[0].tolist() == [[0.0, 2.0]]  # type: ignore[attr-defined]

    stored = json.loads(exported.files["session_options.json"])
    again = onnxruntime.SessionOptions()
    for key, value in stored["session_options"].items():
        enum = {"execution_mode": "ExecutionMode", "graph_optimization_level": "GraphOptimizationLevel"}.get(key)
        setattr(again, key, getattr(getattr(onnxruntime, enum), value) if enum else value)
    for key, value in stored["session_config_entries"].items():
        again.add_session_config_entry(key, value)
    assert again.execution_mode == options.execution_mode  # type: ignore[attr-defined]
    assert onnxruntime.InferenceSession(str(network), again, providers=["CPUExecutionProvider"]).get_inputs()


@pytest.mark.slow
def test_exported_properties_compile_a_network(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    network = small_network(tmp_path)
    configuration: dict[str, Level | None] = {
        "threads": 1,
        "streams": 1,
        "performance_hint": "LATENCY",
        "precision": "f32",
        "cpu_pinning": False,
        "hyper_threading": False,
    }
    exported = export(configuration, "openvino", network=str(network))
    found: dict[str, object] = {}
    exec(compile(exported.text, "openvino_properties.py", "exec"), found)  # noqa: S102  # running it is the test
    compiled = found["compiled"]
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1  # type: ignore[attr-defined]
    assert compiled.get_property("NUM_STREAMS") == 1  # type: ignore[attr-defined]
    assert compiled.get_property("ENABLE_CPU_PINNING") is False  # type: ignore[attr-defined]
    properties = json.loads(exported.files["openvino_properties.json"])["CPU"]
    again = openvino.Core().compile_model(str(network), "CPU", properties)
    assert again.get_property("PERFORMANCE_HINT") == compiled.get_property("PERFORMANCE_HINT")  # type: ignore[attr-defined]


def small_network(folder: Path) -> Path:
    """A rectifier on two numbers."""
    onnx = pytest.importorskip("onnx")
    shape = [1, 2]
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Add", ["x", "offset"], ["shifted"]),
            onnx.helper.make_node("Relu", ["shifted"], ["y"]),
        ],
        "small",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor("offset", onnx.TensorProto.FLOAT, shape, [-1.0, 0.0])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "small.onnx"
    onnx.save(model, path)
    return path
