"""Systems under test, by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from perfport import plugins
from perfport.errors import PerfError, UnknownPluginError, UsageError
from perfport.measure.base import System

__all__ = ["BUILTIN", "make_system"]

BUILTIN = {
    "command": "perfport.measure.systems.command:CommandSystem",
    "http": "perfport.measure.systems.http:HttpSystem",
    "litert": "perfport.measure.systems.litert:LiteRtSystem",
    "onnxruntime": "perfport.measure.systems.onnxruntime:OnnxRuntimeSystem",
    "openvino": "perfport.measure.systems.openvino:OpenVinoSystem",
    "replay": "perfport.measure.systems.replay:ReplaySystem",
    "synthetic": "perfport.measure.systems.synthetic:SyntheticSystem",
    "torch": "perfport.measure.systems.torch:TorchSystem",
}


def make_system(name: str, settings: Mapping[str, Any]) -> System:
    """Return the system called `name` with its settings.

    Args:
        name: A built-in name, that of an installed plug-in, or `module:Class` of anything that can be imported.
        settings: Arguments of the system.

    Raises:
        UnknownPluginError: If there is no such system.
        UsageError: If its module is broken, or it does not take these settings.
    """
    try:
        factory = _imported(name) if ":" in name else plugins.resolve("system", name, BUILTIN)
    except PerfError:
        raise
    except Exception as error:  # whatever somebody else's module does while it is imported
        raise UsageError(f"system '{name}' cannot be imported: {_told(error)}", name=name) from error
    try:
        system: System = factory(**settings)
    except PerfError:
        raise
    except Exception as error:  # settings are checked by the system, if at all
        raise UsageError(
            f"system '{name}' does not take these settings: {_told(error)}", settings=dict(settings)
        ) from error
    return system


def _imported(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except PerfError:
        raise
    except (ImportError, AttributeError) as error:
        raise UnknownPluginError(f"system '{reference}' cannot be imported: {error}", name=reference) from error


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, TypeError) else f"{type(error).__name__}: {text}"
