import pickle

import numpy as np
import pytest
from hypothesis import given
from tests.unit.data import samples

from perfport.data.environment import Environment
from perfport.errors import UsageError


def test_fingerprint_depends_on_facts_and_not_on_name_or_order() -> None:
    one = Environment("a", hardware={"cores": 2, "arch": "x86"})
    two = Environment("b", hardware={"arch": "x86", "cores": 2})
    assert one.fingerprint == two.fingerprint
    assert len(one.fingerprint) == 16
    assert Environment("a", hardware={"cores": 4, "arch": "x86"}).fingerprint != one.fingerprint
    assert Environment("a", software={"cores": 2, "arch": "x86"}).fingerprint != one.fingerprint


def test_fingerprint_is_the_same_on_every_machine() -> None:
    environment = Environment("a", hardware={"cores": 2}, workload={"side": 224, "share": 0.5, "warm": True})
    assert environment.fingerprint == "34ad962874baa771"


def test_a_whole_number_is_the_same_fact_as_int_and_float_but_not_as_boolean() -> None:
    assert Environment("a", hardware={"cores": 2}).fingerprint == Environment("a", hardware={"cores": 2.0}).fingerprint
    assert Environment("a", hardware={"on": 1}).fingerprint != Environment("a", hardware={"on": True}).fingerprint


def test_diff_names_every_difference_in_the_order_of_the_facets() -> None:
    here = Environment("a", hardware={"cores": 2, "arch": "x86"}, software={"os": "linux"})
    there = Environment("b", hardware={"arch": "arm", "cores": 2}, workload={"side": 224})
    assert [str(difference) for difference in here.diff(there)] == [
        "hardware.arch: x86 -> arm",
        "workload.side: (not stated) -> 224",
        "software.os: linux -> (not stated)",
    ]
    assert here.diff(here) == []


def test_diff_tells_a_boolean_from_the_number_it_equals() -> None:
    assert Environment("a", hardware={"on": 1}).diff(Environment("b", hardware={"on": True}))


@samples.relaxed
@given(samples.environments)
def test_environments_survive_their_dict_and_pickle(environment: Environment) -> None:
    again = Environment.from_dict(environment.to_dict())
    assert again == environment
    assert again.fingerprint == environment.fingerprint
    assert pickle.loads(pickle.dumps(environment)) == environment  # noqa: S301  # our own bytes
    assert len({again, environment}) == 1


def test_numpy_scalars_become_plain_facts() -> None:
    assert Environment("a", hardware={"cores": np.int64(2)}).to_dict()["hardware"] == {"cores": 2}  # type: ignore[dict-item]


def test_facts_are_copied() -> None:
    facts: dict[str, str | int | float | bool] = {"cores": 2}
    environment = Environment("a", hardware=facts)
    facts["cores"] = 4
    assert environment.hardware["cores"] == 2


@pytest.mark.parametrize("fact", [None, [1], {"a": 1}, float("nan"), float("inf"), 10**400, b"x"])
def test_what_is_no_fact_is_refused_by_name(fact: object) -> None:
    with pytest.raises(UsageError, match=r"environment 'a': hardware\.cores is .*; a fact is text"):
        Environment("a", hardware={"cores": fact})  # type: ignore[dict-item]


def test_bad_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="needs a name"):
        Environment(" ")
    with pytest.raises(UsageError, match="hardware must be a mapping of facts, not str"):
        Environment("a", hardware="laptop")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown key 'hardwear'"):
        Environment.from_dict({"name": "a", "hardwear": {}})
    with pytest.raises(UsageError, match="has no name"):
        Environment.from_dict({"hardware": {}})


def test_text_says_name_and_facts() -> None:
    assert str(samples.BOARD) == "board (hardware cores=4; network name=resnet; workload side=224)"
    assert str(Environment("a")) == "a (no facts stated)"
