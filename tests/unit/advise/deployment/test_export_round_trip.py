"""What is exported is what was measured: the written settings are run and read by other programs."""

import json
import subprocess
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfport.advise.deployment.export import export
from perfport.advise.recommendation.recommend import recommend
from perfport.data.store import Store
from perfport.measure.base import HasOutput
from perfport.measure.campaign.run import measure_configurations
from perfport.measure.networks import network
from perfport.measure.networks.inputs import make_inputs
from perfport.measure.protocol import Protocol
from perfport.measure.runner.rig import make_rig
from perfport.measure.systems.onnxruntime import OnnxRuntimeSystem
from perfport.measure.systems.onnxruntime_options import session_options
from perfport.measure.systems.openvino import OpenVinoSystem
from perfport.space.options import Level, Option
from perfport.space.space import Space
from perfport.transfer.api import transfer

NETWORK = "squeezenet"  # its topology comes with onnx, its weights are seeded
# How the network is called, and which file it is, no session option can say.
OUTSIDE = {"arena_shrinkage", "batch", "io_binding", "precision", "requests"}
ENTRIES = (
    *("session.intra_op.allow_spinning", "session.inter_op.allow_spinning", "session.dynamic_block_base"),
    *("session.set_denormal_as_zero", "session.disable_prepacking", "session.disable_quant_qdq"),
    "optimization.enable_gelu_approximation",
)
TIME = "inference_time_s"
VARIED = ("graph_optimisation", "memory_arena", "memory_pattern")
PLAIN = Protocol(budget_s=0.3, min_time_s=0.1, warm_up_max_s=0.2, scheduling="plain")
ATTRIBUTES = (
    *("intra_op_num_threads", "inter_op_num_threads", "execution_mode", "execution_order", "graph_optimization_level"),
    *("enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse", "use_deterministic_compute"),
)


def told(options: Any) -> dict[str, object]:
    """Everything the options of the space can change."""
    entries = {key: options.get_session_config_entry(key) for key in ENTRIES}
    return {name: getattr(options, name, None) for name in ATTRIBUTES} | entries


def run_python(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(compile(text, "session_options.py", "exec"), found)  # noqa: S102  # running it is the test
    return found


@pytest.mark.slow
def test_every_configuration_is_exported_as_it_is_measured() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    space = OnnxRuntimeSystem(NETWORK).space()
    for configuration in space.configurations(space.sample(40, np.random.default_rng(0))):
        exported = export(configuration, "onnxruntime")
        text = exported.text
        assert set(exported.not_expressed) <= OUTSIDE
        without_session = "\n".join(line for line in text.splitlines() if not line.startswith("session ="))
        levels = {name: level for name, level in configuration.items() if level is not None and name not in OUTSIDE}
        measured = session_options(onnxruntime, levels)
        assert told(run_python(without_session)["options"]) == told(measured), configuration


@pytest.mark.slow
def test_every_openvino_configuration_compiles_as_exported() -> None:
    openvino = pytest.importorskip("openvino")
    system = OpenVinoSystem(NETWORK)
    core = openvino.Core()
    read = core.read_model(str(system.network.path))
    space = system.space()
    for configuration in space.configurations(space.sample(10, np.random.default_rng(0))):
        exported = export(configuration, "openvino")
        assert set(exported.not_expressed) <= OUTSIDE
        properties = json.loads(exported.files["openvino_properties.json"])["CPU"]
        compiled = core.compile_model(read, "CPU", properties)
        for option, name in {
            "threads": "INFERENCE_NUM_THREADS",
            "denormal_as_zero": "CPU_DENORMALS_OPTIMIZATION",
        }.items():
            assert compiled.get_property(name) == configuration[option]


@pytest.mark.slow
def test_an_exported_session_is_as_fast_as_the_measured_one() -> None:
    pytest.importorskip("onnxruntime")
    system = OnnxRuntimeSystem(NETWORK)
    configuration = system.space().default_configuration() | {"intra_op_threads": 1, "graph_optimisation": "off"}
    text = export(configuration, "onnxruntime", network=str(system.network.path)).text
    session = run_python(text)["session"]
    inputs = make_inputs(network(NETWORK), {}, 1)
    with system.open(configuration, {}) as measured:
        # In turns, so that what disturbs one disturbs the other.
        pairs = [(_seconds(measured.run_once), _seconds(lambda: session.run(None, inputs))) for _ in range(30)]
        assert isinstance(measured, HasOutput)
        outputs = measured.output()
    assert outputs[0] == pytest.approx(session.run(None, inputs)[0])
    # The same settings differ by noise only; graph optimisation alone would be a factor of two.
    assert 0.67 < median(exported / ours for ours, exported in pairs) < 1.5


@pytest.mark.slow
def test_an_exported_session_is_as_fast_as_was_recommended(tmp_path: Path) -> None:
    """A model of measurements made here recommends; what is exported is timed beside all that were measured."""
    pytest.importorskip("onnxruntime")
    system = OnnxRuntimeSystem(NETWORK)
    # One thread: on a machine that others use too, more of them measure the others.
    one_thread = Option(name="intra_op_threads", type="integer", values=(1,))
    rig = make_rig("here", system, space=Space([one_thread, *map(system.space().option, VARIED)]))
    rows = pd.concat(list(rig.space.enumerate()), ignore_index=True)
    slow = rig.space.frame([rig.space.default_configuration() | {"graph_optimisation": "off"}])
    frame = pd.concat([slow, rows.sample(10, random_state=0)], ignore_index=True)
    with Store.open(tmp_path / "perfport.db") as store:
        measure_configurations(rig, frame, store, protocol=PLAIN, lease=tmp_path / "device.lock")
        measured = store.dataset("here", space=rig.space)
    model = transfer(sources=[], target=measured, property=TIME)
    (best,) = recommend(model, candidates=rig.space, coverage=0.99)
    assert best.lower is not None and best.upper is not None
    session = run_python(export(best.configuration, "onnxruntime", network=str(system.network.path)).text)["session"]
    inputs = make_inputs(network(NETWORK), {}, 1)
    expected_s = []
    for configuration, then_s in zip(
        rig.space.configurations(measured.configurations), measured.responses[TIME], strict=True
    ):
        with system.open(configuration, {}) as beside:
            # The machine may be slower now than it was then, but by as much for both.
            ratios = [_seconds(lambda: session.run(None, inputs)) / _seconds(beside.run_once) for _ in range(12)]
        expected_s.append(then_s * median(ratios))
    # Any one reading may be of a slow moment; most of them are not.
    lower_s, upper_s = np.quantile(expected_s, [0.25, 0.75])
    assert lower_s <= best.upper and best.lower <= upper_s, (lower_s, upper_s, best)


def _seconds(call: Any) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def parsed_pbtxt(text: str) -> Any:
    """What protocol buffers read, with the fields of Triton's ModelConfig that are written."""
    pytest.importorskip("google.protobuf", reason="comes with onnx")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    one, many = 1, 3
    of_text, of_int, of_message = 9, 5, 11

    def message(within: Any, name: str, *fields: tuple[str, int, int, str]) -> Any:
        made = within.add(name=name)
        for number, (field, label, kind, of) in enumerate(fields, start=1):
            made.field.add(name=field, number=number, label=label, type=kind, type_name=of or None)
        return made

    message(file.message_type, "Parameter", ("string_value", one, of_text, ""))
    message(file.message_type, "Batching", ("preferred_batch_size", many, of_int, ""))
    message(file.message_type, "Graph", ("level", one, of_int, ""))
    message(file.message_type, "Optimization", ("graph", one, of_message, ".inference.Graph"))
    config = message(
        file.message_type,
        "ModelConfig",
        ("name", one, of_text, ""),
        ("backend", one, of_text, ""),
        ("max_batch_size", one, of_int, ""),
        ("dynamic_batching", one, of_message, ".inference.Batching"),
        ("optimization", one, of_message, ".inference.Optimization"),
        ("parameters", many, of_message, ".inference.ModelConfig.ParametersEntry"),
    )
    entry = message(
        config.nested_type,
        "ParametersEntry",
        ("key", one, of_text, ""),
        ("value", one, of_message, ".inference.Parameter"),
    )
    entry.options.map_entry = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))()
    return text_format.Parse(text, made)


def test_protocol_buffers_read_a_triton_config() -> None:
    configuration: dict[str, Level | None] = {
        "intra_op_threads": 2,
        "execution_mode": "parallel",
        "graph_optimisation": "extended",
        "memory_arena": True,
        "batch": 4,
    }
    config = parsed_pbtxt(export(configuration, "triton", network="models/detector.onnx").text)
    assert (config.name, config.backend, config.max_batch_size) == ("detector", "onnxruntime", 4)
    assert list(config.dynamic_batching.preferred_batch_size) == [4]
    assert config.optimization.graph.level == 1
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert config.parameters["execution_mode"].string_value == "1"


@settings(max_examples=50, deadline=None)
@given(name=st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1))
def test_a_triton_config_holds_any_name(name: str) -> None:
    config = parsed_pbtxt(export({"intra_op_threads": 2}, "triton", network=f"{name}.onnx").text)
    assert config.name == Path(f"{name}.onnx").stem


@pytest.mark.parametrize("target", ["vllm", "environment", "shell"])
def test_the_shell_reads_every_script(target: str, tmp_path: Path) -> None:
    nasty = "a'b\"c $(id) `id` \\ ; & |"
    configuration: dict[str, Level | None] = {
        "kv_cache_dtype": nasty,
        "OMP_PROC_BIND": nasty,
        "cpus": "0-1",
        "governor": nasty,
    }
    for path in export(configuration, target, network=nasty).write(tmp_path):
        if path.suffix == ".sh":
            subprocess.run(["sh", "-n", str(path)], check=True)
