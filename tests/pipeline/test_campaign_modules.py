"""Systems and networks of one's own beside the campaign's file, measured from another folder."""

import sys
from pathlib import Path

import pytest

from perfport.data.measurement import Status
from perfport.data.store import Store
from perfport.errors import UnknownPluginError
from perfport.measure.campaign import Campaign, run_campaign

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="measuring needs POSIX process groups")

QUICK = "{warm_up_max_s: 0.01, min_time_s: 0, budget_s: 0.05, min_repetitions: 3, max_repetitions: 5}"
SYSTEM = f"""
name: own
environments: [{{name: here, system: "MODULE:Own"}}]
configurations: [{{fault: none}}]
meters: []
remeasure: 0
protocol: {QUICK}
"""
NETWORK = f"""
name: own
environments:
- name: here
  system: torch
  network: "MODULE:make"
  workload: {{side: 8}}
  settings: {{input_shape: [batch, 3, side, side], options: [batch], batches: [1]}}
configurations: 1
meters: []
remeasure: 0
protocol: {QUICK}
"""
# Both look for a module that is installed, and of which the folder has a broken copy.
OWN = """
import colorsys
from perfport.testing.fakes import FaultySystem

class Own(FaultySystem):
    pass
"""
MAKE = """
import colorsys
from torch import nn

def make():
    return nn.Conv2d(3, 4, 3)
"""


def campaign_in(folder: Path, text: str, module: str, source: str) -> Campaign:
    folder.mkdir()
    (folder / f"{module}.py").write_text(source)
    (folder / "colorsys.py").write_text("raise ImportError('the folder shadows an installed module')")
    (folder / "campaign.yaml").write_text(text.replace("MODULE", module))
    return Campaign.read(folder / "campaign.yaml")


@pytest.mark.parametrize(
    ("text", "module", "source"),
    [
        (SYSTEM, "beside_system", OWN),
        pytest.param(NETWORK, "beside_network", MAKE, marks=pytest.mark.slow),
    ],
)
def test_modules_beside_the_campaign_are_found_here_and_in_the_child(
    text: str, module: str, source: str, tmp_path: Path
) -> None:
    if module == "beside_network":
        pytest.importorskip("torch", reason="torch is not installed")
    campaign = campaign_in(tmp_path / "own", text, module, source)
    before = list(sys.path)
    with Store.open(tmp_path / "perfport.db") as store:
        result = run_campaign(campaign, store, lease=tmp_path / "device.lock")
        assert result.counts == {Status.OK: 1}, result.reasons
    assert sys.path == before
    assert Campaign.from_yaml(campaign.to_yaml()).to_yaml() == campaign.to_yaml()


def test_a_campaign_without_a_file_has_nothing_beside_it(tmp_path: Path) -> None:
    campaign_in(tmp_path / "own", SYSTEM, "beside_nothing", OWN)
    with pytest.raises(UnknownPluginError, match="No module named 'beside_nothing'"):
        Campaign.from_yaml((tmp_path / "own" / "campaign.yaml").read_text()).rigs()
