"""Models on disk: the same predictions, and no file that was damaged, altered or is from the future."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.unit.transfer.samples import FRAME, dataset, log_time, noisy

from perfport.errors import ModelFileError, UsageError
from perfport.transfer.api import transfer
from perfport.transfer.baselines import DirectReuse
from perfport.transfer.files import load_model, save_model
from perfport.transfer.transferred import TransferredModel

SOURCE = dataset(noisy(log_time(FRAME), 0), "source")
TARGET = dataset(noisy(log_time(FRAME, threads=-0.3) + 0.7, 1), "target")


def made(strategy: str = "scaled") -> TransferredModel:
    rows = np.arange(0, len(FRAME), 13)
    return transfer(sources=[SOURCE], target=TARGET.take(rows), property="time_s", strategy=strategy, seed=3)


def rewritten(path: Path, name: str, content: bytes) -> None:
    """Replace one entry of a model file and leave the others as they are."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for entry, old in (entries | {name: content}).items():
            archive.writestr(entry, old)


def manifest_of(path: Path) -> dict[str, object]:
    with zipfile.ZipFile(path) as archive:
        manifest: dict[str, object] = json.loads(archive.read("manifest.json"))
    return manifest


@pytest.mark.parametrize("strategy", ["auto", "linear_shift", "target_only"])
def test_a_model_read_back_predicts_the_same(strategy: str, tmp_path: Path) -> None:
    model = made(strategy)
    read = load_model(save_model(model, tmp_path / "m.perfport"))
    np.testing.assert_allclose(read.predict(FRAME), model.predict(FRAME), rtol=1e-12)
    for limit, read_limit in zip(model.predict_interval(FRAME), read.predict_interval(FRAME), strict=True):
        np.testing.assert_allclose(read_limit, limit, rtol=1e-12)
    assert read.verdict == model.verdict
    assert read.property == model.property


def test_a_file_holds_plain_data_only(tmp_path: Path) -> None:
    path = save_model(made(), tmp_path / "m.perfport")
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["manifest.json", "source_0.npz", "target.npz"]
        for name in ("source_0.npz", "target.npz"):
            with archive.open(name) as entry, np.load(entry, allow_pickle=False) as arrays:
                assert all(arrays[key].dtype.kind in "fuU" for key in arrays)


def test_an_altered_reading_is_noticed(tmp_path: Path) -> None:
    path = save_model(made(), tmp_path / "m.perfport")
    with zipfile.ZipFile(path) as archive:
        content = bytearray(archive.read("target.npz"))
    content[len(content) // 2] ^= 1
    rewritten(path, "target.npz", bytes(content))
    with pytest.raises(ModelFileError, match=r"target\.npz.*altered"):
        load_model(path)


def test_a_model_that_comes_out_different_is_refused(tmp_path: Path) -> None:
    path = save_model(made(), tmp_path / "m.perfport")
    manifest = manifest_of(path)
    manifest["predictions"] = [value * 1.01 for value in manifest["predictions"]]  # type: ignore[attr-defined]
    rewritten(path, "manifest.json", json.dumps(manifest).encode())
    with pytest.raises(ModelFileError, match="comes out different"):
        load_model(path)


def test_a_newer_format_asks_for_an_update(tmp_path: Path) -> None:
    path = save_model(made(), tmp_path / "m.perfport")
    rewritten(path, "manifest.json", json.dumps(manifest_of(path) | {"format": 99}).encode())
    with pytest.raises(ModelFileError, match="format 99 is newer"):
        load_model(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a zip", b"PK\x03\x04 truncated"],
)
def test_what_is_no_model_is_said_to_be_none(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.perfport"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"m\.perfport: not a model file"):
        load_model(path)


@pytest.mark.parametrize("n_flips", [50, pytest.param(800, marks=pytest.mark.slow)])
def test_a_flipped_bit_is_noticed_or_changes_nothing(n_flips: int, tmp_path: Path) -> None:
    model = made("linear_shift")
    path = save_model(model, tmp_path / "m.perfport")
    content = path.read_bytes()
    expected = model.predict(FRAME)
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    # Half of them in the directory at the end: how entries are packed and encrypted, and where they lie.
    rng = np.random.default_rng(5)
    places = np.concatenate([rng.integers(len(content), size=n_flips), rng.integers(directory, len(content), n_flips)])
    n_refused = 0
    for place, bit in zip(places, rng.integers(8, size=len(places)), strict=True):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(bit)
        path.write_bytes(damaged)
        try:
            read = load_model(path)
        except ModelFileError as error:
            assert "\n" not in str(error)
            n_refused += 1
        else:
            np.testing.assert_allclose(read.predict(FRAME), expected, rtol=1e-12)
    assert n_refused > n_flips


# Offsets in a directory entry, and what its bits make of the first entry: encrypted, or packed in ways that
# this Python may not know or that do not fit what is there.
@pytest.mark.parametrize(("offset", "bit"), [(8, 0), (8, 5), (8, 6), *((10, bit) for bit in range(8))])
def test_an_entry_said_to_be_packed_otherwise_is_refused(offset: int, bit: int, tmp_path: Path) -> None:
    path = save_model(made("direct"), tmp_path / "m.perfport")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        content[archive.start_dir + offset] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"m\.perfport: not a model file, or a damaged one"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"digests": []},
        {"datasets": []},
        {"datasets": {"target": None}},
        {"rename": 3},
        {"seed": None},
        {"property": "time_s"},
        {"predictions": 1.0},
        {"predictions": [[]]},
        {"strategy": "no such"},
    ],
)
def test_an_altered_manifest_is_refused_in_one_line(change: dict[str, object], tmp_path: Path) -> None:
    path = save_model(made("direct"), tmp_path / "m.perfport")
    rewritten(path, "manifest.json", json.dumps(manifest_of(path) | change).encode())
    with pytest.raises(ModelFileError, match=r"m\.perfport: "):
        load_model(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path / "nowhere.perfport")


def test_a_strategy_object_cannot_be_found_again(tmp_path: Path) -> None:
    model = transfer(sources=[SOURCE], target=TARGET.take([1, 2, 3]), property="time_s", strategy=DirectReuse())
    with pytest.raises(UsageError, match="by its name"):
        save_model(model, tmp_path / "m.perfport")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_model(made(), tmp_path / "m.perfport")
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full_disk)
    with pytest.raises(ModelFileError, match="No space left"):
        save_model(made("direct"), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.perfport"]
