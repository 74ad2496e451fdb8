"""What every page is made of: templates, style, scripts and figures, in one file that loads nothing.

A page works from a file and without a network, and its own content security policy forbids any
request: only the two scripts written here may run (they are named by their hashes), so that not even
a text that escaped escaping could do harm. Figures travel as JSON beside the script that draws them;
each has a description for screen readers.
"""

import base64
import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from perfport.advise.rendering import level_text
from perfport.errors import StoreError, UsageError
from perfport.report import figures, wording
from perfport.report.content import Missing
from perfport.units import format_quantity
from perfport.version import __version__

__all__ = ["Drawing", "drawing", "render_page", "write_page"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure on the page: its data, and what it shows for those who cannot see it."""

    name: str
    description: str
    json: Markup


def render_page(template: str, **content: Any) -> str:
    """Return a page.

    Args:
        template: Name of the template, which extends `layout.html.j2`.
        **content: What the template speaks of; the layout needs `title`, `headline` and `created`.
    """
    scripts = [figures.plotly_script(), _source("report.js")]
    return (
        _templates()
        .get_template(template)
        .render(
            **content,
            version=__version__,
            style=Markup(_source("report.css")),  # noqa: S704  # our own file
            scripts=[Markup(script) for script in scripts],  # noqa: S704  # likewise, and named by hash in the policy
            script_hashes=[_policy_hash(script) for script in scripts],
        )
    )


def drawing(name: str, description: str, figure: Any) -> Drawing:
    """Return a figure ready for a page."""
    return Drawing(name, description.strip(), Markup(figures.figure_json(figure)))  # noqa: S704  # escaped for scripts


def write_page(page: str, path: Path | str) -> Path:
    """Write a page; a file of that name is replaced, in one step or not at all.

    Args:
        page: The document.
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
        temporary.write_text(page, encoding="utf-8", newline="\n")
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
        "grades": wording.grades_text,
        "factor": wording.format_factor,
        "interval": wording.format_interval,
        "level": level_text,
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
