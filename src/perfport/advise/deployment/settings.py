"""What an option is called where it is deployed: one table for each target, keyed by option name.

A table entry turns a level into settings of the target, or says (by `ValueError`) why it cannot. Names are
those of the systems perfport measures; others are brought to them by the `rename` of `export`.

Sources:
    ONNX Runtime: onnxruntime.ai, "Thread management", "Graph optimizations", session option keys. OpenVINO:
    docs.openvino.ai, "CPU device". Triton: READMEs of its onnxruntime, openvino and pytorch backends. vLLM: "Engine
    arguments". Linux: Documentation/admin-guide/pm/cpufreq.rst, cpu-hotplug.rst, mm/transhuge.rst and sysctl of the
    kernel; systemd-run(1), systemd.resource-control(5).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from perfport.space.options import Level

__all__ = ["ENVIRONMENT_NAME", "REASONS", "TABLES", "Setting", "SettingKind", "Table", "linux_order", "linux_setting"]

SettingKind = Literal[
    "attribute", "enum", "entry", "property", "parameter", "field", "call", "flag", "file", "scope", "preload"
]


@dataclass(frozen=True, slots=True)
class Setting:
    """One assignment of a target.

    Attributes:
        kind: What is assigned: an "attribute", an "enum" attribute (`value` is "Enum.MEMBER"), a config
            "entry", a "property", a "parameter", a top-level "field", the argument of a "call", a command line "flag",
            the content of a "file", a property of the "scope" (systemd) that a command runs in, or a library to
            "preload" (`value` is how its file name begins).
        key: Its name in the target; of a file the path, which may hold a `*`.
        value: Its value there.
    """

    kind: SettingKind
    key: str
    value: Level


Meaning = Callable[[Level], tuple[Setting, ...]]
Table = Mapping[str, Meaning]

ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_SYSCTL_NAME = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_-]+)+")
_ONLINE_NAME = re.compile(r"cpu(\d{1,5})_online")
_CPU = "/sys/devices/system/cpu"
_CPUFREQ = f"{_CPU}/cpufreq/policy*"


def _count(kind: SettingKind, key: str, least: int = 1) -> Meaning:
    def meaning(level: Level) -> tuple[Setting, ...]:
        if isinstance(level, bool) or not isinstance(level, int | float) or level % 1 or level < least:
            raise ValueError(f"{level!r} is not a whole number of at least {least}")
        return (Setting(kind, key, int(level)),)

    return meaning


def _number(kind: SettingKind, key: str) -> Meaning:
    def meaning(level: Level) -> tuple[Setting, ...]:
        if isinstance(level, bool) or not isinstance(level, int | float) or not math.isfinite(level):
            raise ValueError(f"{level!r} is not a finite number")
        return (Setting(kind, key, level),)

    return meaning


def _switch(kind: SettingKind, *keys: str, on: Level = True, off: Level = False) -> Meaning:
    def meaning(level: Level) -> tuple[Setting, ...]:
        if level not in (0, 1):  # covers False and True
            raise ValueError(f"{level!r} is neither on nor off")
        return tuple(Setting(kind, key, on if level else off) for key in keys)

    return meaning


def _choice(kind: SettingKind, key: str, choices: Mapping[str, Level | None]) -> Meaning:
    """A level that needs no setting, because it is the target's default, stands for None."""

    def meaning(level: Level) -> tuple[Setting, ...]:
        if str(level) not in choices:
            raise ValueError(f"{level!r} is not one of {', '.join(choices)}")
        value = choices[str(level)]
        return () if value is None else (Setting(kind, key, value),)

    return meaning


def _text(kind: SettingKind, key: str) -> Meaning:
    return lambda level: (Setting(kind, key, level),)


_ONNXRUNTIME: Table = {
    "intra_op_threads": _count("attribute", "intra_op_num_threads", 0),
    "inter_op_threads": _count("attribute", "inter_op_num_threads", 0),
    "execution_mode": _choice(
        "enum",
        "execution_mode",
        {"sequential": "ExecutionMode.ORT_SEQUENTIAL", "parallel": "ExecutionMode.ORT_PARALLEL"},
    ),
    "graph_optimisation": _choice(
        "enum",
        "graph_optimization_level",
        {
            "off": "GraphOptimizationLevel.ORT_DISABLE_ALL",
            "basic": "GraphOptimizationLevel.ORT_ENABLE_BASIC",
            "extended": "GraphOptimizationLevel.ORT_ENABLE_EXTENDED",
            "layout": "GraphOptimizationLevel.ORT_ENABLE_LAYOUT",
            "all": "GraphOptimizationLevel.ORT_ENABLE_ALL",
        },
    ),
    "spinning": _switch("entry", "session.intra_op.allow_spinning", "session.inter_op.allow_spinning", on="1", off="0"),
    "memory_arena": _switch("attribute", "enable_cpu_mem_arena"),
    "memory_pattern": _switch("attribute", "enable_mem_pattern"),
    "memory_reuse": _switch("attribute", "enable_mem_reuse"),
    "deterministic_compute": _switch("attribute", "use_deterministic_compute"),
    "dynamic_block_base": _choice("entry", "session.dynamic_block_base", {n: n for n in ("0", "2", "4", "8")}),
    "denormal_as_zero": _switch("entry", "session.set_denormal_as_zero", on="1", off="0"),
    "prepacking": _switch("entry", "session.disable_prepacking", on="0", off="1"),
    "quant_qdq": _switch("entry", "session.disable_quant_qdq", on="0", off="1"),
    "gelu_approximation": _switch("entry", "optimization.enable_gelu_approximation", on="1", off="0"),
    "execution_order": _choice(
        "enum",
        "execution_order",
        {
            "default": "ExecutionOrder.DEFAULT",
            "priority": "ExecutionOrder.PRIORITY_BASED",
            "memory": "ExecutionOrder.MEMORY_EFFICIENT",
        },
    ),
}

_OPENVINO: Table = {
    "threads": _count("property", "INFERENCE_NUM_THREADS", 0),
    "streams": _count("property", "NUM_STREAMS"),
    "performance_hint": _choice(
        "property", "PERFORMANCE_HINT", {name: name for name in ("LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT")}
    ),
    "precision": _choice("property", "INFERENCE_PRECISION_HINT", {name: name for name in ("f32", "bf16", "f16")}),
    "cpu_pinning": _switch("property", "ENABLE_CPU_PINNING", on="YES", off="NO"),
    "hyper_threading": _switch("property", "ENABLE_HYPER_THREADING", on="YES", off="NO"),
    "hinted_requests": _count("property", "PERFORMANCE_HINT_NUM_REQUESTS", 0),
    "execution_hint": _choice("property", "EXECUTION_MODE_HINT", {name: name for name in ("PERFORMANCE", "ACCURACY")}),
    "core_type": _choice(
        "property", "SCHEDULING_CORE_TYPE", {name: name for name in ("ANY_CORE", "PCORE_ONLY", "ECORE_ONLY")}
    ),
    "denormal_as_zero": _switch("property", "CPU_DENORMALS_OPTIMIZATION", on="YES", off="NO"),
}

_TORCH: Table = {
    "threads": _count("call", "torch.set_num_threads"),
    "intra_op_threads": _count("call", "torch.set_num_threads"),
    "inter_op_threads": _count("call", "torch.set_num_interop_threads"),
    "onednn": _switch("attribute", "torch.backends.mkldnn.enabled"),
    "cudnn_benchmark": _switch("attribute", "torch.backends.cudnn.benchmark"),
    "denormal_as_zero": _switch("call", "torch.set_flush_denormal"),
    "float32_matmul": _choice(
        "call", "torch.set_float32_matmul_precision", {name: name for name in ("highest", "high", "medium")}
    ),
}

_TRITON_ONNXRUNTIME: Table = {
    "intra_op_threads": _count("parameter", "intra_op_thread_count", 0),
    "inter_op_threads": _count("parameter", "inter_op_thread_count", 0),
    "execution_mode": _choice("parameter", "execution_mode", {"sequential": "0", "parallel": "1"}),
    # The backend's own numbers: 2 turns all optimisations off, and leaving the level out turns them all on.
    "graph_optimisation": _choice("field", "graph_level", {"off": 2, "basic": -1, "extended": 1, "all": None}),
    "memory_arena": _switch("parameter", "enable_mem_arena", on="1", off="0"),
    "memory_pattern": _switch("parameter", "enable_mem_pattern", on="1", off="0"),
    "batch": _count("field", "max_batch_size"),
}

_TRITON_OPENVINO: Table = {
    "threads": _count("parameter", "INFERENCE_NUM_THREADS", 0),
    "streams": _count("parameter", "NUM_STREAMS"),
    "performance_hint": _choice("parameter", "PERFORMANCE_HINT", {name: name for name in ("LATENCY", "THROUGHPUT")}),
    "precision": _choice("parameter", "HINT_BF16", {"f32": None, "bf16": "YES"}),
    "batch": _count("field", "max_batch_size"),
}

_TRITON_PYTORCH: Table = {
    "threads": _count("parameter", "INTRA_OP_THREAD_COUNT"),
    "intra_op_threads": _count("parameter", "INTRA_OP_THREAD_COUNT"),
    "inter_op_threads": _count("parameter", "INTER_OP_THREAD_COUNT"),
    "batch": _count("field", "max_batch_size"),
}

_VLLM: Table = {
    **{
        name: _count("flag", f"--{name.replace('_', '-')}")
        for name in (
            "block_size",
            "data_parallel_size",
            "max_model_len",
            "max_num_batched_tokens",
            "max_num_seqs",
            "pipeline_parallel_size",
            "tensor_parallel_size",
        )
    },
    **{
        name: _text("flag", f"--{name.replace('_', '-')}")
        for name in ("dtype", "kv_cache_dtype", "quantization", "scheduling_policy")
    },
    **{
        name: _switch("flag", f"--{name.replace('_', '-')}")
        for name in (
            "async_scheduling",
            "enable_chunked_prefill",
            "enable_expert_parallel",
            "enable_prefix_caching",
            "enforce_eager",
        )
    },
    "gpu_memory_utilization": _number("flag", "--gpu-memory-utilization"),
    "cpu_offload_gb": _number("flag", "--cpu-offload-gb"),
}


def _clock(level: Level) -> tuple[Setting, ...]:
    if isinstance(level, bool) or not isinstance(level, int | float) or level < 1000:
        raise ValueError(f"{level!r} is no frequency in hertz")
    # The upper limit first, so that the lower one always fits below it.
    return tuple(Setting("file", f"{_CPUFREQ}/scaling_{bound}_freq", round(level / 1000)) for bound in ("max", "min"))


def _quota(level: Level) -> tuple[Setting, ...]:
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < math.inf:
        raise ValueError(f"{level!r} is no positive number of processors")
    return (Setting("scope", "CPUQuota", f"{100 * level:.6g}%"),)


# By the option names of the actuators, in the order of setting: processors that are off line have no clock.
_LINUX: Table = {
    "smt": _switch("file", f"{_CPU}/smt/control", on="on", off="off"),
    "cpu<N>_online": _switch("file", f"{_CPU}/cpu<N>/online", on=1, off=0),
    "governor": _text("file", f"{_CPUFREQ}/scaling_governor"),
    "cpu_freq_hz": _clock,
    "transparent_hugepages": _choice(
        "file",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        {mode: mode for mode in ("always", "madvise", "never")},
    ),
    "cpu_quota": _quota,
    "allocator": _choice(
        "preload",
        "LD_PRELOAD",
        {
            "system": None,
            "jemalloc": "libjemalloc.so",
            "mimalloc": "libmimalloc.so",
            "tcmalloc": "libtcmalloc_minimal.so",
        },
    ),
}


def linux_setting(name: str, level: Level) -> tuple[Setting, ...] | None:
    """Return what holds a setting of Linux: a known one, or a sysctl by its dotted name; None if it is none.

    Raises:
        ValueError: If it is one, but the level cannot be set.
    """
    known_as, number = _linux_name(name)
    if known_as in _LINUX:
        return tuple(replace(found, key=found.key.replace("<N>", number)) for found in _LINUX[known_as](level))
    if _SYSCTL_NAME.fullmatch(name):
        return (Setting("file", "/proc/sys/" + name.replace(".", "/"), level),)
    return None


def linux_order(name: str) -> int:
    """Return the place of a setting in the order of setting; what is not in the table comes last."""
    known_as, _ = _linux_name(name)
    return list(_LINUX).index(known_as) if known_as in _LINUX else len(_LINUX)


def _linux_name(name: str) -> tuple[str, str]:
    """Return the name in the table, and the number of the processor it speaks of ("" if of none)."""
    found = _ONLINE_NAME.fullmatch(name)
    return ("cpu<N>_online", found[1]) if found else (name, "")


TABLES: Mapping[str, Table] = {
    "onnxruntime": _ONNXRUNTIME,
    "openvino": _OPENVINO,
    "torch": _TORCH,
    "triton:onnxruntime": _TRITON_ONNXRUNTIME,
    "triton:openvino": _TRITON_OPENVINO,
    "triton:pytorch": _TRITON_PYTORCH,
    "vllm": _VLLM,
}

_BATCH = "the batch is a property of the input: give the network this many inputs at once"
_REQUESTS = "it is how many requests are sent at once: the caller decides it"
_ACCELERATOR = "no machine that has it has tested perfport, so it is set by hand"
_STUDY = "which processors the OpML 2019 study means depends on the board: use cpu<N>_online and cpu_freq_hz"
_OUTSIDE = "it is set around the process: use the target 'shell' or 'environment' beside this one"

# Why an option that people expect to find is not in a table; "*" stands for settings of the machine.
REASONS: Mapping[str, Mapping[str, str]] = {
    "onnxruntime": {
        "batch": _BATCH,
        "requests": _REQUESTS,
        "precision": "it is a property of the file: give the session the converted network",
        "provider": "it is an argument of the session: put it first in providers=[...]",
        "arena_shrinkage": (
            "it is set for each run: RunOptions().add_run_config_entry('memory.enable_memory_arena_shrinkage', 'cpu:0')"
        ),
        "io_binding": "it is how the session is called: session.run_with_iobinding",
        "*": _OUTSIDE,
    },
    "openvino": {"batch": _BATCH, "requests": _REQUESTS, "*": _OUTSIDE},
    "torch": {
        "batch": _BATCH,
        "requests": _REQUESTS,
        "mode": "it is how the network is prepared: torch.jit.trace or torch.compile",
        "channels_last": "it belongs to network and input: .to(memory_format=torch.channels_last)",
        "precision": "it is chosen where the network is called: torch.autocast, or a converted network",
        "*": _OUTSIDE,
    },
    "triton:onnxruntime": {"spinning": "the backend passes no such session entry on", "*": _OUTSIDE},
    "triton:openvino": {
        "cpu_pinning": "the backend has no parameter for it",
        "hyper_threading": "the backend has no parameter for it",
        "*": _OUTSIDE,
    },
    "triton:pytorch": {"onednn": "the backend has no parameter for it", "*": _OUTSIDE},
    "vllm": {"batch": "vLLM batches requests as they come: limit them by max_num_seqs", "*": _OUTSIDE},
    "docker": {
        "cpus": "an image cannot choose processors: start it with `docker run --cpuset-cpus`",
        "cpu_quota": "an image cannot limit its processor time: start it with `docker run --cpus`",
    },
    "shell": {
        **{name: _ACCELERATOR for name in ("gpu_freq_hz", "emc_freq_hz", "gpu_freq", "emc_freq")},
        "gpu_clock_hz": f"{_ACCELERATOR}: `nvidia-smi --lock-gpu-clocks`",
        "gpu_power_limit_w": f"{_ACCELERATOR}: `nvidia-smi --power-limit`",
        "nvpmodel": f"{_ACCELERATOR}: `nvpmodel -m` with the number of the mode, which may want a reboot",
        **{name: _STUDY for name in ("core1_status", "core2_status", "core3_status", "core_freq")},
        **{name: "it stays on: there is nothing to set" for name in ("core0_status", "gpu_status", "emc_status")},
    },
}
