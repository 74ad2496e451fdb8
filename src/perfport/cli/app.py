"""The `perfport` command: one program, verbs as sub-commands, documented exit codes.

Exit codes: 0 done; 1 failure; 2 usage (an argument or a file that cannot be used as given);
3 environment (something this machine lacks); 130 interrupted. An error is one line on stderr.
"""

import errno
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

from perfport.cli import advising, listing, measuring, modelling, proposing, recommending, story, study, tables
from perfport.cli.console import err
from perfport.errors import PerfError, UsageError
from perfport.version import __version__

__all__ = ["app", "main", "run"]

app = typer.Typer(
    name="perfport",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Carry a performance model of a DNN system to a new environment with a handful of measurements.",
    epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 environment, 130 interrupted.",
)

INTERRUPTED = 130
_KEEPS_WHAT_IT_DID = ("measure", "quickstart", "study")
_MEASURING_FLAGS = ("--measure", "--pilot")
_WRONG_PATH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"perfport {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


app.command("quickstart", rich_help_panel="Start here")(story.quickstart)
app.command("doctor", rich_help_panel="Start here")(measuring.doctor)
app.command("plan", rich_help_panel="Measure")(measuring.plan)
app.command("measure", rich_help_panel="Measure")(measuring.measure)
app.command("list", rich_help_panel="Measure")(listing.list_environments)
app.command("import", rich_help_panel="Measure")(tables.import_tables)
app.command("export", rich_help_panel="Measure")(tables.export_tables)
app.command("propose", rich_help_panel="Model")(proposing.propose)
app.command("transfer", rich_help_panel="Model")(modelling.transfer)
app.command("predict", rich_help_panel="Model")(modelling.predict)
app.command("recommend", rich_help_panel="Model")(recommending.recommend)
app.command("explain", rich_help_panel="Model")(advising.explain)
app.command("compare", rich_help_panel="Model")(advising.compare)
app.command("apply", rich_help_panel="Model")(advising.apply)
app.command("card", rich_help_panel="Model")(advising.card)
app.command("report", rich_help_panel="Model")(modelling.report)
app.command("study", rich_help_panel="Study")(study.study)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises and never shows a traceback for an expected error."""
    try:
        code = app(args=list(arguments), standalone_mode=False)
    except PerfError as error:
        return _fail(error.message, error.exit_code)
    except TyperException as error:
        format_message = getattr(error, "format_message", None)
        return _fail(format_message() if format_message else str(error), getattr(error, "exit_code", 1))
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_interrupted(arguments), INTERRUPTED)
    except OSError as error:
        text = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
        return _fail(text, UsageError.exit_code if _is_about_a_path(error) else PerfError.exit_code)
    # Typer turns Ctrl-C into this code; whoever stopped on request returns it as well.
    return _fail(_interrupted(arguments), code) if code == INTERRUPTED else int(code or 0)


def _interrupted(arguments: Sequence[str]) -> str:
    """Only what measures, or computes cells, finds again what it has done."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    measures = any(word.partition("=")[0] in _MEASURING_FLAGS for word in arguments)
    if measures or command in _KEEPS_WHAT_IT_DID:
        return "interrupted; the same command goes on where it stopped"
    return "interrupted; the same command begins anew"


def _is_about_a_path(error: OSError) -> bool:
    """Return whether another path would do: one that is not there, may not be written, or is too long."""
    if error.errno is None:
        return type(error) is OSError  # pandas says so, in words, of a folder that is not there
    return error.errno in _WRONG_PATH


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    err.print(f"perfport: {line}", style="red" if err.is_terminal else None, markup=False, soft_wrap=True)
    return code


def main() -> None:
    """Entry point of the `perfport` command."""
    sys.exit(run(sys.argv[1:]))
