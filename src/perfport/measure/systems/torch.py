"""PyTorch: eager, scripted or compiled; threads, memory format, oneDNN, number format, device.

It runs the networks of the OpML 2019 study, or a module of your own: `my_package.nets:make_net` names a function
without arguments that returns a `torch.nn.Module`, and `input_shape` its input.

The path for CUDA is real (the device is synchronised after each run), but was not run on hardware.
"""

import copy
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.errors import InvalidConfigurationError, MissingPackageError, UsageError
from perfport.measure import networks
from perfport.measure.base import Configuration, Session
from perfport.measure.machine.probe import package_version
from perfport.measure.machine.thread_levels import thread_levels
from perfport.measure.networks import BATCH, InputTensor, Network, known_networks
from perfport.measure.networks.cache import identity_of
from perfport.measure.networks.inputs import batch_of, check_workload, first_of_batch, make_inputs
from perfport.measure.systems.network_options import batch_options, chosen_options
from perfport.processors import usable_threads
from perfport.space.options import Option

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["TorchSystem"]

_MODES = ("eager", "scripted", "compiled")
_DTYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
_MATMULS = ("highest", "high", "medium")
_SWITCHES = ("channels_last", "onednn", "denormal_as_zero", "cudnn_benchmark")
_COMPILERS = ("c++", "g++", "clang++")


class TorchSystem:
    """One network on PyTorch.

    Attributes:
        network: The network under test.
    """

    name = "torch"
    is_isolated = True

    def __init__(
        self,
        network: str = "resnet50",
        *,
        input_shape: Sequence[int | str] = (),
        batches: Sequence[int] = (1, 2, 4),
        options: Sequence[str] | None = None,
    ) -> None:
        """Choose the network.

        Args:
            network: A name of the zoo, or `module:function` of anything that can be imported.
            input_shape: For a module of your own: lengths of its one float input; a text is the workload fact that
                gives the length, "batch" the batch.
            batches: Levels of the option `batch`, for a network that takes any batch.
            options: Names of the options the space has, if not all; the others stay at their default.

        Raises:
            UsageError: If there is no such network, or its input is not told.
            MissingPackageError: If torch is not installed.
        """
        _torch()
        self.network = _own(network, input_shape) if ":" in network else networks.network(network, "torch")
        self._settings: dict[str, Any] = {"network": network, "batches": list(batches)}
        self._settings |= {"input_shape": list(input_shape)} if input_shape else {}
        self._settings |= {"options": list(options)} if options is not None else {}
        self._module: Any = None

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> "Space":
        """Return what the installed version and this machine can do."""
        from perfport.space.space import Space  # a child has no need of pandas

        options = chosen_options(self._options(), self._settings.get("options"), self.name)
        names = {option.name for option in options}
        conditions = [
            {"option": "onednn", "when": "device == 'cpu'"},
            {"option": "cudnn_benchmark", "when": "device == 'cuda'"},
        ]
        return Space(
            options=options,
            conditions=[found for found in conditions if {found["option"], "device"} <= names],
            name=self.name,
        )

    def _options(self) -> Iterator[Option]:
        torch = _torch()
        n = usable_threads()
        yield Option(
            name="intra_op_threads",
            type="integer",
            values=(*thread_levels(n), 2 * n),
            default=n,
            scale="reciprocal",
            description="Threads that share one operator.",
        )
        # The compiler of torch generates C++ for the processor, and needs one to build it.
        modes = _MODES if any(shutil.which(name) for name in _COMPILERS) else _MODES[:2]
        yield Option(
            name="mode",
            type="categorical",
            values=modes,
            description="Operators one by one (eager), as a frozen graph (scripted), or generated code (compiled).",
        )
        yield Option(
            name="channels_last",
            type="boolean",
            default=False,
            description="Whether the channels of a pixel lie side by side in memory.",
        )
        has_cuda = torch.cuda.is_available()
        if torch.backends.mkldnn.is_available():
            yield Option(name="onednn", type="boolean", default=True, description="Whether oneDNN's kernels are used.")
        yield Option(
            name="precision",
            type="categorical",
            values=tuple(_DTYPES) if has_cuda else ("f32", "bf16"),
            description="Number format of weights and computation.",
        )
        yield Option(
            name="float32_matmul",
            type="ordinal",
            values=_MATMULS,
            description="Precision that products of 32-bit numbers keep inside.",
        )
        yield Option(
            name="denormal_as_zero",
            type="boolean",
            default=False,
            description="Whether numbers too small for full precision count as zero.",
        )
        if has_cuda:
            yield Option(name="device", type="categorical", values=("cuda", "cpu"), description="Where it runs.")
            yield Option(
                name="cudnn_benchmark",
                type="boolean",
                default=False,
                description="Whether cuDNN tries its algorithms before it chooses one.",
            )
        yield from batch_options(self.network, self._settings["batches"])

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return the network's and the runtime's facts."""
        version = package_version("torch") or str(_torch().__version__)
        return {"network": self.network.facts(), "software": {"runtime": self.name, "torch": version}}

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError unless the workload gives the lengths the network needs."""
        check_workload(self.network, workload)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Bring the network into the form asked for; `seed` has no effect, since nothing about the run is random.

        A compiled network is compiled in its first run.
        """
        self.check_workload(workload)
        batch = batch_of(self.network, configuration)
        levels = _checked(configuration)
        torch = _torch()
        if self._module is None:
            self._module = self._made()
        (array,) = make_inputs(self.network, workload, batch).values()
        with _process_settings(torch, levels), torch.inference_mode():
            device = levels.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
            like: dict[str, Any] = {"device": device, "dtype": getattr(torch, _DTYPES[levels.get("precision", "f32")])}
            if levels.get("channels_last"):
                like["memory_format"] = torch.channels_last
            # The original stays as it is for the next configuration.
            module = copy.deepcopy(self._module).to(**like)
            x = torch.from_numpy(array).to(**like)
            yield _OpenSession(torch, _in_mode(torch, module, x, levels.get("mode", "eager")), x, batch)

    def _made(self) -> Any:
        name = self._settings["network"]
        if ":" in name:
            return _imported(name)().eval()
        from perfport.measure.networks.architectures import architecture  # heavy

        return architecture(name)


class _OpenSession:
    """A module with its input."""

    def __init__(self, torch: Any, module: Any, x: Any, batch: int) -> None:
        self._torch = torch
        self._module = module
        self._x = x
        self._batch = batch
        self._is_on_cuda = x.device.type == "cuda"
        self._y: Any = None

    @property
    def inputs_per_run(self) -> int:
        return self._batch

    def run_once(self) -> None:
        self._y = self._module(self._x)
        if self._is_on_cuda:
            self._torch.cuda.synchronize()

    def output(self) -> list[NDArray[Any]]:
        tensors = self._y if isinstance(self._y, tuple | list) else [self._y]
        # NumPy has no bfloat16.
        return first_of_batch((tensor.float().cpu().numpy().copy() for tensor in tensors), self._batch)


def _in_mode(torch: Any, module: Any, x: Any, mode: str) -> Any:
    if mode == "eager":
        return module
    if mode == "compiled":
        # What one configuration was compiled to must not decide how the next one is.
        torch.compiler.reset()
        return torch.compile(module, dynamic=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is deprecated, and in wide use
        return torch.jit.freeze(torch.jit.trace(module, x))


@contextmanager
def _process_settings(torch: Any, levels: Mapping[str, Any]) -> Iterator[None]:
    """Set what holds for the whole process, and leave it as it was: one child opens many configurations."""
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        stack.callback(torch.set_flush_denormal, False)
        if "intra_op_threads" in levels:
            torch.set_num_threads(levels["intra_op_threads"])
        if "float32_matmul" in levels:
            torch.set_float32_matmul_precision(levels["float32_matmul"])
        torch.set_flush_denormal(levels.get("denormal_as_zero", False))
        torch.backends.cudnn.benchmark = levels.get("cudnn_benchmark", False)
        if torch.backends.mkldnn.is_available():
            stack.callback(torch.backends.mkldnn.set_flags, True)
            torch.backends.mkldnn.set_flags(levels.get("onednn", True))
        yield


def _checked(configuration: Configuration) -> dict[str, Any]:
    """Return the levels that are set; a misspelt one must not be measured as the default."""
    choices: dict[str, Sequence[object]] = {
        "mode": _MODES,
        "precision": tuple(_DTYPES),
        "float32_matmul": _MATMULS,
        "device": ("cpu", "cuda"),
        **dict.fromkeys(_SWITCHES, (True, False)),
    }
    levels = {name: level for name, level in configuration.items() if name != BATCH and level is not None}
    for name, level in levels.items():
        is_count = name == "intra_op_threads" and isinstance(level, int) and level > 0
        if not is_count and level not in choices.get(name, ()):
            raise InvalidConfigurationError(f"system 'torch' cannot set {name}={level!r}; see its space", option=name)
    return levels


def _own(reference: str, input_shape: Sequence[int | str]) -> Network:
    """Return the network of a function that is imported; what it is, is where it comes from."""
    if not input_shape:
        raise UsageError(
            f"network '{reference}': the shape of its input is not known; "
            "give settings: {input_shape: [batch, 3, side, side]}"
        )
    _imported(reference)
    inputs = (InputTensor("x", np.dtype(np.float32).name, tuple(input_shape)),)
    return Network(reference, Path(reference), inputs, identity_of(reference), 0)


def _imported(reference: str) -> Any:
    module, _, name = reference.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"network '{reference}' cannot be imported: {error}; "
            f"give module:function, or one of {', '.join(known_networks('torch'))}"
        ) from error


def _torch() -> Any:
    try:
        import torch  # heavy
    except ImportError as error:
        raise MissingPackageError("system 'torch' needs the package torch: pip install 'perfport[torch]'") from error
    return torch
