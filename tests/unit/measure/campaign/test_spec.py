"""Campaign files."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from perfport.errors import PerfError, SpaceError, UnknownPluginError, UsageError
from perfport.measure.campaign.spec import Campaign, EnvironmentSpec, rig_of
from perfport.measure.protocol import Protocol

ONE = "name: a\nenvironments: [{name: x, system: synthetic}]\n"
LEVELS = {"option_1": (True,), "option_2": (2, 8)}


def test_a_campaign_survives_its_yaml() -> None:
    campaign = Campaign(
        name="all",
        environments=(
            EnvironmentSpec(name="x", system="synthetic", workload={"side": 3}, actuators={"cpus": "0"}, levels=LEVELS),
        ),
        configurations=({"option_1": True},),
        replicates=3,
        protocol=Protocol(budget_s=2),
        meters=("clock",),
        seed=4,
    )
    assert Campaign.from_yaml(campaign.to_yaml()) == campaign


def test_examples_satisfy_the_schema() -> None:
    schema = json.loads(json.dumps(Campaign.json_schema()))
    example = Path(__file__).resolve().parents[4] / "examples" / "opml19" / "measure_tx2.yaml"
    assert Campaign.read(example).environments[0].options == ("opml19",)
    jsonschema.validate(yaml.safe_load(example.read_text()), schema)
    jsonschema.validate(yaml.safe_load(ONE), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(ONE + "configuration: 3\n"), schema)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "a campaign is a mapping"),
        ("", "a campaign is a mapping"),
        ("name: [", "not YAML at line 1"),
        ("name: a\nname: b", "given twice"),
        ("name: a", "environments: required"),
        ("name: a\nenvironments: []", "environments"),
        ("1: 2\nname: a\nenvironments: [{name: x, system: s}]", "unknown field '1'"),
        (ONE + "replicate: 2", "did you mean 'replicates'"),
        (ONE + "protocol: {budget: 2}", "protocol: unknown field 'budget'; did you mean 'budget_s'"),
        (
            ONE + "protocol: {remeasure: 2}",
            "protocol: field 'remeasure' does not belong here; write it at the top level",
        ),
        (ONE + "budget_s: 2", r"field 'budget_s' does not belong here; write it inside protocol: \{"),
        (
            ONE + "workload: {side: 2}",
            "field 'workload' does not belong here; write it inside an entry of environments",
        ),
        (ONE.replace("}]", ", timeout_s: 9}]"), r"environments\[0\]: field 'timeout_s' .* inside protocol"),
        (ONE + "configurations: 0", "configurations"),
        (ONE + "configurations: []", "configurations is an empty list"),
        (ONE + "version: 9", "newer than 1"),
        (ONE + "space: {options: [{name: a, type: bool}]}", "option 'a'"),
        (ONE.replace("system", "sytem"), r"environments\[0\]: unknown field 'sytem'; did you mean 'system'"),
        (ONE.replace("}]", "}, {name: x, system: synthetic}]"), "environment 'x' is given twice"),
        (ONE.replace("}]", ", workload: {side: [1]}}]"), "workload.side"),
    ],
)
def test_what_is_no_campaign_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        Campaign.from_yaml(text, "c.yaml")
    assert caught.value.message.startswith("c.yaml: ")
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Campaign.read(tmp_path / "none.yaml")


def test_levels_restrict_the_space_of_the_system() -> None:
    rig = rig_of(EnvironmentSpec(name="x", system="synthetic", settings={"n_options": 3}, levels=LEVELS))
    assert rig.space.size() == 1 * 2 * 3
    assert rig.space.default_configuration() == {"option_1": True, "option_2": 2, "option_3": "a"}


def test_levels_that_decide_a_condition_take_it_along() -> None:
    pytest.importorskip("onnxruntime")
    spec = EnvironmentSpec(name="x", system="onnxruntime", network="ppocr_det", workload={"side": 192})
    whole = rig_of(spec).space
    one = rig_of(spec.model_copy(update={"levels": {"execution_mode": ("sequential",)}})).space
    assert set(whole.names) - set(one.names) == {"inter_op_threads"}
    assert {condition.option for condition in one.conditions} == {"arena_shrinkage"}
    many = rig_of(spec.model_copy(update={"levels": {"execution_mode": ("parallel",)}})).space
    assert set(whole.names) - set(many.names) == {"memory_pattern"}


def test_options_of_the_machine_join_those_of_the_system() -> None:
    named = {"MALLOC_ARENA_MAX": (2, 4), "MY_OWN": ("a", "b"), "cpus": ("0",)}
    spec = EnvironmentSpec(name="x", system="synthetic", settings={"n_options": 3}, levels=LEVELS, options=named)
    rig = rig_of(spec)
    assert rig.space.size() == 6 * 2 * 2
    configuration = rig.space.default_configuration()
    system, around = rig.split(configuration)
    assert set(system) == {"option_1", "option_2", "option_3"}
    assert around == {"MALLOC_ARENA_MAX": 2, "MY_OWN": "a", "cpus": "0"}
    whole = rig_of(EnvironmentSpec(name="x", system="synthetic", settings={"n_options": 3}, options=("affinity",)))
    assert whole.space.option("cpus").owner == "actuator"
    text = Campaign(name="c", environments=(spec,)).to_yaml()
    assert Campaign.from_yaml(text).environments[0] == spec


@pytest.mark.parametrize(
    ("fields", "error", "told"),
    [
        ({"system": "synthetc"}, UnknownPluginError, "did you mean 'synthetic'"),
        ({"system": "no.such:Thing"}, UnknownPluginError, "cannot be imported"),
        ({"system": "perfport.errors:Thing"}, UnknownPluginError, "cannot be imported"),
        (
            {"system": "perfport_broken:Thing"},
            UsageError,
            "'perfport_broken:Thing' cannot be imported: SyntaxError: .*line 1",
        ),
        ({"settings": {"n_option": 3}}, UsageError, "does not take these settings"),
        ({"settings": {"effects": [1, 2]}}, UsageError, "'synthetic' does not take these settings: AttributeError: 'l"),
        ({"network": "ppocr_det"}, UsageError, "does not take these settings"),
        ({"levels": {"option_9": (1,)}}, SpaceError, "unknown option 'option_9'"),
        ({"levels": {"option_2": (3,)}}, UsageError, "environment 'x', levels of 'option_2': 3 is not possible"),
        ({"levels": {"option_2": ()}}, UsageError, "an empty list"),
        ({"actuators": {"clock": 1}}, UsageError, "no actuator sets clock"),
        ({"space": {"options": [{"name": "nope", "type": "boolean"}]}}, UsageError, "has no option nope"),
        (
            {"space": {"options": [{"name": "option_2", "type": "ordinal", "values": [1, 3]}]}},
            UsageError,
            "option 'option_2': 3 is not possible here",
        ),
        (
            {
                "actuators": {"OMP_NUM_THREADS": 1},
                "space": {"options": [{"name": "OMP_NUM_THREADS", "type": "boolean", "owner": "actuator"}]},
            },
            UsageError,
            "keep one of the two",
        ),
        (
            {"options": ("option_2",)},
            UsageError,
            r"'option_2' is an option of system 'synthetic', which vary anyway; .* levels: {option_2: \[1, 2\]}",
        ),
        ({"options": ("warp_factor",)}, UsageError, "no actuator sets warp_factor"),
        ({"options": {"affinity": ("0",)}}, UsageError, "'affinity' must be an option with at least one level"),
        ({"options": {"cpus": ()}}, UsageError, "'cpus' must be an option with at least one level"),
        ({"options": {"cpu_quota": (1e9,)}}, PerfError, "cpu_quota"),
        ({"options": ("cpus",), "actuators": {"cpus": "0"}}, UsageError, "keep one of the two"),
    ],
)
def test_what_cannot_be_measured_is_told_before_it_is_tried(
    fields: dict[str, object], error: type[PerfError], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "perfport_broken.py").write_text("def broken(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=told):
        rig_of(EnvironmentSpec(**({"name": "x", "system": "synthetic"} | fields)))


def test_fixed_actuators_and_workload_are_part_of_the_environment() -> None:
    settings = {"mode": "sleep"}
    plain = rig_of(EnvironmentSpec(name="x", system="synthetic", settings=settings)).environment
    fixed = rig_of(
        EnvironmentSpec(
            name="y", system="synthetic", settings=settings, workload={"side": 2}, actuators={"OMP_NUM_THREADS": 1}
        )
    ).environment
    assert [str(difference) for difference in plain.diff(fixed)] == [
        "workload.side: (not stated) -> 2",
        "software.set.OMP_NUM_THREADS: (not stated) -> 1",
    ]
    assert plain.fingerprint != fixed.fingerprint
