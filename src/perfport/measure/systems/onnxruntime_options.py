"""What can be set on an ONNX Runtime session, and how.

Names and defaults follow onnxruntime.ai ("Thread management", "Graph optimizations") and the runtime's session option
and run option keys. Options that have no effect in a mode are inactive there, as in the runtime's own code: inter-op
threads exist in parallel mode only, and `SessionState` ignores the memory pattern in parallel mode.
"""

from collections.abc import Iterator
from typing import Any

from perfport.errors import InvalidConfigurationError, MissingPackageError
from perfport.measure.base import Configuration
from perfport.measure.machine.thread_levels import thread_levels
from perfport.measure.systems.network_options import request_option
from perfport.processors import usable_threads
from perfport.space.options import Option

__all__ = [
    "CONDITIONS",
    "PROVIDERS",
    "import_runtime",
    "options",
    "run_options",
    "session_options",
    "usable_providers",
]

CONDITIONS = (
    {"option": "inter_op_threads", "when": "execution_mode == 'parallel'"},
    {"option": "memory_pattern", "when": "execution_mode == 'sequential'"},
    {"option": "arena_shrinkage", "when": "memory_arena"},
    {"option": "cudnn_conv_algo_search", "when": "provider == 'cuda'"},
    {"option": "use_tf32", "when": "provider == 'cuda'"},
)
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "qnn": "QNNExecutionProvider",
}
_GRAPH_LEVELS = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",  # since 1.23
    "all": "ORT_ENABLE_ALL",
}
# MEMORY_EFFICIENT is there by name too, but only builds for training take it.
_ORDERS = {"default": "DEFAULT", "priority": "PRIORITY_BASED"}
_ALGORITHM_SEARCHES = ("EXHAUSTIVE", "HEURISTIC", "DEFAULT")
# Option -> attribute of the session options, its default, what it does.
_ATTRIBUTES = {
    "memory_arena": ("enable_cpu_mem_arena", True, "Whether freed memory is kept for reuse."),
    "memory_pattern": (
        "enable_mem_pattern",
        True,
        "Whether memory of a run is laid out ahead; sequential mode only.",
    ),
    "memory_reuse": ("enable_mem_reuse", True, "Whether operators share buffers in one run."),
    "deterministic_compute": (
        "use_deterministic_compute",
        False,
        "Whether kernels must give the same bits in every run.",
    ),
}
# Option -> (session entry, text for true, text for false), its default, what it does.
_ENTRIES = {
    "denormal_as_zero": (
        ("session.set_denormal_as_zero", "1", "0"),
        False,
        "Whether numbers too small for full precision count as zero.",
    ),
    "prepacking": (
        ("session.disable_prepacking", "0", "1"),
        True,
        "Whether weights are brought into the kernels' own layout when the network is opened.",
    ),
    "quant_qdq": (
        ("session.disable_quant_qdq", "0", "1"),
        True,
        "Whether operators between quantisation marks are fused into int8 ones.",
    ),
    "gelu_approximation": (
        ("optimization.enable_gelu_approximation", "1", "0"),
        False,
        "Whether GELU may be computed by a faster approximation.",
    ),
}
_LOG_ERRORS_ONLY = 3
_DYNAMIC_BLOCKS = (0, 2, 4, 8)


def options() -> Iterator[Option]:
    """Yield the options the installed version has, whatever the network."""
    runtime = import_runtime()
    yield from _thread_options()
    yield _graph_option(runtime)
    known = dir(runtime.SessionOptions())
    for name, (attribute, default, told) in _ATTRIBUTES.items():
        if attribute in known:
            yield Option(name=name, type="boolean", default=default, description=told)
    for name, (_, default, told) in _ENTRIES.items():
        yield Option(name=name, type="boolean", default=default, description=told)
    yield Option(
        name="arena_shrinkage",
        type="boolean",
        default=False,
        description="Whether memory the arena does not need is given back after each run.",
    )
    if hasattr(runtime, "ExecutionOrder"):
        yield Option(
            name="execution_order",
            type="categorical",
            values=tuple(_ORDERS),
            description="Order of independent operators.",
        )
    yield Option(
        name="io_binding",
        type="boolean",
        default=False,
        description="Whether inputs and outputs stay at one address (on the device) instead of being handed over.",
    )
    yield request_option(usable_threads())
    yield from _provider_options()


def _thread_options() -> Iterator[Option]:
    n = usable_threads()
    yield Option(
        name="intra_op_threads",
        type="integer",
        # Twice as many as there are processors: a setting people do use, and a trap with spinning.
        values=(*thread_levels(n), 2 * n),
        default=n,
        scale="reciprocal",
        description="Threads that share one operator.",
    )
    yield Option(
        name="execution_mode",
        type="categorical",
        values=("sequential", "parallel"),
        description="Whether independent operators run at the same time.",
    )
    yield Option(
        name="inter_op_threads",
        type="integer",
        values=tuple(dict.fromkeys((*thread_levels(n), 2))),
        default=max(thread_levels(n)),
        description="Threads that run operators at the same time; parallel mode only.",
    )
    yield Option(
        name="spinning",
        type="boolean",
        default=True,
        description="Whether idle threads spin before they sleep.",
    )
    yield Option(
        name="dynamic_block_base",
        type="ordinal",
        values=_DYNAMIC_BLOCKS,
        description="Whether a thread's share is cut into ever smaller blocks, and how small the first is; 0: not.",
    )


def _graph_option(runtime: Any) -> Option:
    levels = [level for level, name in _GRAPH_LEVELS.items() if hasattr(runtime.GraphOptimizationLevel, name)]
    return Option(
        name="graph_optimisation",
        type="ordinal",
        values=tuple(levels),
        default="all",
        description="Which graph rewrites are applied.",
    )


def _provider_options() -> Iterator[Option]:
    usable = usable_providers()
    if len(usable) > 1:
        yield Option(
            name="provider",
            type="categorical",
            values=usable,
            description="Which device and library run the operators.",
        )
    if "cuda" in usable:
        yield Option(
            name="cudnn_conv_algo_search",
            type="categorical",
            values=_ALGORITHM_SEARCHES,
            description="How cuDNN looks for its convolution algorithm.",
        )
        yield Option(
            name="use_tf32", type="boolean", default=True, description="Whether float32 may be rounded to TF32 inside."
        )


def usable_providers() -> tuple[str, ...]:
    """Return the providers of the installed build that run networks here, the runtime's first choice first."""
    available = import_runtime().get_available_providers()
    short = {name: short for short, name in PROVIDERS.items()}
    return tuple(short[name] for name in available if name in short)


def session_options(runtime: Any, levels: Configuration) -> Any:
    """Return session options; what `levels` leaves out stays as the runtime has it.

    Raises:
        InvalidConfigurationError: If there is no such option or level.
    """
    made = runtime.SessionOptions()
    made.log_severity_level = _LOG_ERRORS_ONLY
    for name, level in levels.items():
        _set(runtime, made, name, level)
    return made


def _set(runtime: Any, made: Any, name: str, level: Any) -> None:
    match name:
        case "intra_op_threads" | "inter_op_threads":
            setattr(made, name.replace("threads", "num_threads"), level)
        case "execution_mode" if level in ("sequential", "parallel"):
            made.execution_mode = getattr(runtime.ExecutionMode, f"ORT_{level.upper()}")
        case "execution_order" if level in _ORDERS:
            made.execution_order = getattr(runtime.ExecutionOrder, _ORDERS[level])
        case "graph_optimisation" if level in _GRAPH_LEVELS:
            made.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, _GRAPH_LEVELS[level])
        case "spinning" if isinstance(level, bool):
            for kind in ("intra_op", "inter_op"):
                made.add_session_config_entry(f"session.{kind}.allow_spinning", "1" if level else "0")
        case "dynamic_block_base" if level in _DYNAMIC_BLOCKS:
            made.add_session_config_entry("session.dynamic_block_base", str(level))
        case _ if name in _ATTRIBUTES and isinstance(level, bool):
            setattr(made, _ATTRIBUTES[name][0], level)
        case _ if name in _ENTRIES and isinstance(level, bool):
            key, on, off = _ENTRIES[name][0]
            made.add_session_config_entry(key, on if level else off)
        case "arena_shrinkage" | "use_tf32" | "cudnn_conv_algo_search" if level in (True, False, *_ALGORITHM_SEARCHES):
            pass  # of the run, and of the provider
        case _:
            raise InvalidConfigurationError(
                f"system 'onnxruntime' cannot set {name}={level!r}; see its space", option=name
            )


def run_options(runtime: Any, levels: Configuration) -> Any:
    """Return the options of each run."""
    made = runtime.RunOptions()
    if levels.get("arena_shrinkage"):
        made.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return made


def import_runtime() -> Any:
    """Return the package onnxruntime.

    Raises:
        MissingPackageError: If it is not installed.
    """
    try:
        import onnxruntime  # heavy
    except ImportError as error:
        raise MissingPackageError(
            "system 'onnxruntime' needs the package onnxruntime: pip install 'perfport[onnx]'"
        ) from error
    return onnxruntime
