"""OpenVINO: threads, streams, hints, precision, requests in flight and batch.

One run is one synchronous inference, or with several requests in flight `WAVES` asynchronous ones for each place, so
that streams pay. Property names follow docs.openvino.ai, "CPU device" and "High-level performance hints".
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import Property
from perfport.errors import InvalidConfigurationError, MeasurementError, MissingPackageError, UsageError
from perfport.measure import networks
from perfport.measure.base import Configuration, Session
from perfport.measure.machine.probe import package_version
from perfport.measure.machine.thread_levels import thread_levels
from perfport.measure.networks import BATCH
from perfport.measure.networks.inputs import batch_of, check_workload, first_of_batch, input_shapes, make_inputs
from perfport.measure.properties import CPU_TIME, INFERENCE_TIME, LATENCY
from perfport.measure.systems.network_options import (
    REQUESTS,
    WAVES,
    batch_options,
    chosen_options,
    request_option,
    requests_of,
)
from perfport.processors import usable_threads
from perfport.space.options import Option

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["OpenVinoSystem"]

_PROPERTIES = {
    "threads": "INFERENCE_NUM_THREADS",
    "streams": "NUM_STREAMS",
    "performance_hint": "PERFORMANCE_HINT",
    "hinted_requests": "PERFORMANCE_HINT_NUM_REQUESTS",
    "execution_hint": "EXECUTION_MODE_HINT",
    "precision": "INFERENCE_PRECISION_HINT",
    "cpu_pinning": "ENABLE_CPU_PINNING",
    "hyper_threading": "ENABLE_HYPER_THREADING",
    "core_type": "SCHEDULING_CORE_TYPE",
    "denormal_as_zero": "CPU_DENORMALS_OPTIMIZATION",
}
# What the plug-in calls a capability, and how the precision hint is written.
_PRECISIONS = {"FP32": "f32", "BF16": "bf16", "FP16": "f16"}
# There where the kernel tells efficient cores from fast ones (Documentation/arch/x86/topology of the kernel).
_EFFICIENT_CORES = Path("/sys/devices/cpu_atom")


class OpenVinoSystem:
    """One network on a device of OpenVINO.

    Attributes:
        network: The network under test.
    """

    name = "openvino"
    is_isolated = True

    def __init__(
        self,
        network: str = "ppocr_det",
        *,
        batches: Sequence[int] = (1, 2, 4),
        device: str = "CPU",
        options: Sequence[str] | None = None,
    ) -> None:
        """Choose the network.

        Args:
            network: A name of the zoo or the path of an ONNX file.
            batches: Levels of the option `batch`, for a network that takes any batch.
            device: The plug-in: CPU, GPU, NPU. Only the first was run on hardware.
            options: Names of the options the space has, if not all; the others stay at their default.

        Raises:
            UsageError: If there is no such network.
            MissingPackageError: If the package that holds it is not installed.
        """
        self.network = networks.network(network)
        self._device = device
        self._settings: dict[str, Any] = {"network": network, "batches": list(batches), "device": device}
        if options is not None:
            self._settings["options"] = list(options)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> "Space":
        """Return the properties the installed plug-in has, with thread counts for this machine.

        Raises:
            UsageError: If the device is not there.
        """
        from perfport.space.space import Space  # a child has no need of pandas

        core = self._core()
        known = set(core.get_property(self._device, "SUPPORTED_PROPERTIES"))
        possible = [option for option in self._options(core) if _PROPERTIES.get(option.name, "") in {*known, ""}]
        options = chosen_options(possible, self._settings.get("options"), self.name)
        names = {option.name for option in options}
        return Space(
            options=options,
            conditions=[{"option": "hinted_requests", "when": "performance_hint == 'THROUGHPUT'"}]
            if {"hinted_requests", "performance_hint"} <= names
            else [],
            constraints=["streams <= threads"] if {"streams", "threads"} <= names else [],
            name=self.name,
        )

    def _options(self, core: Any) -> Iterator[Option]:
        n = usable_threads()
        yield Option(
            name="threads",
            type="integer",
            values=thread_levels(n),
            default=n,
            scale="reciprocal",
            description="Threads for inference, shared by all streams.",
        )
        most_streams = int(core.get_property(self._device, "RANGE_FOR_STREAMS")[1])
        yield Option(
            name="streams",
            type="integer",
            values=thread_levels(max(1, min(n, most_streams))),
            description="Groups the threads are split into; one inference runs in one of them.",
        )
        yield from _hint_options(n)
        yield self._precision_option(core)
        yield Option(
            name="cpu_pinning", type="boolean", default=True, description="Whether threads are bound to processors."
        )
        yield Option(
            name="hyper_threading",
            type="boolean",
            default=True,
            description="Whether both threads of a core may be used.",
        )
        if _EFFICIENT_CORES.exists():
            yield Option(
                name="core_type",
                type="categorical",
                values=("ANY_CORE", "PCORE_ONLY", "ECORE_ONLY"),
                description="Which kind of cores is used.",
            )
        yield Option(
            name="denormal_as_zero",
            type="boolean",
            default=False,
            description="Whether numbers too small for full precision count as zero.",
        )
        yield request_option(n)
        yield from batch_options(self.network, self._settings["batches"])

    def _precision_option(self, core: Any) -> Option:
        capabilities = core.get_property(self._device, "OPTIMIZATION_CAPABILITIES")
        precisions = tuple(text for name, text in _PRECISIONS.items() if name in capabilities)
        own = str(core.get_property(self._device, "INFERENCE_PRECISION_HINT").get_type_name())
        return Option(
            name="precision",
            type="categorical",
            values=precisions,
            # The plug-in's own choice: bf16 where the processor has matrix units for it.
            default=own if own in precisions else None,
            description="Number format of the computation.",
        )

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return the network's and the runtime's facts."""
        version = package_version("openvino") or str(_runtime().__version__)
        software: dict[str, Fact] = {"runtime": self.name, "openvino": version}
        # On the processor the facts stay what they were before other devices could be chosen.
        device: dict[str, Fact] = {} if self._device == "CPU" else {"device": self._device}
        return {"network": self.network.facts(), "software": software | device}

    def properties(self) -> tuple[Property, ...]:
        """Return the clock's properties and the latency of a request."""
        return (INFERENCE_TIME, CPU_TIME, LATENCY)

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError unless the workload gives the lengths the network needs."""
        check_workload(self.network, workload)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Compile the network for its input shapes; `seed` has no effect, since nothing about the run is random."""
        self.check_workload(workload)
        batch, n_requests = batch_of(self.network, configuration), requests_of(configuration)
        asked = _properties(configuration)
        core = self._core()
        model = core.read_model(str(self.network.path))
        # The workload fixes every length; a network left dynamic would be compiled again at the first run.
        model.reshape({name: list(shape) for name, shape in input_shapes(self.network, workload, batch).items()})
        compiled = core.compile_model(model, self._device, asked)
        _require_taken(compiled, asked)
        inputs = make_inputs(self.network, workload, batch)
        if n_requests == 1:
            yield _OneRequest(compiled.create_infer_request(), inputs, batch)
        else:
            yield _ManyRequests(_runtime().AsyncInferQueue(compiled, n_requests), inputs, batch)

    def _core(self) -> Any:
        core = _runtime().Core()
        if self._device not in core.available_devices:
            raise UsageError(
                f"system 'openvino' has no device '{self._device}' here; it has {', '.join(core.available_devices)}"
            )
        return core


def _hint_options(n_threads: int) -> Iterator[Option]:
    yield Option(
        name="performance_hint",
        type="categorical",
        values=("LATENCY", "THROUGHPUT"),
        description="What the plug-in chooses the rest for.",
    )
    yield Option(
        name="hinted_requests",
        type="integer",
        values=(0, *thread_levels(n_threads)),
        description="How many requests at once the plug-in is told to expect; 0: nothing is told.",
    )
    yield Option(
        name="execution_hint",
        type="categorical",
        values=("PERFORMANCE", "ACCURACY"),
        description="Whether the plug-in may trade accuracy for speed where the precision leaves it a choice.",
    )


class _OneRequest:
    """An inference request with its inputs, one after the other."""

    def __init__(self, request: Any, inputs: Mapping[str, NDArray[Any]], batch: int) -> None:
        self._request = request
        self._inputs = dict(inputs)
        self._batch = batch
        self._latency_s = 0.0

    @property
    def inputs_per_run(self) -> int:
        return self._batch

    def run_once(self) -> None:
        begin = perf_counter()
        self._request.infer(self._inputs, share_inputs=True)
        self._latency_s = perf_counter() - begin

    def added_readings(self) -> dict[str, float | None]:
        return {LATENCY.name: self._latency_s}

    def output(self) -> list[NDArray[Any]]:
        # Copies: the request's own memory is overwritten by the next run.
        return first_of_batch((tensor.data.copy() for tensor in self._request.output_tensors), self._batch)


class _ManyRequests:
    """A pool of requests that is kept full until the run is over."""

    def __init__(self, queue: Any, inputs: Mapping[str, NDArray[Any]], batch: int) -> None:
        self._queue = queue
        self._inputs = dict(inputs)
        self._batch = batch
        self._latencies_s: list[float] = []
        queue.set_callback(self._note)

    @property
    def inputs_per_run(self) -> int:
        return self._batch * WAVES * len(self._queue)

    def _note(self, _request: Any, begin: float) -> None:
        self._latencies_s.append(perf_counter() - begin)

    def run_once(self) -> None:
        self._latencies_s.clear()
        for _ in range(WAVES * len(self._queue)):
            # Waits here for a free place, so that the request is handed over the moment it begins.
            self._queue.get_idle_request_id()
            self._queue.start_async(self._inputs, perf_counter(), share_inputs=True)
        self._queue.wait_all()

    def added_readings(self) -> dict[str, float | None]:
        return {LATENCY.name: median(self._latencies_s)}

    def output(self) -> list[NDArray[Any]]:
        return first_of_batch((tensor.data.copy() for tensor in self._queue[0].output_tensors), self._batch)


def _properties(configuration: Configuration) -> dict[str, Any]:
    unknown = [name for name in configuration if name not in _PROPERTIES and name not in (BATCH, REQUESTS)]
    if unknown:
        raise InvalidConfigurationError(
            f"system 'openvino' has no option '{unknown[0]}'; it has {', '.join(_PROPERTIES)}, {REQUESTS}, {BATCH}",
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


def _runtime() -> Any:
    try:
        import openvino  # heavy
    except ImportError as error:
        raise MissingPackageError(
            "system 'openvino' needs the package openvino: pip install 'perfport[openvino]'"
        ) from error
    return openvino
