"""LiteRT (formerly TensorFlow Lite) on the processor: kernels, threads and what the default delegate may do.

Names follow the interpreter's documentation (ai.google.dev/edge/litert) and its signature in the installed version.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.errors import InvalidConfigurationError
from perfport.measure import networks
from perfport.measure.base import Configuration, Session
from perfport.measure.machine.probe import package_version
from perfport.measure.machine.thread_levels import thread_levels
from perfport.measure.networks import BATCH
from perfport.measure.networks.files import import_litert
from perfport.measure.networks.inputs import batch_of, check_workload, first_of_batch, input_shapes, make_inputs
from perfport.measure.systems.network_options import batch_options, chosen_options
from perfport.processors import usable_threads
from perfport.space.options import Option

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["LiteRtSystem"]

_KERNELS = {"xnnpack": "BUILTIN", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}
# Option -> (argument of the interpreter, is its meaning the opposite), default, what it does.
_SWITCHES = {
    "delegate_clustering": (
        ("experimental_disable_delegate_clustering", True),
        True,
        "Whether operators are reordered so that the delegate gets larger parts.",
    ),
    "delegate_node_fusion": (
        ("experimental_disable_delegate_node_fusion", True),
        True,
        "Whether the delegate gets many operators as one part.",
    ),
    "latest_features": (
        ("experimental_default_delegate_latest_features", False),
        False,
        "Whether the delegate uses what is still behind a flag.",
    ),
    "compressed_zero_points": (
        ("experimental_compress_quantization_zero_points", False),
        False,
        "Whether zero points of quantised weights are kept in less memory.",
    ),
}


class LiteRtSystem:
    """One network on LiteRT.

    Attributes:
        network: The network under test.
    """

    name = "litert"
    is_isolated = True

    def __init__(
        self,
        network: str = "basic_pitch",
        *,
        batches: Sequence[int] = (1, 2, 4),
        options: Sequence[str] | None = None,
    ) -> None:
        """Choose the network.

        Args:
            network: A name of the zoo or the path of a TFLite file.
            batches: Levels of the option `batch`, for a network that takes any batch.
            options: Names of the options the space has, if not all; the others stay at their default.

        Raises:
            UsageError: If there is no such network.
            MissingPackageError: If the package that holds it is not installed.
        """
        self.network = networks.network(network, "tflite")
        self._settings: dict[str, Any] = {"network": network, "batches": list(batches)}
        self._settings |= {"options": list(options)} if options is not None else {}

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> "Space":
        """Return the options the installed interpreter has, with thread counts for this machine."""
        from perfport.space.space import Space  # a child has no need of pandas

        options = chosen_options(self._options(), self._settings.get("options"), self.name)
        names = {option.name for option in options}
        conditions = [{"option": name, "when": "kernels == 'xnnpack'"} for name in _SWITCHES if name in names]
        return Space(options=options, conditions=conditions if "kernels" in names else [], name=self.name)

    def _options(self) -> Iterator[Option]:
        litert = import_litert()
        n = usable_threads()
        yield Option(
            name="threads",
            type="integer",
            values=(*thread_levels(n), 2 * n),
            default=n,
            scale="reciprocal",
            description="Threads of the kernels and of the delegate.",
        )
        yield Option(
            name="kernels",
            type="categorical",
            values=tuple(level for level, name in _KERNELS.items() if hasattr(litert.OpResolverType, name)),
            description="Those of the XNNPACK delegate, the optimised built-in ones, or the plain reference ones.",
        )
        known = inspect.signature(litert.Interpreter).parameters
        for name, ((argument, _), default, told) in _SWITCHES.items():
            if argument in known:
                yield Option(name=name, type="boolean", default=default, description=told)
        yield from batch_options(self.network, self._settings["batches"])

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return the network's and the runtime's facts."""
        version = package_version("ai-edge-litert") or "unknown"
        return {"network": self.network.facts(), "software": {"runtime": self.name, "litert": version}}

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError unless the workload gives the lengths the network needs."""
        check_workload(self.network, workload)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Open an interpreter for the input shapes; `seed` has no effect, since nothing about the run is random."""
        self.check_workload(workload)
        batch = batch_of(self.network, configuration)
        litert = import_litert()
        interpreter = litert.Interpreter(str(self.network.path), **_arguments(litert, configuration))
        places = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
        for name, shape in input_shapes(self.network, workload, batch).items():
            interpreter.resize_tensor_input(places[name], list(shape))
        interpreter.allocate_tensors()
        inputs = make_inputs(self.network, workload, batch)
        yield _OpenSession(interpreter, {places[name]: array for name, array in inputs.items()}, batch)


class _OpenSession:
    """An interpreter with its inputs."""

    def __init__(self, interpreter: Any, inputs: Mapping[int, NDArray[Any]], batch: int) -> None:
        self._interpreter = interpreter
        self._inputs = inputs
        self._batch = batch

    @property
    def inputs_per_run(self) -> int:
        return self._batch

    def run_once(self) -> None:
        # Each time: the memory of an input may be reused within the run.
        for place, array in self._inputs.items():
            self._interpreter.set_tensor(place, array)
        self._interpreter.invoke()

    def output(self) -> list[NDArray[Any]]:
        places = [detail["index"] for detail in self._interpreter.get_output_details()]
        return first_of_batch((self._interpreter.get_tensor(place) for place in places), self._batch)


def _arguments(litert: Any, configuration: Configuration) -> dict[str, Any]:
    """Return the interpreter's arguments; those left out stay as it has them, but for the kernels.

    Its own choice of kernels is XNNPACK too, but not in every build.
    """
    arguments: dict[str, Any] = {"experimental_op_resolver_type": litert.OpResolverType.BUILTIN}
    for name, level in configuration.items():
        if level is None or name == BATCH:
            continue
        match name:
            case "threads" if isinstance(level, int) and not isinstance(level, bool) and level >= 1:
                arguments["num_threads"] = level
            case "kernels" if level in _KERNELS:
                arguments["experimental_op_resolver_type"] = getattr(litert.OpResolverType, _KERNELS[str(level)])
            case _ if name in _SWITCHES and isinstance(level, bool):
                argument, is_opposite = _SWITCHES[name][0]
                arguments[argument] = level != is_opposite
            case _:
                raise InvalidConfigurationError(
                    f"system 'litert' cannot set {name}={level!r}; see its space", option=name
                )
    return arguments
