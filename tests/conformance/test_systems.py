"""Every built-in system, and the fakes, through the kit."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment, Fact
from perfport.data.measurement import Property
from perfport.errors import MissingPackageError
from perfport.measure.base import System
from perfport.measure.networks import network
from perfport.measure.systems import make_system
from perfport.measure.systems.replay import ReplaySystem
from perfport.measure.systems.synthetic import SyntheticSystem
from perfport.testing.fakes import FaultySystem
from perfport.testing.kits import SystemKit


def needs(package: str, network_name: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    try:
        network(network_name)
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
