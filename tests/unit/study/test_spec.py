import jsonschema
import pytest
import yaml

from perfport.errors import UsageError
from perfport.study.spec import StudySpec

SMALL = """\
name: sizes
environments: [a, b]
strategies: [auto]
"""


def labels(spec: StudySpec) -> list[str]:
    return [method.label for method in spec.methods()]


def test_names_alone_stand_for_strategies_samplers_sources_and_seeds() -> None:
    spec = StudySpec.from_yaml(
        "name: x\npairs: [{sources: a, target: b}]\n"
        "samplers: [random, {sampler: stratified, settings: {options: [t]}}]\n"
        "strategies: [auto, 'residual:boosting', {strategy: scaled}]\nproperties: time_s\nseeds: 2\n"
    )
    assert labels(spec) == ["auto", "residual:boosting", "scaled"]
    assert [sampler.label for sampler in spec.samplers] == ["random", "stratified(options=['t'])"]
    assert spec.pairs[0].sources == ("a",)
    assert (spec.seeds, spec.properties) == ((0, 1), ("time_s",))


def test_strategies_that_take_a_learner_are_crossed_with_the_learners() -> None:
    spec = StudySpec.from_yaml(
        f"{SMALL[: SMALL.index('strategies')]}learners: [tree, gp]\n"
        "strategies: [auto, target_only, 'residual:svr', 'pooled:default', "
        "{strategy: tradaboost, learner: tree, settings: {rounds: 5}}]\n"
    )
    expected = ["auto", "target_only:tree", "target_only:gp", "residual:svr", "pooled", "tradaboost:tree(rounds=5)"]
    assert labels(spec) == expected
    assert spec.baseline_label() == "target_only:tree"


def test_environments_make_all_ordered_pairs() -> None:
    spec = StudySpec.from_yaml(SMALL.replace("[a, b]", "[a, b, c]"))
    assert len(spec.all_pairs()) == 6
    assert len({(pair.sources, pair.target) for pair in spec.all_pairs()}) == 6
    assert spec.baseline_label() is None


def test_a_study_survives_its_yaml_and_fits_its_schema() -> None:
    spec = StudySpec.from_yaml(SMALL + "learners: [tree]\nbudgets: [3]\nseeds: [7]\n")
    assert StudySpec.from_yaml(spec.to_yaml()) == spec
    for document in (
        SMALL,
        spec.to_yaml(),
        SMALL + "seeds: 3\nsamplers: [random, {sampler: sobol}]\nproperties: time_s",
    ):
        jsonschema.validate(yaml.safe_load(document), StudySpec.json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(SMALL + "budget: [3]"), StudySpec.json_schema())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("budget: [3]", "unknown field 'budget'; did you mean 'budgets'?"),
        ("strategies: [autto]", "unknown strategy 'autto'; did you mean 'auto'?"),
        ("strategies: ['residual:bosting']", "unknown learner 'bosting'; did you mean 'boosting'?"),
        ("strategies: ['auto:gp']", "strategy 'auto' takes no learner"),
        ("strategies: [{strategy: 'residual:gp', learner: svr}]", "names a learner already"),
        ("strategies: [{strategy: auto, lerner: gp}]", "unknown field 'lerner'"),
        ("strategies: []", "should have at least one entry"),
        ("strategies: [auto, auto]", "auto is given twice"),
        ("learners: [forrest]", "unknown learner 'forrest'; did you mean 'forest'?"),
        ("samplers: [rundom]", "unknown sampler 'rundom'; did you mean 'random'?"),
        ("samplers: [random, random]", "random is given twice"),
        ("environments: [a]", "at least two environments, or pairs"),
        ("environments: [a, b, a]", "a is given twice"),
        ("pairs: [{sources: a, target: a}]", "'a' is source and target"),
        ("pairs: [{source: a, target: b}]", "unknown field 'source'"),
        ("budgets: [0]", "greater than or equal to 1"),
        ("budgets: [5, 5]", "5 is given twice"),
        ("seeds: 0", "should have at least one entry"),
        ("max_test_rows: 0", "greater than or equal to 1"),
        ("baseline: atuo", "baseline 'atuo' is no method of this study; did you mean 'auto'?"),
        ("version: 2", "newer than 1"),
        ("name: ''", "should not be empty"),
    ],
)
def test_a_wrong_document_is_told_in_one_line(change: str, said: str) -> None:
    document = yaml.safe_load(SMALL) | yaml.safe_load(change)
    with pytest.raises(UsageError) as raised:
        StudySpec.from_yaml(yaml.safe_dump(document), "study.yaml")
    assert raised.value.message.startswith("study.yaml: ")
    assert said in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("text", ["", "- a", "name: [", "name: a\nname: b"])
def test_a_text_that_is_no_study_is_told_in_one_line(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        StudySpec.from_yaml(text, "study.yaml")
    assert raised.value.message.startswith("study.yaml: ")
    assert "\n" not in raised.value.message
