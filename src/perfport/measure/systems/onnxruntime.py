"""ONNX Runtime on the processor: session options and batch.

Option names and defaults follow the runtime's documentation (onnxruntime.ai, "Thread management" and
"Graph optimizations"). Options that have no effect in a mode are inactive there, as in the
runtime's own code: inter-op threads exist in parallel mode only, and `SessionState` ignores the memory pattern
in parallel mode.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.errors import InvalidConfigurationError, MissingPackageError
from perfport.measure import networks
from perfport.measure.base import Configuration, Session
from perfport.measure.inputs import batch_of, check_workload, first_of_batch, make_inputs
from perfport.measure.networks import BATCH
from perfport.measure.probe import package_version, usable_threads
from perfport.measure.thread_levels import thread_levels
from perfport.space.options import Option

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["OnnxRuntimeSystem"]

_GRAPH_LEVELS = {
    "off": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",  # since 1.23
    "all": "ORT_ENABLE_ALL",
}
_ERRORS_ONLY = 3


class OnnxRuntimeSystem:
    """One network on ONNX Runtime's CPU provider.

    Attributes:
        network: The network under test.
    """

    name = "onnxruntime"
    is_isolated = True

    def __init__(self, network: str = "ppocr_det", *, batches: tuple[int, ...] = (1, 2, 4)) -> None:
        """Choose the network.

        Args:
            network: A name of the zoo or the path of an ONNX file.
            batches: Levels of the option `batch`, for a network that takes any batch.

        Raises:
            UsageError: If there is no such network.
            MissingPackageError: If the package that holds it is not installed.
        """
        self.network = networks.network(network)
        self._settings = {"network": network, "batches": list(batches)}

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> "Space":
        """Return the session options the installed version has, with thread counts for this machine."""
        from perfport.space.space import Space  # a child has no need of pandas

        return Space(
            options=self._options(),
            conditions=[
                {"option": "inter_op_threads", "when": "execution_mode == 'parallel'"},
                {"option": "memory_pattern", "when": "execution_mode == 'sequential'"},
            ],
            name=self.name,
        )

    def _options(self) -> list[Option]:
        n = usable_threads()
        levels = [level for level, name in _GRAPH_LEVELS.items() if hasattr(_runtime().GraphOptimizationLevel, name)]
        options = [
            Option(
                name="intra_op_threads",
                type="integer",
                # Twice as many as there are processors: a setting people do use, and a trap with spinning.
                values=(*thread_levels(n), 2 * n),
                default=n,
                scale="reciprocal",
                description="Threads that share one operator.",
            ),
            Option(
                name="execution_mode",
                type="categorical",
                values=("sequential", "parallel"),
                description="Whether independent operators run at the same time.",
            ),
            Option(
                name="inter_op_threads",
                type="integer",
                values=tuple(dict.fromkeys((*thread_levels(n), 2))),
                default=max(thread_levels(n)),
                description="Threads that run operators at the same time; parallel mode only.",
            ),
            Option(
                name="spinning",
                type="boolean",
                default=True,
                description="Whether idle threads spin before they sleep.",
            ),
            Option(
                name="graph_optimisation",
                type="ordinal",
                values=tuple(levels),
                default="all",
                description="Which graph rewrites are applied.",
            ),
            Option(
                name="memory_arena", type="boolean", default=True, description="Whether freed memory is kept for reuse."
            ),
            Option(
                name="memory_pattern",
                type="boolean",
                default=True,
                description="Whether memory of a run is laid out ahead; sequential mode only.",
            ),
        ]
        batches = tuple(self._settings["batches"])
        if self.network.has_batch and batches:
            options.append(
                Option(name=BATCH, type="integer", values=batches, description="Inputs that are run at once.")
            )
        return options

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return the network's and the runtime's facts."""
        version = package_version("onnxruntime") or str(_runtime().__version__)
        return {"network": self.network.facts(), "software": {"runtime": self.name, "onnxruntime": version}}

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError unless the workload gives the lengths the network needs."""
        check_workload(self.network, workload)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Open a session; `seed` has no effect, since nothing about the run is random."""
        self.check_workload(workload)
        batch = batch_of(self.network, configuration)
        runtime = _runtime()
        session = runtime.InferenceSession(
            str(self.network.path), _session_options(runtime, configuration), providers=["CPUExecutionProvider"]
        )
        yield _OpenSession(session, make_inputs(self.network, workload, batch), batch)


class _OpenSession:
    """A session with its inputs."""

    def __init__(self, session: Any, inputs: Mapping[str, NDArray[Any]], batch: int) -> None:
        self._session = session
        self._inputs = dict(inputs)
        self._batch = batch
        self._outputs: list[NDArray[Any]] = []

    @property
    def inputs_per_run(self) -> int:
        return self._batch

    def run_once(self) -> None:
        self._outputs = self._session.run(None, self._inputs)

    def output(self) -> list[NDArray[Any]]:
        return first_of_batch(self._outputs, self._batch)


def _session_options(runtime: Any, configuration: Configuration) -> Any:
    """Return session options for a configuration; what it leaves out stays as the runtime has it."""
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    for name, level in configuration.items():
        if level is None or name == BATCH:
            continue
        _set_option(runtime, options, name, level)
    return options


def _set_option(runtime: Any, options: Any, name: str, level: Any) -> None:
    match name:
        case "intra_op_threads":
            options.intra_op_num_threads = level
        case "inter_op_threads":
            options.inter_op_num_threads = level
        case "execution_mode" if level in ("sequential", "parallel"):
            options.execution_mode = getattr(runtime.ExecutionMode, f"ORT_{level.upper()}")
        case "spinning":
            text = "1" if level else "0"
            options.add_session_config_entry("session.intra_op.allow_spinning", text)
            options.add_session_config_entry("session.inter_op.allow_spinning", text)
        case "graph_optimisation" if level in _GRAPH_LEVELS:
            options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, _GRAPH_LEVELS[level])
        case "memory_arena":
            options.enable_cpu_mem_arena = level
        case "memory_pattern":
            options.enable_mem_pattern = level
        case _:
            raise InvalidConfigurationError(
                f"system 'onnxruntime' cannot set {name}={level!r}; see its space", option=name
            )


def _runtime() -> Any:
    try:
        import onnxruntime  # heavy
    except ImportError as error:
        raise MissingPackageError(
            "system 'onnxruntime' needs the package onnxruntime: pip install 'perfport[onnx]'"
        ) from error
    return onnxruntime
