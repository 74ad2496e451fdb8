"""One self-contained HTML page: everything inlined, no request to anywhere, readable in ten years.

The page works from a file and without a network, and its own content security policy forbids any
request: only the two scripts written here may run (they are named by their hashes), so that not even
a text that escaped escaping could do harm. Figures travel as JSON beside the script that draws them;
each has a description for screen readers and a table of its numbers.

Example:
    >>> from datetime import UTC, datetime
    >>> from perfport.data.measurement import Property
    >>> from perfport.report.content import ReportData
    >>> page = render(ReportData("A new board", datetime(2026, 1, 31, tzinfo=UTC), Property("inference_time_s", "s")))
    >>> page.startswith("<!doctype html>")
    True
"""

import base64
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from perfport import __version__
from perfport.errors import StoreError, UsageError
from perfport.report import figures, wording
from perfport.report.content import EnvironmentInfluences, Missing, ReportData
from perfport.report.rows import fact_rows, point_rows, rank_terms, setting_rows
from perfport.units import format_quantity

__all__ = ["render", "write_report"]


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A figure on the page: its data, and what it shows for those who cannot see it."""

    name: str
    description: str
    json: Markup


def render(data: ReportData) -> str:
    """Return the report as one HTML document."""
    choice, predictions, unit = data.recommendation, data.predictions, data.property.unit
    gain = None if isinstance(choice, Missing) else wording.gain_over_default(choice, data.property)
    scripts = [figures.plotly_script(), _source("report.js")]
    template = _templates().get_template("report.html.j2")
    return template.render(
        data=data,
        version=__version__,
        unit=unit,
        label=wording.property_label(data.property),
        headline=wording.headline(data),
        gain=gain,
        is_settled=gain is not None and wording.is_settled(gain, data.noise_floor_pct()),
        settings=[] if isinstance(choice, Missing) else setting_rows(choice, data.options),
        facts=[] if isinstance(data.environments, Missing) else fact_rows(data.environments),
        terms=[] if isinstance(data.influences, Missing) else rank_terms(data.influences),
        points=[] if isinstance(predictions, Missing) else point_rows(predictions, data.options, unit),
        drawings={drawing.name: drawing for drawing in _drawings(data)},
        style=Markup(_source("report.css")),  # noqa: S704  # our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704  # likewise, and named by hash in the policy
        script_hashes=[_policy_hash(script) for script in scripts],
    )


def write_report(data: ReportData, path: Path | str) -> Path:
    """Write the report; a file of that name is replaced, in one step or not at all.

    Args:
        data: What to say.
        path: The file, in a folder that exists.

    Returns:
        The absolute path of the file.

    Raises:
        UsageError: If the folder does not exist, or `path` is a folder.
        StoreError: If the file cannot be written.
    """
    path = Path(path).absolute()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if not path.parent.is_dir():
            raise UsageError(f"cannot write report '{path}': there is no folder '{path.parent}'; create it", path=path)
        if path.is_dir():
            raise UsageError(f"cannot write report '{path}': it is a folder; give the name of a file in it", path=path)
        # No translation of line ends: the policy names the scripts by a hash of their bytes.
        temporary.write_text(render(data), encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise StoreError(f"cannot write report '{path}': {reason}; give another path", path=path) from error
    return path


def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("perfport.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.tests["missing"] = lambda part: isinstance(part, Missing)
    templates.filters |= {
        "duration": wording.format_duration,
        "factor": wording.format_factor,
        "interval": wording.format_interval,
        "pct": wording.format_pct,
        "quantity": format_quantity,
        "unbroken": _unbroken,
    }
    templates.globals["wording"] = wording
    return templates


def _unbroken(text: str) -> str:
    """Keep "12.1 ms" and "threads = 2" on one line."""
    return re.sub(r"(?<=\d) (?=\S{1,3}(?!\w))| (?==)|(?<==) ", "\N{NO-BREAK SPACE}", text)


def _source(name: str) -> str:
    """The text of a file beside the templates, as it is."""
    return resources.files("perfport.report").joinpath("templates", name).read_text(encoding="utf-8")


def _policy_hash(script: str) -> str:
    """The name by which a content security policy allows an inline script (W3C CSP 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _drawings(data: ReportData) -> Iterator[_Drawing]:
    """Every figure there is something to draw for."""
    label, floor = wording.property_label(data.property), data.noise_floor_pct()
    beside_floor = f" The noise floor is {wording.format_pct(floor)}." if floor is not None else ""
    if not isinstance(data.recommendation, Missing):
        yield _drawing(
            "choice",
            f"The {label} of the default and of the recommended configuration. {wording.headline(data)}",
            figures.draw_choice(data.recommendation, data.property),
        )
    if not isinstance(data.comparison, Missing) and data.comparison.rows:
        errors = ", ".join(f"{row.name} {wording.format_pct(row.mape_pct)}" for row in data.comparison.rows)
        yield _drawing(
            "comparison",
            f"Bar chart of the mean absolute percentage error of each strategy: {errors}.{beside_floor}",
            figures.draw_comparison(data.comparison),
        )
    if data.learning_curves:
        ends = ", ".join(
            f"{curve.strategy} {wording.format_pct(curve.mape_pct[-1])} from {curve.n_target[-1]} rows"
            for curve in data.learning_curves
        )
        yield _drawing(
            "curves",
            f"Line chart of the error of each strategy against the number of measured target rows: {ends}.",
            figures.draw_learning_curves(data.learning_curves, noise_floor_pct=floor),
        )
    if not isinstance(data.predictions, Missing) and len(data.predictions):
        n_fitted = int(data.predictions.is_fitted.sum())
        yield _drawing(
            "predictions",
            f"Scatter plot of predicted against measured {label} of {len(data.predictions)} target configurations, "
            f"{n_fitted} of which the model was fitted on. {wording.interval_sentence(data.predictions)}",
            figures.draw_predictions(
                data.predictions, data.property, units=wording.units_of(data.options), noise_floor_pct=floor
            ),
        )
    if not isinstance(data.influences, Missing) and rank_terms(data.influences):
        yield _drawing("influences", _describe_terms(data.influences), figures.draw_influences(data.influences))


def _drawing(name: str, description: str, figure: Any) -> _Drawing:
    return _Drawing(name, description.strip(), Markup(figures.figure_json(figure)))  # noqa: S704  # escaped for scripts


def _describe_terms(environments: Sequence[EnvironmentInfluences]) -> str:
    largest = rank_terms(environments)[:3]
    parts = []
    for column, given in enumerate(environments):
        listed = ", ".join(f"{term.name} {term.cells[column].label}" for term in largest)
        parts.append(f"{given.environment} ({given.role}): {listed}")
    return "Bar chart of the most influential options and pairs, as shares of variance. " + "; ".join(parts) + "."
