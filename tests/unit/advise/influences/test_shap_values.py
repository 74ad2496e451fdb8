"""Two independent programs must share a difference alike: ours and SHAP."""

import sys

import numpy as np
import pandas as pd
import pytest
from tests.unit.advise.models import Planted, Written, booleans, mixed_space, numbers, plant

from perfport.advise.influences.difference import explain_difference
from perfport.advise.influences.shap_values import shap_values
from perfport.errors import MissingPackageError, UsageError
from perfport.space.options import Option
from perfport.space.space import Space

# SHAP's import calls what its plotting library is about to rename.
pytestmark = pytest.mark.filterwarnings("ignore:The set_bad function:PendingDeprecationWarning")


@pytest.mark.slow
def test_shap_gives_each_option_the_same_share() -> None:
    pytest.importorskip("shap", reason="needs the extra 'explain'")
    space = mixed_space(9)
    rng = np.random.default_rng(0)
    model = Planted(space, plant(space, rng, n_main=6, n_pairs=3, n_changed=0)[0])
    rows, baseline = space.sample(5, rng), space.default_configuration()
    found = shap_values(model, rows, baseline, space=space)
    assert found.feature_names == list(space.names)
    assert found.base_values == pytest.approx(model.predict(space.frame([baseline]))[0])
    for row, configuration in enumerate(space.configurations(rows)):
        difference = explain_difference(model, configuration, baseline, space=space)
        ours = [difference.options.get(name, 0.0) for name in space.names]
        assert found.values[row] == pytest.approx(ours, abs=1e-12)
        assert found.values[row].sum() == pytest.approx(difference.response - difference.baseline_response)


@pytest.mark.slow
def test_drawn_orders_agree_where_interactions_are_pairs() -> None:
    pytest.importorskip("shap", reason="needs the extra 'explain'")
    space = booleans(*(f"o{number}" for number in range(14)))
    model = Written(
        lambda rows: 1.0 + numbers(rows, "o1") + 0.5 * numbers(rows, "o3") * numbers(rows, "o4") + numbers(rows, "o13")
    )
    every_on = pd.DataFrame({name: [True] for name in space.names})
    found = shap_values(model, every_on, dict.fromkeys(space.names, False), space=space)
    wanted = {"o1": 1.0, "o3": 0.25, "o4": 0.25, "o13": 1.0}
    # Each order is followed forwards and backwards, which is exact for pairs.
    assert found.values[0] == pytest.approx([wanted.get(name, 0.0) for name in space.names], abs=1e-9)
    assert found.display_data[0].tolist() == ["on"] * 14


def test_options_that_switch_others_are_left_to_explain_difference() -> None:
    space = Space(
        [Option(name="parallel", type="boolean"), Option(name="workers", type="ordinal", values=(1, 2))],
        conditions=[{"option": "workers", "when": "parallel == True"}],
    )
    rows = space.frame([{"parallel": True, "workers": 2}])
    with pytest.raises(UsageError, match="'workers' is active in some"):
        shap_values(Written(lambda frame: np.ones(len(frame))), rows, space.default_configuration(), space=space)


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    space = booleans("a")
    rows = space.frame([{"a": True}])
    with pytest.raises(MissingPackageError, match=r"perfport\[explain\]"):
        shap_values(Written(lambda frame: np.ones(len(frame))), rows, {"a": False}, space=space)
