"""Real networks on real runtimes, shortly."""

import sys
from pathlib import Path

import numpy as np
import pytest

from perfport.data.measurement import Measurement, Status
from perfport.data.store import Store
from perfport.errors import MissingPackageError
from perfport.measure.campaign import measure_configurations
from perfport.measure.campaign.spec import EnvironmentSpec, rig_of
from perfport.measure.networks import network
from perfport.measure.protocol import Protocol
from perfport.space.options import Level

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measuring needs POSIX process groups")

SHORT = Protocol(budget_s=0.1, min_time_s=0.02, warm_up_max_s=0.1)


def measured(folder: Path, spec: EnvironmentSpec, *changes: dict[str, Level | None]) -> list[Measurement]:
    """The default configuration, and it with each of the changes."""
    is_litert = spec.system == "litert"
    package = "ai_edge_litert" if is_litert else spec.system
    pytest.importorskip(package, reason=f"{package} is not installed")
    try:
        network(spec.network, "tflite" if is_litert else "onnx")
    except MissingPackageError as error:
        pytest.skip(error.message)
    rig = rig_of(spec)
    default = rig.space.default_configuration()
    frame = rig.space.frame([default, *({**default, **change} for change in changes)])
    with Store.open(folder / "perfport.db") as store:
        return measure_configurations(rig, frame, store, protocol=SHORT, lease=folder / "device.lock")


def check(found: list[Measurement]) -> None:
    assert [(measurement.status, measurement.reason) for measurement in found] == [(Status.OK, "")] * len(found)
    for measurement in found:
        times_s = measurement.repetitions["inference_time_s"]
        assert len(times_s) == len(measurement.repetitions["cpu_time_s"]) >= SHORT.min_repetitions
        assert (times_s > 0).all()
        # The whole measurement cannot have taken less than its repetitions.
        assert float(np.sum(times_s)) * measurement.configuration.get("batch", 1) < measurement.cost_s  # type: ignore[operator]
        assert "energy_j" in measurement.absent or "energy_j" in measurement.repetitions


def test_onnx_runtime_is_measured_with_its_session_options(tmp_path: Path) -> None:
    parallel: dict[str, Level | None] = {"execution_mode": "parallel", "inter_op_threads": 2, "memory_pattern": None}
    spec = EnvironmentSpec(name="ort", system="onnxruntime", network="ppocr_cls")
    found = measured(tmp_path, spec, {"spinning": False}, {"graph_optimisation": "off"}, {"batch": 4}, parallel)
    check(found)
    assert found[0].environment.software["runtime"] == "onnxruntime"
    assert found[0].environment.network["name"] == "ppocr_cls"
    assert found[-1].configuration["memory_pattern"] is None


def test_openvino_is_measured_with_its_properties(tmp_path: Path) -> None:
    spec = EnvironmentSpec(name="ov", system="openvino", network="ppocr_cls")
    check(measured(tmp_path, spec, {"threads": 1, "streams": 1}, {"precision": "f32"}, {"batch": 2}))


def test_the_same_network_at_two_sizes_is_two_environments(tmp_path: Path) -> None:
    small, large = (
        measured(
            tmp_path,
            EnvironmentSpec(name=f"s{side}", system="onnxruntime", network="ppocr_det", workload={"side": side}),
        )[0]
        for side in (32, 64)
    )
    assert small.environment.fingerprint != large.environment.fingerprint
    assert [str(difference) for difference in small.environment.diff(large.environment)] == ["workload.side: 32 -> 64"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process choose its processors")
def test_a_variable_and_a_processor_set_for_the_environment_reach_the_child(tmp_path: Path) -> None:
    actuators = {"ONEDNN_VERBOSE": "0", "cpus": "0"}
    spec = EnvironmentSpec(name="set", system="onnxruntime", network="ppocr_cls", actuators=actuators)
    (found,) = measured(tmp_path, spec)
    assert found.status is Status.OK
    facts = found.environment.software
    assert (facts["set.ONEDNN_VERBOSE"], facts["set.cpus"]) == ("0", "0")


def test_a_network_that_8_bits_break_is_wrong_not_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path / "cache"))
    spec = EnvironmentSpec(name="det", system="onnxruntime", network="ppocr_det", workload={"side": 64})
    found = measured(tmp_path, spec, {"precision": "int8_dynamic"})
    assert [measurement.status for measurement in found] == [Status.OK, Status.FAILED]
    assert found[1].reason.startswith("wrong output: output 0 differs")
    assert not found[1].repetitions


def test_litert_is_measured_with_its_delegate(tmp_path: Path) -> None:
    spec = EnvironmentSpec(name="face", system="litert", network="face_landmark")
    check(measured(tmp_path, spec, {"delegate_node_fusion": False}, {"threads": 1}))
