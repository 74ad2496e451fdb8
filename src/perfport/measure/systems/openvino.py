"""OpenVINO on the processor: threads, streams, hints, precision and batch.

One run is one synchronous inference (MLPerf's single stream), so streams split the threads and only
cost here. Property names follow docs.openvino.ai, "CPU device".
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.errors import InvalidConfigurationError, MeasurementError, MissingPackageError
from perfport.measure import networks
from perfport.measure.base import Configuration, Session
from perfport.measure.inputs import batch_of, check_workload, first_of_batch, input_shapes, make_inputs
from perfport.measure.networks import BATCH
from perfport.measure.probe import package_version, usable_threads
from perfport.measure.thread_levels import thread_levels
from perfport.space.options import Option

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["OpenVinoSystem"]

_DEVICE = "CPU"
_PROPERTIES = {
    "threads": "INFERENCE_NUM_THREADS",
    "streams": "NUM_STREAMS",
    "performance_hint": "PERFORMANCE_HINT",
    "precision": "INFERENCE_PRECISION_HINT",
    "cpu_pinning": "ENABLE_CPU_PINNING",
    "hyper_threading": "ENABLE_HYPER_THREADING",
}
# What the plug-in calls a capability, and how the precision hint is written.
_PRECISIONS = {"FP32": "f32", "BF16": "bf16", "FP16": "f16"}
_TYPE_NAMES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


class OpenVinoSystem:
    """One network on OpenVINO's CPU plug-in.

    Attributes:
        network: The network under test.
    """

    name = "openvino"
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
        """Return the properties the installed plug-in has, with thread counts for this machine."""
        from perfport.space.space import Space  # a child has no need of pandas

        core = _core()
        known = set(core.get_property(_DEVICE, "SUPPORTED_PROPERTIES"))
        options = [option for option in self._options(core) if _PROPERTIES.get(option.name, BATCH) in {*known, BATCH}]
        constraints = ["streams <= threads"] if "NUM_STREAMS" in known else []
        return Space(options=options, constraints=constraints, name=self.name)

    def _options(self, core: Any) -> list[Option]:
        n = usable_threads()
        most_streams = int(core.get_property(_DEVICE, "RANGE_FOR_STREAMS")[1])
        capabilities = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        precisions = tuple(text for name, text in _PRECISIONS.items() if name in capabilities)
        chosen = str(core.get_property(_DEVICE, "INFERENCE_PRECISION_HINT").get_type_name())
        options = [
            Option(
                name="threads",
                type="integer",
                values=thread_levels(n),
                default=n,
                scale="reciprocal",
                description="Threads for inference, shared by all streams.",
            ),
            Option(
                name="streams",
                type="integer",
                values=thread_levels(max(1, min(n, most_streams))),
                description="Groups the threads are split into; one inference runs in one of them.",
            ),
            Option(
                name="performance_hint",
                type="categorical",
                values=("LATENCY", "THROUGHPUT"),
                description="What the plug-in chooses the rest for.",
            ),
            Option(
                name="precision",
                type="categorical",
                values=precisions,
                # The plug-in's own choice: bf16 where the processor has matrix units for it.
                default=chosen if chosen in precisions else None,
                description="Number format of the computation.",
            ),
            Option(
                name="cpu_pinning", type="boolean", default=True, description="Whether threads are bound to processors."
            ),
            Option(
                name="hyper_threading",
                type="boolean",
                default=True,
                description="Whether both threads of a core may be used.",
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
        version = package_version("openvino") or str(_runtime().__version__)
        return {"network": self.network.facts(), "software": {"runtime": self.name, "openvino": version}}

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError unless the workload gives the lengths the network needs."""
        check_workload(self.network, workload)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Compile the network for its input shapes; `seed` has no effect, since nothing about the run is random."""
        self.check_workload(workload)
        batch = batch_of(self.network, configuration)
        core = _core()
        model = core.read_model(str(self.network.path))
        # The workload fixes every length; a network left dynamic would be compiled again at the first run.
        model.reshape({name: list(shape) for name, shape in input_shapes(self.network, workload, batch).items()})
        asked = _properties(configuration)
        compiled = core.compile_model(model, _DEVICE, asked)
        _require_taken(compiled, asked)
        yield _OpenSession(compiled.create_infer_request(), make_inputs(self.network, workload, batch), batch)


class _OpenSession:
    """An inference request with its inputs."""

    def __init__(self, request: Any, inputs: Mapping[str, NDArray[Any]], batch: int) -> None:
        self._request = request
        self._inputs = dict(inputs)
        self._batch = batch

    @property
    def inputs_per_run(self) -> int:
        return self._batch

    def run_once(self) -> None:
        self._request.infer(self._inputs, share_inputs=True)

    def output(self) -> list[NDArray[Any]]:
        # Copies: the request's own memory is overwritten by the next run.
        return first_of_batch((tensor.data.copy() for tensor in self._request.output_tensors), self._batch)


def _properties(configuration: Configuration) -> dict[str, Any]:
    unknown = [name for name in configuration if name not in _PROPERTIES and name != BATCH]
    if unknown:
        raise InvalidConfigurationError(
            f"system 'openvino' has no option '{unknown[0]}'; it has {', '.join(_PROPERTIES)}, {BATCH}",
            option=unknown[0],
        )
    return {
        _PROPERTIES[name]: level for name, level in configuration.items() if name in _PROPERTIES and level is not None
    }


def _require_taken(compiled: Any, asked: Mapping[str, Any]) -> None:
    """Raise if the plug-in silently took another number than asked: it caps streams and threads."""
    for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS"):
        if name in asked and int(compiled.get_property(name)) != asked[name]:
            raise MeasurementError(f"{name}={asked[name]} was asked, the plug-in took {compiled.get_property(name)}")


def _core() -> Any:
    return _runtime().Core()


def _runtime() -> Any:
    try:
        import openvino  # heavy
    except ImportError as error:
        raise MissingPackageError(
            "system 'openvino' needs the package openvino: pip install 'perfport[openvino]'"
        ) from error
    return openvino
