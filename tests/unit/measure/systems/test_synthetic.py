"""The planted system."""

import math

import numpy as np
import pytest

from perfport.errors import InvalidConfigurationError, UsageError
from perfport.measure.systems.synthetic import SyntheticSystem

EFFECTS = {"option_1": 0.5, "option_2": -0.25, "option_1:option_2": 0.125}


def test_the_truth_is_the_planted_model() -> None:
    system = SyntheticSystem(n_options=2, base_s=2.0, effects=EFFECTS)
    frame = system.space().frame([{"option_1": True, "option_2": 1}, {"option_1": False, "option_2": 8}])
    # The first row has the last and the first level, codes 1 and -1; the second row the reverse.
    expected = [2 * math.exp(0.5 + 0.25 - 0.125), 2 * math.exp(-0.5 - 0.25 - 0.125)]
    np.testing.assert_allclose(system.truth(frame), expected)


def test_noise_is_planted_seeded_and_of_the_size_asked() -> None:
    system = SyntheticSystem(n_options=2, noise=0.05, effects=EFFECTS)
    configuration = system.space().default_configuration()

    def readings(seed: int) -> list[float]:
        with system.open(configuration, {}, seed=seed) as session:
            values = []
            for _ in range(400):
                session.run_once()
                values.append(session.readings()["inference_time_s"])  # type: ignore[attr-defined]
            return values

    logs = np.log(np.array(readings(1)) / system.time_s(configuration))
    assert logs.std() == pytest.approx(0.05, rel=0.2)
    assert readings(1) == readings(1) != readings(2)


def test_related_systems_differ_as_asked_and_only_so() -> None:
    source = SyntheticSystem(n_options=6, seed=3)
    terms = list(source.effects)
    target = source.related(1, scale={terms[1]: 0.5}, flip=[terms[0]], drop=[terms[2]], base_ratio=3.0)
    assert target.effects[terms[0]] == -source.effects[terms[0]]
    assert target.effects[terms[1]] == source.effects[terms[1]] / 2
    assert target.effects[terms[2]] == 0
    assert target.effects[terms[3]] == source.effects[terms[3]]
    assert target.base_s == pytest.approx(3 * source.base_s)
    assert target.space() == source.space()
    assert target.facets()["network"] != source.facets()["network"]


def test_jitter_of_a_term_does_not_depend_on_the_others() -> None:
    source = SyntheticSystem(n_options=6, seed=3)
    terms = list(source.effects)
    whole, part = source.related(5, jitter=0.3), source.related(5, jitter=0.3, drop=[terms[0]])
    assert whole.effects[terms[1]] == part.effects[terms[1]] != source.effects[terms[1]]


def test_drawn_models_are_sparse_and_have_the_interactions_asked_for() -> None:
    system = SyntheticSystem(n_options=9, n_interactions=4, seed=1)
    pairs = [term for term in system.effects if ":" in term]
    mains = [term for term in system.effects if ":" not in term]
    assert (len(mains), len(pairs)) == (6, 4)
    assert {name for pair in pairs for name in pair.split(":")} <= set(mains)


@pytest.mark.parametrize("mode", ["sleep", "burn"])
def test_real_modes_spend_the_time(mode: str) -> None:
    import time

    system = SyntheticSystem(n_options=1, base_s=0.003, noise=0.0, effects={}, mode=mode)  # type: ignore[arg-type]
    with system.open({}, {}) as session:
        begin = time.perf_counter()
        session.run_once()
        assert time.perf_counter() - begin >= 0.003


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="known are option_1"):
        SyntheticSystem(n_options=1, effects={"option_2": 1.0})
    with pytest.raises(UsageError, match="no such term: x; planted are"):
        SyntheticSystem().related(0, drop=["x"])
    with pytest.raises(UsageError, match="mode virtual, sleep or burn"):
        SyntheticSystem(mode="fast")  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigurationError, match="option_1=7"), SyntheticSystem().open({"option_1": 7}, {}):
        pass
