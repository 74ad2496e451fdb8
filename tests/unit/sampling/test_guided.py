"""Guided sampling: what mattered in the source is varied, all of it, and nothing else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perfport.data.dataset import Dataset
from perfport.data.tables import read_tables
from perfport.errors import UsageError
from perfport.sampling.base import LearnsFromSource
from perfport.sampling.guided import Guided, influences
from perfport.space.options import Option
from perfport.space.space import Space

SPACE = Space(
    [
        Option(name="cores", type="integer", lower=1, upper=4, default=4),
        Option(name="clock_hz", type="ordinal", values=(2e8, 4e8, 8e8, 1.6e9), scale="log", default=1.6e9),
        Option(name="mode", type="categorical", values=("eager", "graph", "compiled"), default="graph"),
        Option(name="arena", type="boolean", default=True),
        Option(name="pattern", type="boolean"),
    ]
)


def source(*, noise: float = 0.002, seed: int = 0) -> Dataset:
    """Cores and clock interact, mode matters by itself, arena and pattern do not."""
    frame = next(iter(SPACE.enumerate()))
    clock = frame["clock_hz"].astype(float)
    time = 0.1 + 4e8 / (clock * frame["cores"]) + 0.05 * (frame["mode"] == "eager")
    rng = np.random.default_rng(seed)
    frame["time_s"] = time * np.exp(noise * rng.standard_normal(len(frame)))
    return Dataset.from_frame(frame, properties=["time_s"], space=SPACE)


def test_influences_are_effects_on_the_logarithm() -> None:
    found = influences(source(), "time_s")
    assert list(found)[:2] == [("clock_hz",), ("cores",)]
    assert found["clock_hz",] > found["cores",] > found["mode",] > 0.05
    assert found["clock_hz", "cores"] > 0.05
    assert all(size < 0.01 for names, size in found.items() if {"arena", "pattern"} & set(names))


def test_every_influential_option_is_varied_and_no_other() -> None:
    proposed = Guided().with_source(source(), "time_s").propose(SPACE, 12, rng=np.random.default_rng(0))
    assert proposed["cores"].value_counts().to_dict() == {1: 3, 2: 3, 3: 3, 4: 3}
    assert proposed["clock_hz"].nunique() == 4
    assert proposed["mode"].nunique() == 3
    assert set(proposed["arena"]) == {True}
    assert set(proposed["pattern"]) == {False}


def test_influential_pairs_are_varied_together() -> None:
    proposed = Guided().with_source(source(), "time_s").propose(SPACE, 16, rng=np.random.default_rng(0))
    quarters = proposed.groupby([proposed["cores"] <= 2, proposed["clock_hz"] <= 4e8]).size()
    assert len(quarters) == 4
    assert quarters.min() >= 2


def test_candidates_at_the_defaults_come_first() -> None:
    candidates = next(iter(SPACE.enumerate()))
    sampler = Guided().with_source(source(), "time_s")
    proposed = sampler.propose(SPACE, 40, rng=np.random.default_rng(0), candidates=candidates)
    assert proposed["arena"].all()
    assert not proposed["pattern"].any()
    more = sampler.propose(SPACE, 60, rng=np.random.default_rng(0), candidates=candidates)
    both = ~more["arena"] & more["pattern"]
    assert not both.any()  # 48 leave neither default, 96 more leave one


def test_a_wide_space_is_not_enumerated() -> None:
    flags = [Option(name=f"flag_{i}", type="boolean") for i in range(40)]
    wide = Space([*SPACE.options, *flags])
    rng = np.random.default_rng(0)
    frame = wide.sample(300, rng)
    frame["time_s"] = 1.0 + 4e8 / frame["clock_hz"].astype(float) + 0.3 * frame["flag_7"]
    guided = Guided().with_source(Dataset.from_frame(frame, properties=["time_s"], space=wide), "time_s")
    proposed = guided.propose(wide, 8, rng=rng)
    varied = [name for name in wide.names if proposed[name].nunique() > 1]
    assert set(varied) == {"clock_hz", "flag_7"}


def test_a_source_in_which_nothing_matters_varies_everything() -> None:
    frame = SPACE.sample(60, np.random.default_rng(0)).assign(time_s=1.0)
    flat = Dataset.from_frame(frame, properties=["time_s"], space=SPACE)
    proposed = Guided().with_source(flat, "time_s").propose(SPACE, 12, rng=np.random.default_rng(0))
    assert all(proposed[name].nunique() > 1 for name in SPACE.names)


def test_options_the_target_lacks_are_ignored() -> None:
    smaller = Space([option for option in SPACE.options if option.name != "mode"])
    proposed = Guided().with_source(source(), "time_s").propose(smaller, 12, rng=np.random.default_rng(0))
    assert list(proposed.columns) == list(smaller.names)
    assert proposed["cores"].nunique() == 4


def test_without_a_source_it_says_what_is_missing() -> None:
    assert isinstance(Guided(), LearnsFromSource)
    with pytest.raises(UsageError, match="with_source"):
        Guided().propose(SPACE, 5, rng=np.random.default_rng(0))


@pytest.mark.paper
@pytest.mark.parametrize("prop", ["inference_time_s", "power_sum_mW"])
def test_the_number_of_cores_is_varied_on_the_published_data(published: Path, prop: str) -> None:
    # The published code of the study never varies it.
    system = read_tables(published / "data" / "opml19_xception_tx2")
    target = system.environments["tx2_xception_400"]
    guided = Guided().with_source(system.environments["tx2_xception_200"], prop)
    proposed = guided.propose(system.space, 20, rng=np.random.default_rng(0), candidates=target.configurations)
    cores = proposed[[name for name in system.space.names if name.startswith("core") and name.endswith("status")]]
    assert len(pd.DataFrame(cores).drop_duplicates()) >= 2
    for name in ("core_freq", "gpu_freq", "emc_freq"):
        assert proposed[name].nunique() >= 3
