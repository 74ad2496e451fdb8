"""Every built-in system, and the fakes, through the kit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment, Fact
from perfport.data.measurement import Property
from perfport.errors import MissingPackageError, UsageError
from perfport.measure.base import AddsReadings, HasOutput, HasProperties, System
from perfport.measure.networks import Form, network
from perfport.measure.runner.outputs import wrong_output
from perfport.measure.systems import make_system
from perfport.measure.systems.network_options import WAVES
from perfport.measure.systems.replay import ReplaySystem
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.testing.fakes import FaultySystem
from perfport.testing.kits import SystemKit

SERVE = Path(__file__).parents[2] / "examples/serving/serve.py"


def needs(package: str, network_name: str, form: Form = "onnx") -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    try:
        network(network_name, form)
    except MissingPackageError as error:
        pytest.skip(error.message)


class TestSyntheticInVirtualTime(SystemKit):
    def make(self) -> System:
        return SyntheticSystem(n_options=5)


class TestSyntheticInRealTime(SystemKit):
    def make(self) -> System:
        return SyntheticSystem(n_options=3, base_s=1e-4, mode="burn")


class TestReplay(SystemKit):
    def make(self) -> System:
        planted = SyntheticSystem(n_options=3)
        configurations = next(planted.space().enumerate())
        return ReplaySystem(
            dataset=Dataset(
                space=planted.space(),
                environment=Environment("recorded", hardware={"board": "there"}, software={"runtime": "planted"}),
                properties={"inference_time_s": Property("inference_time_s", "s")},
                configurations=configurations,
                responses={"inference_time_s": planted.truth(configurations)},
                cost_s=np.full(len(configurations), 2.0),
            )
        )


class TestFaulty(SystemKit):
    n_sampled = 0

    def make(self) -> System:
        return FaultySystem()


class TestOnnxRuntimeWithDynamicBatch(SystemKit):
    def make(self) -> System:
        needs("onnxruntime", "ppocr_cls")
        return make_system("onnxruntime", {"network": "ppocr_cls"})


class TestOnnxRuntimeWithText(SystemKit):
    workload: ClassVar[Mapping[str, Fact]] = {"sequence_length": 8}
    n_sampled = 1

    def make(self) -> System:
        needs("onnxruntime", "minilm")
        return make_system("onnxruntime", {"network": "minilm"})


class TestOnnxRuntimeWithFixedBatch(SystemKit):
    n_sampled = 1

    def make(self) -> System:
        needs("onnxruntime", "squeezenet")
        return make_system("onnxruntime", {"network": "squeezenet"})


class TestOpenVino(SystemKit):
    n_sampled = 2

    def make(self) -> System:
        needs("openvino", "ppocr_cls")
        return make_system("openvino", {"network": "ppocr_cls"})


class TestLiteRtWithFixedBatch(SystemKit):
    def make(self) -> System:
        needs("ai_edge_litert", "face_landmark", "tflite")
        return make_system("litert", {"network": "face_landmark"})


@pytest.mark.slow
class TestLiteRtWithDynamicBatch(SystemKit):
    n_sampled = 0

    def make(self) -> System:
        needs("ai_edge_litert", "basic_pitch", "tflite")
        return make_system("litert", {"network": "basic_pitch"})


def small_network() -> Any:
    """A network of one's own, as `module:function` names it."""
    from torch import nn

    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
    return nn.Sequential(*layers)


@pytest.mark.slow
class TestTorchWithAModuleOfOnesOwn(SystemKit):
    workload: ClassVar[Mapping[str, Fact]] = {"side": 24}
    n_sampled = 0

    def make(self) -> System:
        pytest.importorskip("torch", reason="torch is not installed")
        settings = {"network": f"{__name__}:small_network", "input_shape": ["batch", 3, "side", "side"]}
        return make_system("torch", settings)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's compiler uses what torch deprecates
@pytest.mark.parametrize(
    "levels",
    [
        {"mode": "scripted"},
        {"mode": "compiled"},
        {"precision": "bf16"},
        {"channels_last": True, "onednn": False, "denormal_as_zero": True, "float32_matmul": "medium"},
        {"intra_op_threads": 1, "batch": 2},
    ],
)
def test_torch_computes_the_same_in_every_mode_and_leaves_the_process_as_it_was(levels: dict[str, Any]) -> None:
    system = TestTorchWithAModuleOfOnesOwn().make()
    import torch

    before = (torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled)
    workload = TestTorchWithAModuleOfOnesOwn.workload
    answers = []
    for configuration in ({}, levels):
        with system.open(configuration, workload) as session:
            session.run_once()
            session.run_once()
            assert isinstance(session, HasOutput)
            answers.append(session.output())
    assert wrong_output(answers[1], answers[0], 0.05) == ""
    assert before == (torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled)


@pytest.mark.slow
def test_a_module_of_ones_own_must_be_told_with_its_input() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(UsageError, match=r"give settings: \{input_shape: \[batch"):
        make_system("torch", {"network": f"{__name__}:small_network"})
    with pytest.raises(UsageError, match=r"cannot be imported.*or one of xception"):
        make_system("torch", {"network": "nowhere:net", "input_shape": [1, 3]})


@pytest.mark.slow
class TestTorchWithANetworkOfTheStudy(SystemKit):
    workload: ClassVar[Mapping[str, Fact]] = {"side": 96}
    n_sampled = 0

    def make(self) -> System:
        needs("torch", "resnet50", "torch")
        return make_system("torch", {"network": "resnet50"})


class TestCommand(SystemKit):
    workload: ClassVar[Mapping[str, Fact]] = {"side": 64}
    n_sampled = 1

    def make(self) -> System:
        code = "import json; print(json.dumps({'inference_time_s': ${side} / ${threads}, 'y': [1.0, 2.0]}))"
        space = {"options": [{"name": "threads", "type": "integer", "values": [1, 2]}]}
        return make_system("command", {"command": ["${python}", "-c", code], "space": space, "output": "y"})


@pytest.mark.slow
class TestHttpServingANetwork(SystemKit):
    workload: ClassVar[Mapping[str, Fact]] = {"scenario": "offline", "clients": 2, "requests": 4}
    n_sampled = 0

    def make(self) -> System:
        needs("onnxruntime", "ppocr_cls")
        command = ["${python}", str(SERVE), "--port", "${port}", "--threads", "${threads}"]
        settings = {
            "url": "http://127.0.0.1:${port}/predict",
            "body": {"batch": 1},
            "output": "scores",
            "server": {"command": command, "ready": "/health"},
            "space": {"options": [{"name": "threads", "type": "integer", "values": [1, 2]}]},
        }
        return make_system("http", settings)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_with_several_requests_in_flight_one_run_serves_several_waves(name: str) -> None:
    needs(name, "ppocr_cls")
    system = make_system(name, {"network": "ppocr_cls"})
    answers = []
    for requests in (1, 2):
        with system.open({"requests": requests, "batch": 2}, {}) as session:
            session.run_once()
            assert session.inputs_per_run == (2 if requests == 1 else 2 * 2 * WAVES)
            assert isinstance(session, AddsReadings)
            latency_s = session.added_readings()["latency_s"]
            assert latency_s is not None
            assert latency_s > 0
            assert isinstance(session, HasOutput)
            answers.append(session.output())
    assert wrong_output(answers[1], answers[0], 0.05) == ""
    assert isinstance(system, HasProperties)
    assert "latency_s" in {found.name for found in system.properties()}


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_options_left_out_of_the_space_stay_at_their_default(name: str) -> None:
    needs(name, "ppocr_cls")
    system = make_system(name, {"network": "ppocr_cls", "options": ["batch", "requests"]})
    assert system.space().names == ("requests", "batch")
    with pytest.raises(UsageError, match="there is no 'colour' here; there are"):
        make_system(name, {"network": "ppocr_cls", "options": ["colour"]}).space()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "network_name", "form"),
    [("onnxruntime", "ppocr_cls", "onnx"), ("litert", "face_landmark", "tflite")],
)
def test_every_level_of_every_option_can_be_run(
    name: str, network_name: str, form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path))
    needs("ai_edge_litert" if name == "litert" else name, network_name, form)
    system = make_system(name, {"network": network_name})
    space = system.space()
    default = space.default_configuration()
    for option in space.options:
        for level in option.levels or ():
            configuration = default | {option.name: level}
            # An option that a condition keeps inactive here is given all the same: it must be accepted.
            with system.open({key: value for key, value in configuration.items() if value is not None}, {}) as session:
                session.run_once()


def test_openvino_tells_which_devices_there_are() -> None:
    needs("openvino", "ppocr_cls")
    with pytest.raises(UsageError, match=r"no device 'NPX' here; it has CPU"):
        make_system("openvino", {"network": "ppocr_cls", "device": "NPX"}).space()


def test_bound_inputs_and_outputs_compute_the_same() -> None:
    needs("onnxruntime", "ppocr_cls")
    system = make_system("onnxruntime", {"network": "ppocr_cls"})
    answers = []
    for bound in (False, True):
        with system.open({"io_binding": bound, "batch": 2}, {}) as session:
            for _ in range(3):
                session.run_once()
            assert isinstance(session, HasOutput)
            answers.append(session.output())
    np.testing.assert_allclose(answers[1][0], answers[0][0], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8_dynamic", "int8_static"])
def test_a_network_in_8_bits_is_made_once_and_kept_by_what_it_is_made_from(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("onnxruntime", "squeezenet")
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path))
    system = make_system("onnxruntime", {"network": "squeezenet"})
    answers, seen = [], []
    for level in ("f32", precision, precision):
        with system.open({"precision": level}, {}) as session:
            session.run_once()
            assert isinstance(session, HasOutput)
            answers.append(session.output())
        seen.append({path.name: path.stat().st_mtime_ns for path in (tmp_path / "networks").iterdir()})
    assert len(seen[1]) == len(seen[0]) + 1
    assert seen[2] == seen[1]
    assert wrong_output(answers[1], answers[0], 0.3) == ""
    assert wrong_output(answers[1], answers[0], 1e-6)  # it did compute in 8 bits
    (made,) = set(seen[1]) - set(seen[0])
    again = make_system("onnxruntime", {"network": str(tmp_path / "networks" / made)})
    assert "precision" not in again.space().names


def test_a_network_given_by_path_runs_like_one_of_the_zoo(tmp_path: Path) -> None:
    needs("onnxruntime", "ppocr_cls")
    pytest.importorskip("onnx", reason="onnx is not installed")
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(network("ppocr_cls").path.read_bytes())
    system = make_system("onnxruntime", {"network": str(copy)})
    assert system.facets()["network"]["sha256"] == network("ppocr_cls").sha256
    with system.open({"batch": 2}, {"x_2": 48, "x_3": 192}) as session:
        session.run_once()
        assert session.inputs_per_run == 2
