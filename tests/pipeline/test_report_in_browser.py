"""The page in a real browser without a network: it draws every figure, asks for nothing and runs nothing foreign."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.report.samples import sample_report
from tests.unit.report.test_page import FIGURES, hostile_report

from perfport.report.content import ReportData
from perfport.report.page import write_report

pytestmark = pytest.mark.slow

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no browser on PATH (looked for {', '.join(_NAMES)})")
    return found


def load(browser: str, report: ReportData, folder: Path) -> tuple[str, str]:
    """Return the document after its scripts ran, and what the browser logged."""
    page = write_report(report, folder / "report.html")
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --enable-logging=stderr "
        "--virtual-time-budget=20000 --dump-dom"
    )
    command = [browser, *options.split(), "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={folder / 'profile'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if ":CONSOLE" in line)


def without_code(document: str) -> str:
    return re.sub(r"<script\b.*?</script>", "", document, flags=re.DOTALL)


def test_every_figure_is_drawn_without_a_network(browser: str, tmp_path: Path) -> None:
    document, console = load(browser, sample_report(), tmp_path)
    # The page's policy forbids all requests and foreign scripts; the browser would log each attempt and each error.
    assert console == ""
    drawn = without_code(document)
    assert drawn.count("js-plotly-plot") == len(FIGURES)
    assert drawn.count('class="main-svg"') >= len(FIGURES)
    assert 'class="placeholder"' not in drawn
    # 40 predicted and measured points, and the names above the bars.
    assert drawn.count('class="point"') >= 40
    assert "inter_threads × execution_mode" in drawn


def test_hostile_text_runs_nothing_and_is_shown_as_text(browser: str, tmp_path: Path) -> None:
    document, console = load(browser, hostile_report(), tmp_path)
    assert console == ""
    shown = without_code(document)
    assert "<img" not in shown
    assert len(re.findall("<script", document)) == 2 + len(FIGURES)
    assert re.search(r"<text[^>]*>(<tspan[^>]*>)?&lt;script&gt;alert\(1\)", shown)
