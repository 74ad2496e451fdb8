"""The chosen configuration in the words of the place where it will run.

`export` writes a configuration for one target: session options, properties, a server's config file, arguments,
environment variables, a script around the process, lines for an image. What a target cannot express is not
dropped silently: it is listed with the reason and the place where it can be set instead.

Targets: onnxruntime, openvino, torch, triton, vllm, environment, shell, docker. Settings of GPUs are not written:
no machine that has them has tested perfport.

Example:
    >>> export({"intra_op_threads": 2, "spinning": False, "batch": 4}, "onnxruntime").not_expressed
    {'batch': 'the batch is a property of the input: give the network this many inputs at once'}
"""

import builtins
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from perfport.advise.deployment.formats import WRITERS, docker_files, environment_files, shell_files
from perfport.advise.deployment.settings import ENVIRONMENT_NAME, REASONS, TABLES, Setting, linux_order, linux_setting
from perfport.advise.rendering import plain
from perfport.errors import UsageError
from perfport.space.options import Level

__all__ = ["TARGETS", "Export", "export"]

TARGETS = ("onnxruntime", "openvino", "torch", "triton", "vllm", "environment", "shell", "docker")
_TRITON_BACKENDS = ("onnxruntime", "openvino", "pytorch")
_CPUS = "cpus"
_CPU_LIST = re.compile(r"\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*")


@dataclass(frozen=True, slots=True)
class Export:
    """A configuration, written for one target.

    Attributes:
        target: Where it is for.
        files: File name -> content; the first one is the main one.
        expressed: Options that the files set.
        not_expressed: Option -> why the target cannot set it, and what to do instead. Inactive options are
            in neither.
    """

    target: str
    files: Mapping[str, str]
    expressed: tuple[str, ...]
    not_expressed: Mapping[str, str]

    @builtins.property
    def text(self) -> str:
        """Content of the main file."""
        return next(iter(self.files.values()))

    def write(self, folder: str | Path) -> tuple[Path, ...]:
        """Write the files into a folder, which is made if it is not there, and return their paths.

        Raises:
            UsageError: If one of them exists already; nothing is written then.
        """
        paths = tuple(Path(folder) / name for name in self.files)
        existing = [path for path in paths if path.exists()]
        if existing:
            raise UsageError(f"{existing[0]} exists already; give another folder", path=existing[0])
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, self.files.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        missing = [f"not expressed: {name}: {reason}" for name, reason in self.not_expressed.items()]
        return "\n".join([self.text.rstrip("\n"), *missing])

    def _repr_html_(self) -> str:
        blocks = [f"<p>{escape(name)}</p><pre>{escape(text)}</pre>" for name, text in self.files.items()]
        missing = [f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in self.not_expressed.items()]
        return "".join(blocks) + (f"<p>not expressed</p><ul>{''.join(missing)}</ul>" if missing else "")


def export(
    configuration: Mapping[str, Level | None],
    target: str,
    *,
    network: str = "model.onnx",
    rename: Mapping[str, str] | None = None,
    backend: str | None = None,
) -> Export:
    """Write a configuration for a target.

    Args:
        configuration: Option -> level; None for an inactive option.
        target: One of `TARGETS`.
        network: Path or name of the network, for the files that name it.
        rename: Option -> the name it has in the systems perfport measures, where it differs
            (`{"num_threads": "intra_op_threads"}`).
        backend: For triton: onnxruntime, openvino or pytorch; the one that expresses most if not given.

    Raises:
        UsageError: If the target or the backend is not known, or a text holds a NUL character.
    """
    if target not in TARGETS:
        raise UsageError(f"unknown target '{target}': known are {', '.join(TARGETS)}", target=target)
    names = dict(rename or {})
    unknown = [name for name in names if name not in configuration]
    if unknown:
        raise UsageError(f"rename names '{unknown[0]}', which is no option of the configuration", options=unknown)
    levels = {name: level for name, level in ((n, plain(v)) for n, v in configuration.items()) if level is not None}
    if any("\0" in text for text in [network, *levels, *(v for v in levels.values() if isinstance(v, str))]):
        raise UsageError("a level, an option or the network holds a NUL character, which no target can take")
    if target in ("environment", "shell", "docker"):
        return _around(levels, target, names)
    if target == "triton":
        return _triton(levels, names, network, backend)
    settings, missing = _translated(levels, names, target)
    return Export(target, WRITERS[target](settings, network), _but(levels, missing), missing)


def _translated(
    levels: Mapping[str, Level], names: Mapping[str, str], table: str
) -> tuple[list[Setting], dict[str, str]]:
    settings: dict[str, Setting] = {}
    missing: dict[str, str] = {}
    for name, level in levels.items():
        known_as = names.get(name, name)
        meaning = TABLES[table].get(known_as)
        if meaning is None:
            missing[name] = _reason(known_as, level, table)
            continue
        try:
            found = meaning(level)
        except ValueError as error:
            missing[name] = str(error)
            continue
        clash = next((s for s in found if s.key in settings and settings[s.key] != s), None)
        if clash is not None:
            missing[name] = f"another option already sets {clash.key} to {settings[clash.key].value!r}"
            continue
        settings |= {setting.key: setting for setting in found}
    return list(settings.values()), missing


def _reason(name: str, level: Level, table: str) -> str:
    reasons = {**REASONS["shell"], **REASONS[table]}
    if name in reasons:
        return reasons[name]
    return reasons["*"] if _is_around(name, level) else f"{table} has no setting that is known for it"


def _is_around(name: str, level: Level) -> bool:
    if name == _CPUS or ENVIRONMENT_NAME.fullmatch(name):
        return True
    try:
        return linux_setting(name, level) is not None
    except ValueError:
        return True


def _triton(levels: Mapping[str, Level], names: Mapping[str, str], network: str, backend: str | None) -> Export:
    if backend is not None and backend not in _TRITON_BACKENDS:
        raise UsageError(f"unknown backend '{backend}': known are {', '.join(_TRITON_BACKENDS)}", backend=backend)
    tried = {
        each: _translated(levels, names, f"triton:{each}") for each in ([backend] if backend else _TRITON_BACKENDS)
    }
    chosen = min(tried, key=lambda each: len(tried[each][1]))
    settings, missing = tried[chosen]
    # The name of a model is that of its folder in the repository, not of its file.
    name = Path(network).stem or network
    return Export("triton", WRITERS["triton"](settings, f"{chosen}:{name}"), _but(levels, missing), missing)


def _around(levels: Mapping[str, Level], target: str, names: Mapping[str, str]) -> Export:
    """Express what is set around the process: environment variables, processors, settings of Linux."""
    variables: dict[str, Level] = {}
    linux: dict[str, tuple[Setting, ...]] = {}
    cpus: str | None = None
    missing: dict[str, str] = {}
    for name, level in levels.items():
        known_as = names.get(name, name)
        try:
            if ENVIRONMENT_NAME.fullmatch(known_as):
                variables[known_as] = _variable(level, target)
            elif known_as == _CPUS and target == "shell":
                cpus = _cpu_list(level)
            elif target == "shell" and (found := linux_setting(known_as, level)) is not None:
                linux[known_as] = found
            else:
                raise ValueError(REASONS.get(target, {}).get(known_as) or _elsewhere(known_as, level, target))
        except ValueError as error:
            missing[name] = str(error)
    if target == "environment":
        written = environment_files(variables)
    elif target == "shell":
        settings = [setting for name in sorted(linux, key=linux_order) for setting in linux[name]]
        written = shell_files(settings, variables, cpus)
    else:
        written = docker_files(variables, levels)
    return Export(target, written, _but(levels, missing), missing)


def _variable(level: Level, target: str) -> Level:
    if target == "docker" and isinstance(level, str) and not level.isprintable():
        raise ValueError("a Dockerfile cannot hold control characters")
    return int(level) if isinstance(level, bool) else level


def _cpu_list(level: Level) -> str:
    text = str(level)
    if isinstance(level, bool) or not _CPU_LIST.fullmatch(text):
        raise ValueError(f"{level!r} is no list of processors such as '0-1' or '0,2'")
    return text


def _elsewhere(name: str, level: Level, target: str) -> str:
    if _is_around(name, level):
        return "it is no environment variable: use the target 'shell'"
    homes = sorted({table.partition(":")[0] for table, options in TABLES.items() if name in options})
    if name in REASONS["shell"]:
        return REASONS["shell"][name]
    if homes:
        return f"it is set inside the process: use the target {' or '.join(homes)}"
    return f"nothing known to {target} sets it"


def _but(levels: Mapping[str, Level], missing: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name in levels if name not in missing)
