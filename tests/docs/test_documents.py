"""What the documents show must work: Python blocks run, YAML blocks are read, links lead somewhere."""

import re
from pathlib import Path

import pytest

from perfport.data.schema import Card
from perfport.data.store import Store
from perfport.measure.campaign import Campaign, run_campaign
from perfport.space.space import Space

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [*DOCUMENTS, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("*.md"))]

# The environments of the quickstart, measured in virtual time.
MEASURED = """\
name: quickstart
environments:
- {name: ppocr-det-160px, system: synthetic}
- {name: ppocr-det-320px, system: synthetic, settings: {seed: 1}}
configurations: 40
"""


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


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
    with Store.open("perfport.db") as store:
        run_campaign(Campaign.from_yaml(MEASURED), store, lease=tmp_path / "lease")
    for block in found:
        exec(compile(block, str(document), "exec"), {})  # noqa: S102  # our own documents


@pytest.mark.parametrize("path", sorted((ROOT / "examples/serving").glob("*.yaml")), ids=lambda path: path.name)
def test_example_campaigns_can_be_measured(path: Path) -> None:
    assert all(rig.space.size() for rig in Campaign.read(path).rigs())


def test_yaml_blocks_are_campaigns_and_cards() -> None:
    (campaign,) = blocks(ROOT / "docs/measuring.md", "yaml")
    assert Campaign.from_yaml(campaign).replicates == 10
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
