import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.unit.advise.models import TIME, Planted, Unsure, booleans, mixed_space, plant

from perfport.advise.comparison.compare import compare
from perfport.data.dataset import Dataset
from perfport.data.measurement import Property
from perfport.data.tables import read_tables
from perfport.errors import UsageError
from perfport.space.options import Option
from perfport.space.space import Space
from perfport.transfer.api import transfer

SPACE = booleans("a", "b", "c", "d", "e")
SOURCE = Planted(SPACE, {("a",): 0.3, ("b",): 0.2, ("c",): 0.25, ("a", "b"): 0.2})
TARGET = Planted(SPACE, {("a",): 0.3, ("b",): 0.1, ("c",): -0.25, ("d",): 0.2})
FATES = {"a": "stays", "b": "scales", "c": "flips", "a × b": "vanishes", "d": "appears"}


def fates(source: Planted, target: Planted | Dataset, **arguments: object) -> dict[str, str]:
    found = compare(source, target, space=source.space, **arguments)  # type: ignore[arg-type]
    return {change.name: change.kind for change in found.influences}


def test_two_models_are_compared_influence_by_influence() -> None:
    assert fates(SOURCE, TARGET) == FATES
    comparison = compare(SOURCE, TARGET, space=SPACE)
    change = comparison.change("b")
    assert change is not None and change.factor == pytest.approx(0.5)
    assert change.source_pct == pytest.approx(100 * np.expm1(0.2))
    assert change.lower is None, "neither model says what it is unsure of"
    assert comparison.change("e") is None
    assert comparison.of_kind("flips")[0].factor == pytest.approx(-1.0)


def test_twenty_noisy_rows_tell_the_same() -> None:
    rng = np.random.default_rng(1)
    told = TARGET.measured(SPACE.sample(20, rng), 0.03, rng, "target")
    comparison = compare(SOURCE, told, space=SPACE)
    assert {change.name: change.kind for change in comparison.influences} == FATES
    for change in comparison.influences:
        true = {"a": 1.0, "b": 0.5, "c": -1.0, "a × b": 0.0}.get(change.name)
        if true is None:
            assert change.factor is None and change.lower is None
            continue
        assert change.lower is not None and change.upper is not None
        assert change.lower - 0.05 <= true <= change.upper + 0.05
    assert comparison.n_target_rows == 20
    assert comparison.noise_pct is not None and 0.5 < comparison.noise_pct < 10


def test_equal_environments_stay_equal() -> None:
    rng = np.random.default_rng(2)
    told = SOURCE.measured(SPACE.sample(20, rng), 0.05, rng, "target")
    assert set(fates(SOURCE, told).values()) == {"stays"}


def test_a_uniformly_slower_machine_changes_no_influence() -> None:
    rng = np.random.default_rng(3)
    rows = SPACE.sample(20, rng)
    slower = SOURCE.measured(rows, 0.0, rng, "target")
    slower = Dataset.from_frame(
        rows.assign(inference_time_s=3.0 * slower.response(TIME.name)), properties=[TIME], space=SPACE
    )
    comparison = compare(SOURCE, slower, space=SPACE)
    assert {change.kind for change in comparison.influences} == {"stays"}
    assert comparison.median_ratio == pytest.approx(3.0, rel=0.02)
    assert comparison.rank_correlation > 0.95


def test_units_are_converted_or_refused() -> None:
    rng = np.random.default_rng(4)
    rows = SPACE.sample(20, rng)
    in_ms = Property(TIME.name, "ms")
    told = Dataset.from_frame(
        rows.assign(inference_time_s=1000 * SOURCE.predict(rows)), properties=[in_ms], space=SPACE
    )
    comparison = compare(SOURCE, told)
    assert comparison.median_ratio == pytest.approx(1.0, rel=0.02)
    assert comparison.property.unit == "ms"
    in_joule = Property(TIME.name, "J")
    told = Dataset.from_frame(rows.assign(inference_time_s=SOURCE.predict(rows)), properties=[in_joule], space=SPACE)
    with pytest.raises(UsageError, match="do not measure the same thing"):
        compare(SOURCE, told)


def test_float_ranges_are_compared_between_the_levels_of_the_source() -> None:
    space = Space([Option(name="clock", type="float", lower=1.0, upper=8.0), Option(name="fast", type="boolean")])

    def law(strength: float) -> Unsure:
        return Unsure(lambda frame: frame["clock"].to_numpy(float) ** -strength, sd_log=1e-3)

    rows = space.sample(20, np.random.default_rng(5))
    told = Dataset.from_frame(rows.assign(inference_time_s=law(0.5).predict(rows)), properties=[TIME], space=space)
    change = compare(law(1.0), told).change("clock")
    assert change is not None and change.kind == "scales"
    assert change.factor == pytest.approx(0.5, abs=0.05)


def test_a_pattern_that_matters_at_other_levels_is_reshaped() -> None:
    space = Space(
        [Option(name="algorithm", type="categorical", values=("a", "b", "c")), Option(name="x", type="boolean")]
    )

    def law(slow: str) -> Unsure:
        return Unsure(lambda frame: np.where(frame["algorithm"] == slow, 2.0, 1.0), sd_log=1e-3)

    change = compare(law("a"), law("b"), space=space).change("algorithm")
    assert change is not None and change.kind == "reshapes"


def planted_score(space: Space, seeds: range) -> tuple[float, float]:
    """Precision and recall of (influence, fate) from 20 random rows with 5 % noise."""
    count: Counter[str] = Counter()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        source, target, kinds = plant(space, rng, n_main=6, n_pairs=3, n_changed=4)
        told = Planted(space, target).measured(space.sample(20, rng), 0.05, rng, "target")
        found = {
            frozenset(change.options): change.kind
            for change in compare(Planted(space, source), told, space=space, seed=seed).influences
        }
        wanted = {frozenset(term): kind for term, kind in kinds.items()}
        count["right"] += sum(found.get(term) == kind for term, kind in wanted.items())
        count["found"] += len(found)
        count["wanted"] += len(wanted)
    return count["right"] / count["found"], count["right"] / count["wanted"]


@pytest.mark.slow
@pytest.mark.parametrize("space", [booleans(*(f"o{i}" for i in range(12))), mixed_space(12)], ids=["boolean", "mixed"])
def test_planted_fates_are_recovered_from_twenty_rows(space: Space) -> None:
    precision, recall = planted_score(space, range(6))
    assert precision >= 0.9
    assert recall >= 0.9


@pytest.mark.slow
def test_measured_sources_and_the_transferred_model_work_together() -> None:
    space = booleans(*(f"o{i}" for i in range(12)))
    rng = np.random.default_rng(11)
    effects, changed, kinds = plant(space, rng, n_main=6, n_pairs=3, n_changed=4)
    source = Planted(space, effects).measured(space.sample(300, rng), 0.05, rng, "old")
    target = Planted(space, changed).measured(space.sample(20, rng), 0.05, rng, "new")
    model = transfer(sources=[source], target=target, property=TIME.name)
    comparison = compare(source, target, target_model=model)
    found = {frozenset(change.options): change.kind for change in comparison.influences}
    right = sum(found.get(frozenset(term)) == kind for term, kind in kinds.items())
    assert right / len(kinds) >= 0.9 and right / len(found) >= 0.9
    assert (comparison.source, comparison.target) == ("old", "new")


def test_configurations_that_lost_most_ranks_come_first() -> None:
    comparison = compare(SOURCE, TARGET, space=SPACE, n_ranks=3)
    changes = [abs(moved.target_rank - moved.source_rank) for moved in comparison.ranks]
    assert changes == sorted(changes, reverse=True)
    frame = pd.concat(SPACE.enumerate(), ignore_index=True)
    before, after = (pd.Series(model.predict(frame)).rank(method="min") for model in (SOURCE, TARGET))
    assert changes[0] == (after - before).abs().max()
    assert set(comparison.rank_table().columns) == {
        *SPACE.names,
        "source_rank",
        "target_rank",
        "source_response",
        "target_response",
    }


def test_ranks_of_a_property_to_maximise_start_at_the_highest() -> None:
    throughput = Property("throughput", "", "maximise")
    better = Planted(SPACE, {("a",): 0.3, ("b",): 0.1}, throughput)
    worse = Planted(SPACE, {("a",): 0.1, ("b",): 0.3}, throughput)
    for moved in compare(better, worse, space=SPACE).ranks:
        if moved.configuration["a"] and not moved.configuration["b"]:
            assert moved.target_rank > moved.source_rank


def test_failed_target_rows_are_dropped_and_counted() -> None:
    rng = np.random.default_rng(5)
    rows = SPACE.sample(20, rng)
    y = TARGET.predict(rows)
    y[3] = 0.0
    told = Dataset.from_frame(rows.assign(inference_time_s=y), properties=[TIME], space=SPACE)
    comparison = compare(SOURCE, told, space=SPACE)
    assert comparison.n_target_rows == 19
    assert any("1 of 20 rows dropped" in note for note in comparison.notes)


def test_the_result_survives_json_and_html() -> None:
    rng = np.random.default_rng(6)
    told = TARGET.measured(SPACE.sample(12, rng), 0.02, rng, "<target>")
    comparison = compare(SOURCE, told, space=SPACE)
    stored = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert stored["target"] == "<target>"
    assert "<target>" not in comparison._repr_html_()
    assert list(comparison.table()["influence"]) == [change.name for change in comparison.influences]
    assert "vanishes" in str(comparison)


def test_the_same_seed_gives_the_same_comparison() -> None:
    rng = np.random.default_rng(7)
    told = TARGET.measured(SPACE.sample(15, rng), 0.05, rng, "target")
    first, second = (compare(SOURCE, told, space=SPACE, seed=3) for _ in range(2))
    assert first == second


def test_the_order_of_rows_does_not_matter_for_the_fates() -> None:
    rng = np.random.default_rng(8)
    told = TARGET.measured(SPACE.sample(20, rng), 0.03, rng, "target")
    assert fates(SOURCE, told) == fates(SOURCE, told.take(rng.permutation(20)))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"smallest_effect_pct": 0.0}, "must be positive"),
        ({"tolerance": 1.0}, "below 1"),
        ({"coverage": 0.0}, "between 0 and 1"),
        ({"space": None}, "give space="),
        ({"space": booleans("a", "b")}, "no space|differ|lack|give space="),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, object], match: str) -> None:
    if arguments.get("space") is not None:
        told = TARGET.measured(SPACE.sample(5, np.random.default_rng(0)), 0.0, np.random.default_rng(0), "t")
        with pytest.raises(UsageError, match=match):
            compare(SOURCE, told, **arguments)  # type: ignore[arg-type]
        return
    with pytest.raises(UsageError, match=match):
        compare(SOURCE, TARGET, **({"space": SPACE} | arguments))  # type: ignore[arg-type]


def test_datasets_of_several_properties_need_a_name() -> None:
    frame = SPACE.sample(5, np.random.default_rng(0))
    two = Dataset.from_frame(frame.assign(time_s=1.0, energy_j=2.0), properties=["time_s", "energy_j"], space=SPACE)
    with pytest.raises(UsageError, match="energy_j, time_s"):
        compare(two, two)


@pytest.mark.paper
@pytest.mark.slow
def test_image_size_leaves_the_frequencies_in_place_on_the_jetson(published: Path) -> None:
    tables = read_tables(published / "data" / "opml19_xception_tx2")
    source, target = (tables.environments[f"tx2_xception_{size}"] for size in (200, 800))
    rows = np.random.default_rng(0).permutation(len(target))[:20]
    comparison = compare(source, target.take(rows), property="inference_time_s", configurations=target.configurations)
    gpu = comparison.change("gpu_freq")
    assert gpu is not None and gpu.kind in ("stays", "scales")
