"""What was measured is told, and what this machine does not measure is no failure of a configuration."""

import numpy as np
import pandas as pd
import pytest

from perfport.advise.recommendation.search import Search
from perfport.data.dataset import Dataset
from perfport.data.environment import Environment
from perfport.data.measurement import Property
from perfport.data.store import Store
from perfport.errors import MeasurementError
from perfport.measure.protocol import Protocol
from perfport.measure.runner.rig import make_rig
from perfport.measure.systems import make_system
from perfport.verify import searched


def test_a_search_for_what_is_not_measured_here_ends_after_one_measurement_and_says_so() -> None:
    system = make_system("synthetic", {"n_options": 3})
    space = system.space()
    rows = pd.concat(list(space.enumerate()), ignore_index=True)
    source = Dataset(
        space=space,
        environment=Environment("before"),
        properties={"energy_j": Property("energy_j", "J", "minimise")},
        configurations=rows,
        responses={"energy_j": np.exp(np.random.default_rng(0).normal(size=len(rows)))},
    )
    search = Search(sources=[source], candidates=space, property="energy_j", budget=6)
    with Store.open(":memory:") as store:
        with pytest.raises(MeasurementError, match="energy_j is not measured here: "):
            searched(search, make_rig("here", system), store, protocol=Protocol(), campaign="c")
        assert len(store.read()) == 1
