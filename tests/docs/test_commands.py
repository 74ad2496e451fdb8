"""Commands that the documents show exist, with their options: of perfport, of make, the scripts of benchmarks/."""

import itertools
import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest
import typer.main

from perfport.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
SHOWN = sorted([*PAGES, ROOT / "Makefile", *(ROOT / "examples").rglob("*.yaml"), *(ROOT / "examples").rglob("*.py")])
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group; typer says command


def commands(document: Path, program: str) -> list[list[str]]:
    """Return what follows `program` where it is a command: typed, in a fence, indented, in a comment, in backticks."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    fences = "\n".join(re.findall(r"^```(?:console|bash|sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    found = re.findall(rf"^{program} (.*)", fences, re.MULTILINE)
    found += re.findall(rf"^(?:.*\$ |[# \t]{{4,}}|\t.*\$\(BIN\)/){program} (.*)", text, re.MULTILINE)
    found += re.findall(rf"(?<!`)`{program} ([^`]*)`", re.sub(r"\s+", " ", text))
    return [words(line) for line in found]


def words(line: str) -> list[str]:
    """Return the words of a command without what the shell does with it, remarks, and variables of make."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    found = itertools.takewhile(lambda word: word[0] not in "|&;>", (word or "''" for word in lexer))
    return [word for word in found if not word.startswith("$(")]


def wrong(name: str, *arguments: str) -> str:
    """Return what click finds wrong with the arguments of perfport, "" if nothing."""
    if name.startswith("-"):
        return ""
    if name not in COMMANDS:
        return f"no command '{name}'"
    command = COMMANDS[name]
    context = command.context_class(command, info_name=name)
    try:
        _, left, _ = command.make_parser(context).parse_args(list(arguments))
    except Exception as error:  # noqa: BLE001  # of click, which typer keeps to itself
        # A sentence may speak of an option without giving it a value.
        return "" if str(error).endswith("requires an argument.") else str(error)
    return f"'{left[0]}' is one argument too many" if left else ""


@pytest.mark.parametrize("document", SHOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_and_options_exist(document: Path) -> None:
    found = {shlex.join(command): wrong(*command) for command in commands(document, "perfport")}
    assert not {command: problem for command, problem in found.items() if problem}


def test_commands_are_found_and_wrong_ones_told() -> None:
    assert len([command for page in PAGES for command in commands(page, "perfport")]) > 50
    assert words("transfer -s a --goal 'x <= 1 | y' > model.json  # with a remark") == [
        "transfer",
        "-s",
        "a",
        "--goal",
        "x <= 1 | y",
    ]
    assert wrong("transfer", "--source", "a", "--target", "b", "--budget", "10") == ""
    assert "no command" in wrong("transfr", "--source", "a")
    assert "--sorce" in wrong("transfer", "--sorce", "a")
    assert "too many" in wrong("transfer", "more", "--budget", "10")


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_and_their_options_exist(document: Path) -> None:
    for script, *arguments in commands(document, "python"):
        if not script.endswith(".py"):
            continue
        assert (ROOT / script).is_file(), script
        text = (ROOT / script).read_text(encoding="utf-8")
        for option in arguments:
            assert not option.startswith("--") or f'"{option}"' in text, f"{script} has no {option}"


@pytest.mark.parametrize("document", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_of_make_exist(document: Path) -> None:
    targets = re.findall(r"^([a-z-]+\d*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for command in commands(document, "make"):
        assert {word for word in command if "=" not in word} <= set(targets), command


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_benchmarks_answer_help(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # In this process, so that what they import is imported once.
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr("sys.argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert f"usage: {script.name}" in capsys.readouterr().out


@pytest.mark.parametrize(("target", "wanted"), [("study-opml19", "DATA=FOLDER"), ("study-twenty", "SYSTEMS=FOLDER")])
def test_studies_of_published_tables_ask_for_them(target: str, wanted: str) -> None:
    done = subprocess.run(["make", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"make {target} {wanted}" in done.stderr
