"""Every published folder loads, with the rows and levels that its card states."""

from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml
from tests.conftest import PUBLISHED

from perfport.data.cells import read_csv
from perfport.data.schema import card_schema
from perfport.data.tables import read_tables, write_tables

pytestmark = pytest.mark.paper

FOLDERS = sorted(path.parent.relative_to(PUBLISHED).as_posix() for path in PUBLISHED.glob("*/*/datacard.yaml"))
ROWS = {
    "data/aic_encoder_attention": 115185,
    "data/aic_moe": 74658,
    "data/ase17_sac": 4225,
    "data/ase17_spear": 81920,
    "data/ase17_sqlite": 15632,
    "data/deeparch": 106496,
    "data/gavel_colocation": 2127,
    "data/icpe17_sqlite": 320,
    "data/icpe17_xz": 1078,
    "data/mlenergy_t2i": 638,
    "data/neusight_bmm": 13461,
    "data/neusight_linear": 8254,
    "data/opml19_xception_tx2": 3072,
    "data/sempl_exastencils": 16392,
    "data/sempl_imagemagick": 400,
    "data/sempl_storm": 5790,
    "data/timm_inference": 28766,
    "data/unicorn_jetson": 999,
    "data/vidur_mlp": 19925,
    "data/zeus_training": 1199,
    "nas/fbnet": 135000,
    "nas/nb201": 437159,
    "nas/nb201_2k": 35723,
}


def test_there_are_23_folders(published: Path) -> None:
    assert published.is_dir()
    assert set(FOLDERS) == set(ROWS)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_card_fits_the_schema_that_editors_use(published: Path, folder: str) -> None:
    card = yaml.safe_load((published / folder / "datacard.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(card, card_schema())


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_loads_whole(published: Path, folder: str) -> None:
    tables = read_tables(published / folder)
    datasets = list(tables.environments.values())
    card = yaml.safe_load((published / folder / "datacard.yaml").read_text(encoding="utf-8"))
    assert sum(map(len, datasets)) == ROWS[folder] == sum(item["rows"] for item in card["environments"])
    assert list(tables.environments) == [item["name"] for item in card["environments"]]
    assert tables.space.names == tuple(item["name"] for item in card["options"])
    for dataset in datasets:
        assert not dataset.configurations.isna().any(axis=None)
        assert all(np.isfinite(values).all() for values in dataset.responses.values())
    assert len({dataset.environment.fingerprint for dataset in datasets}) == len(datasets)


@pytest.mark.parametrize("folder", FOLDERS)
def test_listed_levels_are_the_levels(published: Path, folder: str) -> None:
    tables = read_tables(published / folder)
    card = yaml.safe_load((published / folder / "datacard.yaml").read_text(encoding="utf-8"))
    for item in card["options"]:
        if isinstance(item["values"], list):
            assert tables.space.option(item["name"]).levels == tuple(item["values"])
        elif item["type"] in ("ordinal", "categorical"):
            levels = tables.space.option(item["name"]).levels
            assert levels is not None
            assert len(levels) == item["n_levels"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_first_environment_holds_what_its_file_says(published: Path, folder: str) -> None:
    tables = read_tables(published / folder)
    dataset = next(iter(tables.environments.values()))
    card = yaml.safe_load((published / folder / "datacard.yaml").read_text(encoding="utf-8"))
    table = read_csv(published / folder / card["environments"][0]["file"])
    for name, values in dataset.responses.items():
        assert values.tolist() == [float(text) for text in table.columns[name]]
    for option in dataset.space.options:
        cells = dataset.configurations[option.name]
        texts = table.columns[option.name]
        assert [str(cell) for cell in cells] == list(texts) or [float(cell) for cell in cells] == [
            float(t) for t in texts
        ]


@pytest.mark.parametrize("folder", ["data/unicorn_jetson", "data/gavel_colocation", "nas/nb201_2k", "data/ase17_sac"])
def test_published_tables_survive_writing(published: Path, tmp_path: Path, folder: str) -> None:
    tables = read_tables(published / folder)
    write_tables(tmp_path / "t", tables)
    again = read_tables(tmp_path / "t")
    assert again.space == tables.space
    assert again.metadata == tables.metadata
    assert again.index_column == tables.index_column
    for name, dataset in tables.environments.items():
        assert again.environments[name].key == dataset.key
        assert again.environments[name].environment == dataset.environment
        notes = again.environments[name].notes
        assert (notes is None) == (dataset.notes is None)
        if notes is not None and dataset.notes is not None:
            pd.testing.assert_frame_equal(notes, dataset.notes)


def test_architectures_named_none_are_levels_not_gaps(published: Path) -> None:
    dataset = read_tables(published / "nas" / "nb201").environments["raspi4"]
    assert (dataset.configurations["e10"] == "none").sum() == 3125
    assert dataset.notes is not None
    assert dataset.notes["arch_index"].tolist() == list(range(15625))
