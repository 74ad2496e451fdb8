"""Systems under test, by name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from perfport import plugins
from perfport.errors import UnknownPluginError, UsageError
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
        UsageError: If it does not take these settings.
    """
    factory = _imported(name) if ":" in name else plugins.resolve("system", name, BUILTIN)
    try:
        system: System = factory(**settings)
    except TypeError as error:
        raise UsageError(f"system '{name}' does not take these settings: {error}", settings=dict(settings)) from error
    return system


def _imported(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownPluginError(f"system '{reference}' cannot be imported: {error}", name=reference) from error
