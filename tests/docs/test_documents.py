"""What the documents show must work: Python blocks run, YAML blocks are read, links lead somewhere."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from perfport.cli.app import run
from perfport.data.assembly import measurements_of
from perfport.data.dataset import Dataset
from perfport.data.measurement import Property
from perfport.data.schema import Card
from perfport.data.store import Store
from perfport.measure.campaign import Campaign
from perfport.quickstart import Quickstart
from perfport.seeding import rng_for
from perfport.space.space import Space

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [*DOCUMENTS, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("*.md"))]

# The pages that go on with the running example, in the order a reader takes them.
STORY = [ROOT / "docs" / name for name in ("measuring.md", "transfer.md", "recommending.md", "explaining.md")]
N_MEASURED = 40


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def example() -> Campaign:
    """The campaign that all pages go on with."""
    (text,) = blocks(ROOT / "docs/measuring.md", "yaml")
    return Campaign.from_yaml(text)


def measure_the_example() -> None:
    """Fill `perfport.db` as the example does: its environments, options and protocol; the numbers are planted."""
    with Store.open("perfport.db") as store:
        for rig in example().rigs():
            rows = rig.space.sample(N_MEASURED, rng_for(0, rig.environment.name))
            codes = [rows[name].astype("category").cat.codes.to_numpy(float) for name in rig.space.names]
            side = float(rig.environment.workload["side"])
            work = 0.01 * side * np.sum([(at + 1) * column for at, column in enumerate(codes)], axis=0)
            properties = {name: Property(name, "s") for name in ("inference_time_s", "cpu_time_s")}
            responses = {
                "inference_time_s": 0.01 + 0.001 * work,
                "cpu_time_s": 0.03 - 0.0005 * work + 0.001 * work**1.1,
            }
            dataset = Dataset(rig.space, rig.environment, properties, rows, responses)
            store.begin_campaign(f"of {rig.environment.name}", {"space": rig.space.to_yaml()})
            made = measurements_of(dataset, protocol=example().protocol.key)
            store.append(made, campaign=f"of {rig.environment.name}", properties=properties.values())


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?) *#*$", text, re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(anchor == known or re.fullmatch(rf"{re.escape(anchor)}-\d+", known) is not None for known in found)
        found.add(f"{anchor}-{again}" if again else anchor)
    return found


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)", document.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        if link.startswith("https://"):
            continue
        path = document.parent / target if target else document
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks(document, "python")
    if not found:
        return
    monkeypatch.chdir(tmp_path)
    measure_the_example()
    for block in found:
        exec(compile(block, str(document), "exec"), {})  # noqa: S102  # our own documents


@pytest.mark.slow
def test_commands_of_the_pages_can_be_copied_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    measure_the_example()
    lines = [line for page in STORY for block in blocks(page, "console") for line in block.splitlines()]
    commands = [shlex.split(line[2:], comments=True) for line in lines if line.startswith("$ perfport ")]
    assert len(commands) > 20
    environments = {spec.name for spec in example().environments}
    for _, *arguments in commands:
        named = {arguments[at + 1] for at, word in enumerate(arguments) if word in ("-s", "-t", "--source", "--target")}
        assert named <= environments, arguments
        # What measures for real is tested elsewhere: here it matters that its campaign is that of the page.
        if "--measure" in arguments:
            assert arguments[arguments.index("--measure") + 1] == "campaign.yaml"
        elif arguments[0] not in ("doctor", "plan", "measure"):
            code = run(arguments)
            assert code == 0 or (code == 1 and "--fail-if" in arguments), (arguments, capsys.readouterr().err)


def test_the_campaign_of_the_pages_measures_as_the_quickstart_does() -> None:
    pytest.importorskip("onnxruntime")
    story, told = example(), Quickstart()
    assert story.protocol.key == told.protocol.key
    for here, there in zip(story.rigs(), told.rigs(), strict=True):
        assert here.environment == there.environment
        assert here.space.to_yaml() == there.space.to_yaml()


@pytest.mark.parametrize("path", sorted((ROOT / "examples/serving").glob("*.yaml")), ids=lambda path: path.name)
def test_example_campaigns_can_be_measured(path: Path) -> None:
    assert all(rig.space.size() for rig in Campaign.read(path).rigs())


def test_yaml_blocks_are_campaigns_and_cards() -> None:
    assert example().replicates == 10
    (knobs,) = blocks(ROOT / "docs/knobs.md", "yaml")
    assert "cpu_quota" in Campaign.from_yaml(knobs).environments[0].options
    for system in blocks(ROOT / "docs/systems.md", "yaml"):
        assert len(Campaign.from_yaml(system).rigs()) == 1
    card, keys, rules = blocks(ROOT / "docs/tables.md", "yaml")
    import yaml

    assert len(Card.model_validate(yaml.safe_load(card)).environments) == 2
    told = Card.model_validate(yaml.safe_load(card) | yaml.safe_load(keys))
    assert told.special_columns.keys() == {"index", "repetition", "outcome", "reason", "cost"}
    space = Space.from_yaml(rules)
    assert space.constants and space.to_configspace()
    assert Card.model_validate(
        yaml.safe_load(card) | {key: told for key, told in yaml.safe_load(rules).items() if key != "name"}
    )


def test_every_field_of_a_campaign_is_listed() -> None:
    text = (ROOT / "docs/measuring.md").read_text(encoding="utf-8")
    assert [name for name in Campaign.model_fields if f"`{name}`" not in text] == []
