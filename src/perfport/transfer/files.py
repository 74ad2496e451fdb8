"""Models on disk: recipe and data in a zip of JSON and plain arrays, fitted again and checked when read.

    model.perfport
    ├── manifest.json     format, recipe (property, strategy, seed, renamed options), spaces, environments,
    │                     verdict, a digest of every other entry, predictions of some configurations
    ├── target.npz        configurations, the response, its standard error, status and cost of the target rows
    └── source_0.npz ...  the same of each source

Fitting is deterministic and takes seconds, so what is kept is what the fit rests on: it can be read
by anything, holds nothing that could run, and does not break with a new version of a library as stored
estimators do. That the fit came out the same is checked against the predictions in the manifest.

Example:
    >>> save_model(model, "xavier.perfport")  # doctest: +SKIP
    >>> load_model("xavier.perfport").predict(configurations)  # doctest: +SKIP
"""

import hashlib
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.files import replaced_when_whole
from perfport.data.measurement import Property
from perfport.errors import ModelFileError, PerfError, UsageError
from perfport.space.space import Space
from perfport.transfer.api import transfer
from perfport.transfer.recipe import Recipe
from perfport.transfer.transferred import TransferredModel
from perfport.version import __version__

__all__ = ["load_model", "save_model"]

FORMAT = 1
MANIFEST = "manifest.json"
N_CHECKED = 50  # predictions kept in the manifest
TOLERANCE = 1e-6  # relative; the same machine gives 1e-12, another processor's arithmetic a little more
MAX_BYTES = 1 << 30  # of one entry, unpacked

# What zipfile, the decompressors it hands an entry to, and json raise on bytes that nobody wrote: a bit of the
# header says encrypted (RuntimeError), another packing (NotImplementedError, LZMAError) or an offset out of range.
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


def save_model(model: TransferredModel, path: str | Path) -> Path:
    """Write a model to a file, whole or not at all, and return its path.

    Args:
        model: What `transfer` returned.
        path: The file; replaced if it exists.

    Raises:
        UsageError: If the model was made with a strategy object, which has no name to find it by.
        ModelFileError: If the file cannot be written.
    """
    recipe = model.recipe
    if recipe is None or not isinstance(recipe.strategy, str):
        raise UsageError("only models made by transfer(strategy='<name>') can be saved; give the strategy by its name")
    datasets = {"target": recipe.target} | {f"source_{k}": source for k, source in enumerate(recipe.sources)}
    entries = {f"{name}.npz": _packed(dataset, recipe.property) for name, dataset in datasets.items()}
    checked = recipe.target.configurations.iloc[:N_CHECKED]
    manifest = {
        "format": FORMAT,
        "perfport": __version__,
        "property": asdict(model.property),
        "strategy": recipe.strategy,
        "seed": recipe.seed,
        "rename": dict(recipe.rename or {}),
        "datasets": {name: _described(dataset) for name, dataset in datasets.items()},
        "digests": {name: hashlib.sha256(content).hexdigest() for name, content in entries.items()},
        "predictions": [float(value) for value in model.predict(checked)],
        "verdict": asdict(model.verdict),
    }
    target = Path(path)
    try:
        with replaced_when_whole(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False))
            for name, content in entries.items():
                archive.writestr(name, content)
    except OSError as error:
        raise ModelFileError(
            f"{target}: the model cannot be written: {error.strerror or error}", path=target
        ) from error
    return target


def load_model(path: str | Path) -> TransferredModel:
    """Read a model, fit it again and check that it predicts what it predicted when it was saved.

    Raises:
        ModelFileError: If the file cannot be read, was altered, is of a newer format, or comes out different.
    """
    source = Path(path)
    try:
        with zipfile.ZipFile(source) as archive:
            manifest, entries = _unpacked(source, archive)
    except FileNotFoundError:
        raise ModelFileError(f"{source}: there is no such model file", path=source) from None
    except _DAMAGE as error:
        if isinstance(error, PerfError):
            raise
        raise ModelFileError(f"{source}: not a model file, or a damaged one ({error})", path=source) from error
    try:
        recipe = _recipe(manifest, entries)
        model = transfer(
            sources=recipe.sources,
            target=recipe.target,
            property=recipe.property,
            strategy=recipe.strategy,
            seed=recipe.seed,
            rename=recipe.rename,
        )
        expected = np.array(manifest["predictions"], dtype=float)
        got = model.predict(recipe.target.configurations.iloc[: len(expected)])
    except _DAMAGE as error:
        raise ModelFileError(f"{source}: the model cannot be made again ({error})", path=source) from error
    if got.shape != expected.shape or not np.allclose(got, expected, rtol=TOLERANCE, atol=0.0):
        raise ModelFileError(
            f"{source}: the model, made by perfport {manifest.get('perfport')}, comes out different with "
            f"{__version__}; make it again with perfport transfer",
            path=source,
        )
    return model


def _described(dataset: Dataset) -> dict[str, Any]:
    return {
        "space": dataset.space.to_yaml(),
        "environment": dataset.environment.to_dict(),
        "properties": {name: asdict(found) for name, found in dataset.properties.items()},
    }


def _packed(dataset: Dataset, property: str) -> bytes:
    """Return configurations and one property as an .npz of numbers, booleans and texts."""
    arrays: dict[str, NDArray[Any]] = {
        "status": dataset.status.astype(str),
        "response": dataset.responses[property],
        "log_se": dataset.log_se[property],
        "cost_s": dataset.cost_s,
    }
    for place, name in enumerate(dataset.configurations.columns):
        # JSON keeps 1, 1.0, true and "1" apart, and null is an inactive option.
        cells = [None if pd.isna(cell) else cell for cell in dataset.configurations[name].tolist()]
        arrays[f"option_{place}"] = np.frombuffer(json.dumps(cells).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _unpacked(source: Path, archive: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, bytes]]:
    manifest = json.loads(_entry(source, archive, MANIFEST))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ModelFileError(f"{source}: {MANIFEST} is no manifest of a model", path=source)
    if manifest["format"] > FORMAT:
        raise ModelFileError(
            f"{source}: format {manifest['format']} is newer than {FORMAT}, the newest known here; update perfport",
            path=source,
        )
    entries = {name: _entry(source, archive, name) for name in manifest["digests"]}
    for name, content in entries.items():
        if hashlib.sha256(content).hexdigest() != manifest["digests"][name]:
            raise ModelFileError(
                f"{source}: '{name}' is not what was saved: the file is damaged or altered", path=source
            )
    return manifest, entries


def _entry(source: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise ModelFileError(f"{source}: '{name}' is larger than any model perfport writes", path=source)
    return archive.read(name)


def _recipe(manifest: Mapping[str, Any], entries: Mapping[str, bytes]) -> Recipe:
    described = manifest["datasets"]
    name = manifest["property"]["name"]
    datasets = {key: _dataset(described[key], entries[f"{key}.npz"], name) for key in described}
    sources: Sequence[Dataset] = [datasets[f"source_{k}"] for k in range(len(datasets) - 1)]
    return Recipe(
        sources=tuple(sources),
        target=datasets["target"],
        property=name,
        strategy=str(manifest["strategy"]),
        seed=int(manifest["seed"]),
        rename=dict(manifest["rename"]) or None,
    )


def _dataset(described: Mapping[str, Any], content: bytes, property: str) -> Dataset:
    space = Space.from_yaml(described["space"])
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        columns = {
            option: json.loads(arrays[f"option_{place}"].tobytes().decode()) for place, option in enumerate(space.names)
        }
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return Dataset(
            space=space,
            environment=Environment.from_dict(described["environment"]),
            properties={property: Property(**described["properties"][property])},
            configurations=space.frame(rows),
            responses={property: arrays["response"]},
            status=arrays["status"],
            log_se={property: arrays["log_se"]},
            cost_s=arrays["cost_s"],
        )
