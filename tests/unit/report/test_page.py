import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from tests.unit.report.samples import (
    TIME,
    sample_changes,
    sample_choice,
    sample_configurations,
    sample_curve,
    sample_report,
)

from perfport.data.environment import Environment
from perfport.errors import StoreError, UsageError
from perfport.report.content import (
    Choice,
    EnvironmentInfluences,
    ErrorRow,
    Estimate,
    Influence,
    Missing,
    ReportData,
    ReportedEnvironment,
    Reproduction,
)
from perfport.report.page import render, write_report
from perfport.space.options import Level
from perfport.transfer.verdict import Verdict

FIGURES = {"choice", "comparison", "curves", "predictions", "influences", "curve-0", "changes"}
PARTS = (
    *("environments", "comparison", "predictions", "influences", "changes", "recommendation", "verdict"),
    "reproduction",
)
VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """What a browser would make of the text: elements, text outside scripts, scripts; fails on unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.style = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def tags(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in names]

    @property
    def code(self) -> list[str]:
        return [text for attributes, text in self.scripts if attributes.get("type") != "application/json"]

    @property
    def figures(self) -> dict[str, dict[str, list[object]]]:
        return {
            str(attributes["id"]).removeprefix("figure-"): json.loads(text)
            for attributes, text in self.scripts
            if attributes.get("type") == "application/json"
        }


@pytest.fixture(scope="module")
def complete() -> Page:
    return Page(render(sample_report()))


def bare() -> ReportData:
    return ReportData("Nothing yet", sample_report().created, TIME)


def test_nothing_is_loaded_from_anywhere(complete: Page) -> None:
    for tag, attributes in complete.elements:
        assert not {"src", "srcset", "poster", "data", "background", "action", "formaction"} & set(attributes)
        if tag in {"a", "link"}:
            assert str(attributes["href"]).startswith(("#", "data:"))
    assert not re.search(r"@import|url\(|https?:", complete.style)


def test_only_the_two_scripts_named_by_their_hashes_may_run(complete: Page) -> None:
    (policy,) = [str(meta["content"]) for meta in complete.tags("meta") if "http-equiv" in meta]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in complete.code]
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]
    assert rules["default-src"] == "'none'"
    assert len(digests) == 2
    assert not any(name.startswith("on") for _, attributes in complete.elements for name in attributes)


def test_plotly_is_inlined_once(complete: Page) -> None:
    assert sum("plotly.js v" in text for text in complete.code) == 1
    assert len(render(sample_report())) < 6_000_000


def test_every_figure_is_there_with_its_data_and_a_description(complete: Page) -> None:
    assert set(complete.figures) == FIGURES
    assert all(figure["data"] for figure in complete.figures.values())
    holders = [holder for holder in complete.tags("div") if "data-figure" in holder]
    assert {holder["data-figure"] for holder in holders} == {f"figure-{name}" for name in FIGURES}
    assert all(holder["role"] == "img" and len(str(holder["aria-label"])) > 40 for holder in holders)


def test_the_first_screen_has_the_answer(complete: Page) -> None:
    before_sections = complete.text.split("Recommended settings")[0].replace("\u00a0", " ")
    assert "Set intra_threads = 2, spinning = off and cpu_freq_hz = 1.60 GHz" in before_sections
    for number in ("12.1 ms", "22.1 ms", "1.83×", "6.1 %", "noise floor 2.9 %", "of 1,152 configurations"):
        assert number in before_sections


def test_the_page_tells_the_whole_story(complete: Page) -> None:
    text = " ".join(complete.text.split())
    for sentence in (
        "energy_j absent, because this machine has no readable energy counter",
        "40 ok, 2 failed, 1 timed out",
        "2: not enough memory for batch 4",
        "The sources helped: estimated error 5.8 %",
        "option 'cpu_freq_hz' is not in source",
        "measured again",
        "8.00 GB",
        "perfport quickstart --seed 7",
        "Threads inside one operator",
    ):
        assert sentence in text
    assert "left out" not in text


def test_the_structure_serves_keyboard_and_screen_reader(complete: Page) -> None:
    assert complete.tags("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in complete.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(deeper <= level + 1 for level, deeper in pairwise(levels))
    identifiers = [str(attributes["id"]) for _, attributes in complete.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = [str(link["href"]) for link in complete.tags("a")]
    assert len(links) >= 9 and {link.removeprefix("#") for link in links} <= set(identifiers)
    assert all("scope" in cell for cell in complete.tags("th"))
    assert {str(part["aria-labelledby"]) for part in complete.tags("section")} <= set(identifiers)
    assert {"main", "nav", "header", "footer", "title"} <= {tag for tag, _ in complete.elements}


def test_a_report_of_nothing_says_what_is_missing_and_why() -> None:
    page = Page(render(bare()))
    assert page.figures == {}
    for part in PARTS:
        missing = getattr(bare(), part)
        assert isinstance(missing, Missing)
        assert missing.reason in page.text


@pytest.mark.parametrize("part", PARTS)
def test_any_one_part_may_be_missing(part: str) -> None:
    page = Page(render(dataclasses.replace(sample_report(), **{part: Missing("the cat sat on it")})))  # type: ignore[arg-type]
    assert "the cat sat on it" in page.text
    drawn_from = {
        "influences": {"influences", "curve-0"},
        "recommendation": {"choice"},
        **{name: {name} for name in ("comparison", "predictions", "changes")},
    }
    assert set(page.figures) == FIGURES - drawn_from.get(part, set())


def test_parts_of_parts_may_be_missing() -> None:
    report = sample_report()
    assert not isinstance(report.comparison, Missing) and not isinstance(report.predictions, Missing)
    assert isinstance(report.environments, tuple)
    page = Page(
        render(
            dataclasses.replace(
                report,
                recommendation=Choice({"arena": None}, {"arena": True}, Estimate(0.01)),
                comparison=dataclasses.replace(
                    report.comparison, rows=(ErrorRow("auto", 6.0, 4.0, None, 3),), replicate=Missing("no time left")
                ),
                environments=tuple(
                    ReportedEnvironment(given.environment, given.role, Missing("it was imported"))
                    for given in report.environments
                ),
                verdict=Verdict("harmful, not used"),
                predictions=dataclasses.replace(report.predictions, lower=None, upper=None),
                learning_curves=(),
            )
        )
    )
    text = " ".join(page.text.split())
    assert "Noise floor left out: no time left." in text
    assert "not known: it was imported" in text
    assert "Not verified: the recommended configuration was not measured." in text
    assert "No gain is given: the default configuration was not measured." in text
    assert "The model gives no intervals." in text
    assert "noise floor not known" in text
    assert set(page.figures) == FIGURES - {"curves"}


def hostile_report() -> ReportData:
    """Every text a user can choose is an attack."""
    report = sample_report()
    levels: dict[str, Level | None] = {HOSTILE: HOSTILE, "arena": True}
    assert not isinstance(report.comparison, Missing) and not isinstance(report.predictions, Missing)
    frame = sample_configurations(len(report.predictions)).rename(columns={"arena": HOSTILE})
    return dataclasses.replace(
        report,
        title=HOSTILE,
        environments=(ReportedEnvironment(Environment(HOSTILE, {HOSTILE: HOSTILE}), "target", Missing(HOSTILE)),),
        absent={HOSTILE: HOSTILE},
        comparison=dataclasses.replace(
            report.comparison, rows=(ErrorRow(HOSTILE, 1.0, 1.0, None, 2),), chosen=HOSTILE, replicate=Missing(HOSTILE)
        ),
        predictions=dataclasses.replace(report.predictions, configurations=frame),
        influences=(
            EnvironmentInfluences(
                HOSTILE,
                "target",
                (Influence((HOSTILE,), 0.5, "mixed", HOSTILE),),
                (dataclasses.replace(sample_curve(), option=HOSTILE),),
            ),
        ),
        changes=sample_changes(HOSTILE, HOSTILE),
        recommendation=dataclasses.replace(sample_choice(), configuration=levels, verified=Missing(HOSTILE)),
        verdict=Verdict("helped", {HOSTILE: 1.0}, 1.0, 2.0, (HOSTILE,)),
        reproduction=Reproduction(HOSTILE, 0, {HOSTILE: HOSTILE}, HOSTILE),
    )


def test_text_of_users_stays_text(complete: Page) -> None:
    page = Page(render(hostile_report()))
    assert len(page.code) == len(complete.code) == 2
    assert page.code == complete.code
    assert not page.tags("img")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count(HOSTILE) > 15


def test_the_same_data_gives_the_same_page() -> None:
    assert render(sample_report()) == render(sample_report())


def test_a_report_replaces_the_last_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("the last one", encoding="utf-8")
    assert write_report(sample_report(), path) == path
    assert path.read_bytes() == render(sample_report()).encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_needs_a_folder_that_exists(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder '.*nowhere'; create it"):
        write_report(bare(), tmp_path / "nowhere" / "report.html")
    with pytest.raises(UsageError, match="it is a folder; give the name of a file"):
        write_report(bare(), tmp_path)


@pytest.mark.parametrize("name", ["x" * 250, "x" * 300])
def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match=r"cannot write report .*: File name too long; give another path$"):
        write_report(bare(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_the_terminal_needs_does_not_load_plotly() -> None:
    code = "import perfport.report.terminal, sys; print('plotly' in sys.modules, 'jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
