"""ConfigSpace: the same valid configurations there and here, or an error."""

import json
from itertools import product

import ConfigSpace
import numpy as np
import pytest
from hypothesis import given, settings
from tests.unit.space.samples import mixed_space, runtime_space
from tests.unit.space.strategies import spaces

from perfport.errors import SpaceError
from perfport.space.options import Level, Option
from perfport.space.space import Space

PLAIN = (
    Option(name="a", type="boolean"),
    Option(name="b", type="ordinal", values=("low", "mid", "high")),
    Option(name="x", type="float", lower=0.0, upper=1.0),
)


def accepts(configuration_space: ConfigSpace.ConfigurationSpace, levels: dict[str, Level | None]) -> bool:
    """Whether ConfigSpace takes the active levels for a valid configuration."""
    active = {name: level for name, level in levels.items() if level is not None}
    try:
        ConfigSpace.Configuration(configuration_space, values=active).check_valid_configuration()
    except (
        ConfigSpace.ForbiddenValueError,
        ConfigSpace.ActiveHyperparameterNotSetError,
        ConfigSpace.InactiveHyperparameterSetError,
        ConfigSpace.IllegalValueError,
    ):
        return False
    return True


@settings(max_examples=30, deadline=None)
@given(spaces())
def test_configspace_accepts_the_same_configurations(space: Space) -> None:
    try:
        there = space.to_configspace()
    except SpaceError as error:
        assert "never active" in str(error)
        return
    combinations = list(product(*((*(option.levels or ()), None) for option in space.options)))
    chosen = np.random.default_rng(0).permutation(len(combinations))[:60]
    tried = [dict(zip(space.names, combinations[place], strict=True)) for place in chosen]
    tried += space.configurations(next(space.enumerate()))[:20]
    assert [accepts(there, levels) for levels in tried] == space.is_valid(space.frame(tried)).tolist()


@settings(max_examples=30, deadline=None)
@given(spaces())
def test_a_space_comes_back_with_its_options_and_valid_configurations(space: Space) -> None:
    try:
        there = space.to_configspace()
    except SpaceError as error:
        assert "never active" in str(error)
        return
    written = json.dumps(there.to_serialized_dict())
    again = Space.from_configspace(ConfigSpace.ConfigurationSpace.from_serialized_dict(json.loads(written)))
    assert [(o.name, o.type, o.levels) for o in again.options] == [(o.name, o.type, o.levels) for o in space.options]
    assert again.size() == space.size()
    frame = next(space.enumerate())
    assert again.is_valid(frame).all()
    assert again.default_configuration() == space.default_configuration()


def test_one_option_named_twice_in_a_condition_does_not_confuse_configspace() -> None:
    options = [Option(name=name, type="boolean") for name in "pqr"]
    space = Space(
        options,
        [{"option": "q", "when": "p == False and p == False"}, {"option": "r", "when": "p == False or p == True"}],
    )
    there = space.to_configspace()
    either: list[Level | None] = [False, True, None]
    tried = [dict(zip("pqr", levels, strict=True)) for levels in product(either[:2], either, either)]
    assert [accepts(there, levels) for levels in tried] == space.is_valid(space.frame(tried)).tolist()
    with pytest.raises(SpaceError, match="never active"):
        Space(options, [{"option": "q", "when": "p == False and p == True"}]).to_configspace()


def test_units_scales_and_owners_survive() -> None:
    again = Space.from_configspace(runtime_space().to_configspace())
    assert again.name == "runtime"
    clock = again.option("gpu_freq_hz")
    assert (clock.unit, clock.scale, clock.owner) == ("Hz", "log", "actuator")


def test_limits_on_a_float_range_are_handed_over() -> None:
    space = Space(
        PLAIN, [{"option": "x", "when": "b != 'low'"}], forbidden=["x > 0.9", "0.1 > x"], constraints=["a or x <= 0.5"]
    )
    there = space.to_configspace()
    values: list[Level | None] = [None, 0.0, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0]
    tried = [dict(zip("abx", levels, strict=True)) for levels in product((False, True), ("low", "mid"), values)]
    assert [accepts(there, levels) for levels in tried] == space.is_valid(space.frame(tried)).tolist()


def test_conditions_on_a_float_range_are_handed_over() -> None:
    space = Space(PLAIN, [{"option": "a", "when": "x >= 0.5 or x == 0.25"}])
    there = space.to_configspace()
    tried = [dict(zip("abx", levels, strict=True)) for levels in product((None, True), ("low",), (0.2, 0.25, 0.5, 0.6))]
    assert [accepts(there, levels) for levels in tried] == space.is_valid(space.frame(tried)).tolist()


def test_what_configspace_cannot_say_is_an_error_and_not_left_out() -> None:
    with pytest.raises(SpaceError, match=r"cannot express 'threads \* rate <= 1': a float range can only be compared"):
        mixed_space().to_configspace()
    wide = [Option(name=name, type="integer", lower=1, upper=500) for name in ("p", "q")]
    with pytest.raises(SpaceError, match="500 x 500 combinations of levels are too many"):
        Space(wide, constraints=["p * q <= 1000"]).to_configspace()
    many = [Option(name=f"o{number}", type="ordinal", values=tuple(range(4))) for number in range(28)]
    pairs = " and ".join(f"(o{number} == 1 or o{number + 1} == 2)" for number in range(0, 28, 2))
    with pytest.raises(SpaceError, match="needs more than 10000 clauses"):
        Space(many, forbidden=[pairs]).to_configspace()
    with pytest.raises(SpaceError, match="'a' is never active"):
        Space([PLAIN[0], wide[0]], [{"option": "a", "when": "p > 1000"}]).to_configspace()


def foreign_space() -> ConfigSpace.ConfigurationSpace:
    there = ConfigSpace.ConfigurationSpace(name="foreign")
    solver = ConfigSpace.CategoricalHyperparameter("solver", ["sgd", "adam"])
    depth = ConfigSpace.UniformIntegerHyperparameter("depth", 1, 8, log=True)
    width = ConfigSpace.UniformIntegerHyperparameter("net.width", 1, 8, default_value=1)
    rate = ConfigSpace.UniformFloatHyperparameter("rate", 1e-4, 1.0, log=True)
    noise = ConfigSpace.NormalFloatHyperparameter("noise", mu=0.0, sigma=1.0, lower=-3.0, upper=3.0)
    level = ConfigSpace.OrdinalHyperparameter("level", ["low", "mid", "high"])
    fixed = ConfigSpace.Constant("fixed", "yes")
    nesterov = ConfigSpace.CategoricalHyperparameter("nesterov", [True, False])
    there.add([solver, depth, width, rate, noise, level, fixed, nesterov])
    there.add(
        [
            ConfigSpace.AndConjunction(
                ConfigSpace.EqualsCondition(nesterov, solver, "sgd"),
                ConfigSpace.GreaterThanCondition(nesterov, level, "low"),
            ),
            ConfigSpace.OrConjunction(
                ConfigSpace.NotEqualsCondition(rate, solver, "adam"), ConfigSpace.InCondition(rate, depth, [1, 2])
            ),
        ]
    )
    there.add(
        [
            ConfigSpace.ForbiddenGreaterThanRelation(width, depth),
            ConfigSpace.ForbiddenAndConjunction(
                ConfigSpace.ForbiddenEqualsClause(solver, "adam"), ConfigSpace.ForbiddenInClause(depth, [7, 8])
            ),
            ConfigSpace.ForbiddenLessThanClause(noise, -2.0),
        ]
    )
    return there


def test_a_foreign_space_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    space = Space.from_configspace(foreign_space())
    assert space.option("depth").type == "integer"
    assert space.option("depth").scale == "log"
    assert space.option("noise").bounds == (-3.0, 3.0)
    assert space.option("level").type == "ordinal"
    assert space.option("nesterov").type == "boolean"
    assert space.option("fixed").is_constant
    assert "`net.width` > depth" in space.forbidden
    assert {condition.option: condition.when for condition in space.conditions} == {
        "nesterov": "(solver == 'sgd') and (level in ['mid', 'high'])",
        "rate": "(solver != 'adam') or (depth in [1, 2])",
    }
    frame = space.sample(50, np.random.default_rng(0))
    there = foreign_space()
    assert all(accepts(there, levels) for levels in space.configurations(frame))
    capsys.readouterr()  # ConfigSpace prints


def test_hyperparameters_that_are_no_options_are_refused() -> None:
    there = ConfigSpace.ConfigurationSpace()
    there.add(ConfigSpace.UniformIntegerHyperparameter("bytes", 1, 10**9))
    with pytest.raises(SpaceError, match="has more than 1,000,000 levels"):
        Space.from_configspace(there)
