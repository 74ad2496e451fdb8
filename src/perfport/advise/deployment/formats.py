"""How settings are written down: Python, JSON, config.pbtxt, shell, Dockerfile.

Whatever a level holds, it stays a value: every text is quoted by the rules of the language it is written in, and
one that a language cannot hold is refused by `ValueError`.
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence

from perfport.advise.deployment.settings import Setting
from perfport.space.options import Level

__all__ = ["WRITERS", "Writer", "docker_files", "environment_files", "shell_files"]

Writer = Callable[[Sequence[Setting], str], dict[str, str]]


def onnxruntime_files(settings: Sequence[Setting], network: str) -> dict[str, str]:
    """Session options as Python that opens a session, and as JSON."""
    lines = ["import onnxruntime", "", "options = onnxruntime.SessionOptions()"]
    for setting in settings:
        if setting.kind == "entry":
            lines.append(f"options.add_session_config_entry({setting.key!r}, {setting.value!r})")
        else:
            value = f"onnxruntime.{setting.value}" if setting.kind == "enum" else repr(setting.value)
            lines.append(f"options.{setting.key} = {value}")
    lines.append(f'session = onnxruntime.InferenceSession({network!r}, options, providers=["CPUExecutionProvider"])')
    # Enum members by name: their numbers are not part of any contract.
    content = {
        "session_options": {
            s.key: str(s.value).rpartition(".")[2] if s.kind == "enum" else s.value for s in _but(settings)
        },
        "session_config_entries": {s.key: s.value for s in settings if s.kind == "entry"},
    }
    return {"session_options.py": _lines(lines), "session_options.json": _json(content)}


def _but(settings: Sequence[Setting]) -> list[Setting]:
    return [setting for setting in settings if setting.kind != "entry"]


def openvino_files(settings: Sequence[Setting], network: str) -> dict[str, str]:
    """Properties as Python that compiles the network, and as the JSON that `benchmark_app -load_config` reads."""
    properties = {setting.key: str(setting.value) for setting in settings}
    lines = [
        "import openvino",
        "",
        f"properties = {properties!r}",
        f'compiled = openvino.Core().compile_model({network!r}, "CPU", properties)',
    ]
    return {"openvino_properties.py": _lines(lines), "openvino_properties.json": _json({"CPU": properties})}


def torch_files(settings: Sequence[Setting], network: str) -> dict[str, str]:
    """Calls and assignments to make before the network is loaded."""
    lines = [f"# Before {network!a} is loaded, in this order.", "import torch", ""]
    for setting in settings:
        value = repr(setting.value)
        lines.append(f"{setting.key}({value})" if setting.kind == "call" else f"{setting.key} = {value}")
    return {
        "torch_settings.py": _lines(lines),
        "torch_settings.json": _json({setting.key: setting.value for setting in settings}),
    }


def triton_files(settings: Sequence[Setting], network: str) -> dict[str, str]:
    """A config.pbtxt; inputs and outputs are completed by the server."""
    fields = {setting.key: setting.value for setting in settings if setting.kind == "field"}
    backend, _, name = network.partition(":")
    lines = [f"name: {_pbtxt(name)}", f"backend: {_pbtxt(backend)}"]
    if "max_batch_size" in fields:
        lines.append(f"max_batch_size: {fields['max_batch_size']}")
        lines.append(f"dynamic_batching {{ preferred_batch_size: [ {fields['max_batch_size']} ] }}")
    if "graph_level" in fields:
        lines.append(f"optimization {{ graph {{ level: {fields['graph_level']} }} }}")
    for setting in settings:
        if setting.kind == "parameter":
            value = _pbtxt(str(setting.value))
            lines.append(f"parameters {{ key: {_pbtxt(setting.key)} value: {{ string_value: {value} }} }}")
    return {"config.pbtxt": _lines(lines)}


def vllm_files(settings: Sequence[Setting], network: str) -> dict[str, str]:
    """The command line, and its arguments as a JSON list."""
    arguments: list[str] = []
    for setting in settings:
        if setting.value is True:
            arguments.append(setting.key)
        elif setting.value is False:
            arguments.append(setting.key.replace("--", "--no-", 1))
        else:
            # One word, so that a value with a dash in front is not taken for another flag.
            arguments.append(f"{setting.key}={setting.value}")
    command = shlex.join(["vllm", "serve", network, *arguments])
    return {"vllm_serve.sh": _lines(["#!/bin/sh", f"exec {command}"]), "vllm_arguments.json": _json(arguments)}


def environment_files(variables: Mapping[str, Level]) -> dict[str, str]:
    """Lines to be sourced by a shell, and JSON."""
    lines = [f"export {name}={shlex.quote(str(level))}" for name, level in variables.items()]
    return {
        "environment.sh": _lines(lines),
        "environment.json": _json({name: str(level) for name, level in variables.items()}),
    }


def docker_files(variables: Mapping[str, Level], configuration: Mapping[str, Level]) -> dict[str, str]:
    """Lines for a Dockerfile: the variables, and the whole configuration as a label."""
    lines = [f"ENV {name}={_docker(str(level))}" for name, level in variables.items()]
    lines.append(f"LABEL perfport.configuration={_docker(json.dumps(configuration, sort_keys=True))}")
    return {"Dockerfile.snippet": _lines(lines)}


_SCRIPT = """\
#!/bin/sh
# Applies settings, runs a command under them and puts back what it found, also when it is interrupted:
#     sh run_with_settings.sh COMMAND [ARGUMENT ...]
# Only after SIGKILL or a power cut is nothing put back.
set -eu
[ "$#" -gt 0 ] || { echo "usage: sh $0 COMMAND [ARGUMENT ...]" >&2; exit 2; }
"""

_FILES = """\
journal=$(mktemp)
tab=$(printf '\\t')
restore() {
    trap - EXIT HUP INT TERM
    # Last set, first restored.
    sed '1!G;h;$!d' "$journal" | while IFS="$tab" read -r file old; do
        printf '%s' "$old" > "$file" || echo "could not restore $file to '$old'" >&2
    done
    rm -f "$journal"
}
trap restore EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# Of a list of choices, the one in brackets.
chosen() {
    text=$(cat "$1")
    case " $text" in *" ["*"]"*) text=${text#*\\[}; text=${text%%\\]*} ;; esac
    printf '%s' "$text"
}
set_file() {
    [ -e "$1" ] || { echo "$1 is not there: this machine does not have the setting" >&2; exit 3; }
    old=$(chosen "$1")
    printf '%s\\t%s\\n' "$1" "$old" >> "$journal"
    printf '%s' "$2" > "$1" || { echo "$1 could not be set to '$2': try as root" >&2; exit 3; }
    [ "$(chosen "$1")" = "$2" ] || { echo "$1 did not take '$2', it holds '$(cat "$1")'" >&2; exit 3; }
}
"""

_PRELOAD = """\
preload() {
    for folder in /usr/lib /usr/lib64 /usr/local/lib /lib /usr/lib/*-linux-gnu*; do
        for library in "$folder/$1"*; do
            [ -e "$library" ] || continue
            export LD_PRELOAD="$library${LD_PRELOAD:+:$LD_PRELOAD}"
            return
        done
    done
    echo "$1 is not there: install the allocator" >&2
    exit 3
}
"""


def shell_files(settings: Sequence[Setting], variables: Mapping[str, Level], cpus: str | None) -> dict[str, str]:
    """A script that runs a command under the settings and restores the machine.

    Args:
        settings: Of kind "file", "scope" or "preload", in the order they are to be set.
        variables: Environment variables.
        cpus: Processors the command may run on, as `taskset -c` takes them; None for all.
    """
    parts = [_SCRIPT]
    files = [setting for setting in settings if setting.kind == "file"]
    scope = [f"--property={setting.key}={setting.value}" for setting in settings if setting.kind == "scope"]
    libraries = [str(setting.value) for setting in settings if setting.kind == "preload"]
    if scope:
        parts.append('command -v systemd-run > /dev/null || { echo "no systemd-run to limit it by" >&2; exit 3; }\n')
    if files:
        parts.append(_FILES)
    for setting in files:
        value = shlex.quote(str(setting.value))
        if "*" in setting.key:
            # The only unquoted text is a path of the table with its star.
            parts.append(f'for file in {setting.key}; do set_file "$file" {value}; done\n')
        else:
            parts.append(f"set_file {shlex.quote(setting.key)} {value}\n")
    parts += [f"export {name}={shlex.quote(str(level))}\n" for name, level in variables.items()]
    if libraries:
        parts.append(_PRELOAD)
    parts += [f"preload {shlex.quote(library)}\n" for library in libraries]
    before = ["systemd-run", "--quiet", "--scope", *scope] if scope else []
    before += ["taskset", "-c", cpus] if cpus is not None else []
    command = " ".join([*map(shlex.quote, before), '"$@"'])
    parts.append(f'status=0\n{command} || status=$?\nexit "$status"\n')
    return {"run_with_settings.sh": "".join(parts)}


WRITERS: Mapping[str, Writer] = {
    "onnxruntime": onnxruntime_files,
    "openvino": openvino_files,
    "torch": torch_files,
    "triton": triton_files,
    "vllm": vllm_files,
}


def _pbtxt(text: str) -> str:
    """Return a string literal of the protocol buffer text format (protobuf.dev, "Text Format", strings)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    shown = "".join(c if c.isprintable() else "".join(f"\\{byte:03o}" for byte in c.encode()) for c in escaped)
    return f'"{shown}"'


def _docker(text: str) -> str:
    """Return a quoted value; in double quotes a Dockerfile knows the escapes of backslash, quote and dollar."""
    if not text.isprintable():
        raise ValueError("a Dockerfile cannot hold control characters")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
