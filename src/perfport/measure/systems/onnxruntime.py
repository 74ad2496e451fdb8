"""ONNX Runtime: session options, providers, int8 quantisation, requests in flight and batch.

One run is one call of the session, or with several requests in flight `WAVES` calls for each of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import Property
from perfport.errors import InvalidConfigurationError
from perfport.measure import networks
from perfport.measure.base import Configuration, Session
from perfport.measure.machine.probe import package_version
from perfport.measure.networks import BATCH
from perfport.measure.networks.inputs import batch_of, check_workload, first_of_batch, make_inputs
from perfport.measure.properties import CPU_TIME, INFERENCE_TIME, LATENCY
from perfport.measure.systems.load import Clients
from perfport.measure.systems.network_options import (
    REQUESTS,
    WAVES,
    batch_options,
    chosen_options,
    requests_of,
)
from perfport.measure.systems.onnxruntime_int8 import PRECISIONS, has_quantised_operators, quantised
from perfport.measure.systems.onnxruntime_options import (
    CONDITIONS,
    PROVIDERS,
    import_runtime,
    run_options,
    session_options,
    usable_providers,
)
from perfport.measure.systems.onnxruntime_options import options as runtime_options
from perfport.space.options import Option

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["OnnxRuntimeSystem"]

_ITS_OWN = {BATCH, REQUESTS, "precision", "io_binding", "provider"}


class OnnxRuntimeSystem:
    """One network on ONNX Runtime.

    Attributes:
        network: The network under test.
    """

    name = "onnxruntime"
    is_isolated = True

    def __init__(
        self,
        network: str = "ppocr_det",
        *,
        batches: Sequence[int] = (1, 2, 4),
        options: Sequence[str] | None = None,
    ) -> None:
        """Choose the network.

        Args:
            network: A name of the zoo or the path of an ONNX file.
            batches: Levels of the option `batch`, for a network that takes any batch.
            options: Names of the options the space has, if not all; the others stay at their default.

        Raises:
            UsageError: If there is no such network.
            MissingPackageError: If the package that holds it is not installed.
        """
        self.network = networks.network(network)
        self._settings: dict[str, Any] = {"network": network, "batches": list(batches)}
        if options is not None:
            self._settings["options"] = list(options)

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> "Space":
        """Return the options the installed version has, with thread counts for this machine."""
        from perfport.space.space import Space  # a child has no need of pandas

        options = chosen_options(self._options(), self._settings.get("options"), self.name)
        names = {option.name for option in options}
        conditions = [
            condition
            for condition in CONDITIONS
            if condition["option"] in names and condition["when"].split()[0] in names
        ]
        return Space(options=options, conditions=conditions, name=self.name)

    def _options(self) -> Iterator[Option]:
        yield from runtime_options()
        if not has_quantised_operators(self.network.path):
            yield Option(
                name="precision",
                type="categorical",
                values=PRECISIONS,
                description="Number format: the network as it is, or its weights in 8 bits, with activations "
                "quantised in each run (dynamic) or on a grid calibrated beforehand (static).",
            )
        yield from batch_options(self.network, self._settings["batches"])

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return the network's and the runtime's facts."""
        version = package_version("onnxruntime") or str(import_runtime().__version__)
        return {"network": self.network.facts(), "software": {"runtime": self.name, "onnxruntime": version}}

    def properties(self) -> tuple[Property, ...]:
        """Return the clock's properties and the latency of a request."""
        return (INFERENCE_TIME, CPU_TIME, LATENCY)

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError unless the workload gives the lengths the network needs."""
        check_workload(self.network, workload)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Open a session; `seed` has no effect, since nothing about the run is random.

        The first session with an int8 network makes it, which takes seconds.
        """
        self.check_workload(workload)
        batch, n_requests = batch_of(self.network, configuration), requests_of(configuration)
        runtime = import_runtime()
        theirs = {name: level for name, level in configuration.items() if name not in _ITS_OWN and level is not None}
        session = runtime.InferenceSession(
            str(self._file(configuration, workload)),
            session_options(runtime, theirs),
            providers=_providers(configuration, theirs),
        )
        inputs = make_inputs(self.network, workload, batch)
        with ExitStack() as stack:
            clients = stack.enter_context(Clients(n_requests)) if n_requests > 1 else None
            bound = _is_on(configuration, "io_binding")
            calls = [
                _Bound(runtime, session, inputs, theirs) if bound else _Plain(runtime, session, inputs, theirs)
                for _ in range(n_requests)
            ]
            yield _OpenSession(calls, batch, clients)

    def _file(self, configuration: Configuration, workload: Mapping[str, Fact]) -> Path:
        precision = configuration.get("precision") or PRECISIONS[0]
        if precision not in PRECISIONS:
            raise InvalidConfigurationError(
                f"system 'onnxruntime' cannot set precision={precision!r}; it has {', '.join(PRECISIONS)}"
            )
        if precision == PRECISIONS[0]:
            return self.network.path
        return quantised(self.network, workload, str(precision))


class _OpenSession:
    """A session with its inputs: one call per run, or several requests in flight."""

    def __init__(self, calls: Sequence["_Plain | _Bound"], batch: int, clients: Clients | None) -> None:
        self._calls = calls
        self._batch = batch
        self._clients = clients
        self._latency_s = 0.0

    @property
    def inputs_per_run(self) -> int:
        return self._batch if self._clients is None else self._batch * WAVES * len(self._calls)

    def run_once(self) -> None:
        if self._clients is None:
            begin = perf_counter()
            self._calls[0].run()
            self._latency_s = perf_counter() - begin
            return
        places = list(self._calls)  # taking and giving back is atomic

        def send(_number: int) -> None:
            call = places.pop()
            call.run()
            places.append(call)

        self._latency_s = median(one.latency_s for one in self._clients.serve(send, WAVES * len(self._calls)))

    def added_readings(self) -> dict[str, float | None]:
        return {LATENCY.name: self._latency_s}

    def output(self) -> list[NDArray[Any]]:
        used = next(call for call in self._calls if call.has_run)
        return first_of_batch(used.outputs(), self._batch)


class _Plain:
    """Calls the session with arrays; the runtime makes new arrays for what it returns."""

    def __init__(self, runtime: Any, session: Any, inputs: Mapping[str, NDArray[Any]], levels: Configuration) -> None:
        self._session = session
        self._inputs = dict(inputs)
        self._run_options = run_options(runtime, levels)
        self._outputs: list[NDArray[Any]] = []

    @property
    def has_run(self) -> bool:
        return bool(self._outputs)

    def run(self) -> None:
        self._outputs = self._session.run(None, self._inputs, self._run_options)

    def outputs(self) -> list[NDArray[Any]]:
        return self._outputs


class _Bound:
    """Inputs and outputs stay where they are: on the device, at the same address in every run."""

    def __init__(self, runtime: Any, session: Any, inputs: Mapping[str, NDArray[Any]], levels: Configuration) -> None:
        self._session = session
        self._run_options = run_options(runtime, levels)
        self._binding = session.io_binding()
        device = (
            "cuda" if session.get_providers()[0] in ("CUDAExecutionProvider", "TensorrtExecutionProvider") else "cpu"
        )
        for name, array in inputs.items():
            value = runtime.OrtValue.ortvalue_from_numpy(array, device, 0)
            self._binding.bind_ortvalue_input(name, value)
        for output in session.get_outputs():
            self._binding.bind_output(output.name, device, 0)
        self.has_run = False

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding, self._run_options)
        self._binding.synchronize_outputs()
        if not self.has_run:
            # The first run has told the shapes: from now on the same memory is written again.
            for output, value in zip(self._session.get_outputs(), self._binding.get_outputs(), strict=True):
                self._binding.bind_ortvalue_output(output.name, value)
            self.has_run = True

    def outputs(self) -> list[NDArray[Any]]:
        return [value.copy() for value in self._binding.copy_outputs_to_cpu()]


def _is_on(configuration: Configuration, name: str) -> bool:
    level = configuration.get(name)
    if level is None or isinstance(level, bool):
        return bool(level)
    raise InvalidConfigurationError(
        f"system 'onnxruntime' cannot set {name}={level!r}; it is true or false", option=name
    )


def _providers(configuration: Configuration, levels: Configuration) -> list[Any]:
    """Return the provider asked for, and the processor for what it cannot run."""
    usable = usable_providers()
    chosen = configuration.get("provider") or usable[0]
    if chosen not in usable:
        raise InvalidConfigurationError(
            f"system 'onnxruntime' has no provider {chosen!r} here; it has {', '.join(usable)}", option="provider"
        )
    if chosen == "cpu":
        return [PROVIDERS["cpu"]]
    theirs = {
        name: str(int(level)) if isinstance(level, bool) else level
        for name, level in levels.items()
        if name in ("cudnn_conv_algo_search", "use_tf32")
    }
    return [(PROVIDERS[str(chosen)], theirs if chosen == "cuda" else {}), PROVIDERS["cpu"]]
