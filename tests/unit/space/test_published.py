"""Spaces of published systems: counted, sampled and aligned in reasonable time."""

from pathlib import Path

import numpy as np
import pytest

from perfport.data.tables import read_tables
from perfport.space.alignment import align
from perfport.space.space import Space

pytestmark = [pytest.mark.paper]


def test_all_published_spaces_work(published: Path) -> None:
    folders = sorted(card.parent for card in published.glob("*/*/datacard.yaml"))
    assert len(folders) > 20
    for folder in folders:
        space = read_tables(folder).space
        assert Space.from_yaml(space.to_yaml()) == space, folder.name
        frame = space.sample(50, np.random.default_rng(0))
        assert space.is_valid(frame).all(), folder.name
        assert not frame.duplicated().any(), folder.name
        assert space.size() is None or len(frame) == min(50, space.size() or 0), folder.name
        assert len(space.neighbours(space.default_configuration())) > 0, folder.name
        assert align(space, space).to_target(frame).equals(frame), folder.name


def test_measured_configurations_are_valid(published: Path) -> None:
    tables = read_tables(published / "data" / "opml19_xception_tx2")
    for dataset in tables.environments.values():
        assert tables.space.is_valid(dataset.configurations).all()


def test_sizes_of_published_spaces_are_those_of_their_cards(published: Path) -> None:
    assert read_tables(published / "nas" / "fbnet").space.size() == 9**22
    assert read_tables(published / "data" / "opml19_xception_tx2").space.size() == 2**3 * 12 * 4 * 4
