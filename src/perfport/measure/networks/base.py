"""What a network is: its file, its inputs, and what tells it from others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perfport.data.environment import Fact

__all__ = ["BATCH", "Fill", "Form", "InputTensor", "Network"]

BATCH = "batch"
Fill = Literal["normal", "page", "tokens", "ones", "zeros"]
Form = Literal["onnx", "tflite", "torch"]


@dataclass(frozen=True, slots=True)
class InputTensor:
    """One input of a network.

    Attributes:
        name: In the graph.
        dtype: NumPy's name of the element type.
        shape: Lengths; a text is the workload fact that gives the length, "batch" the batch.
        fill: What the tensor is filled with: normal numbers, an image of a page of text, token numbers
            below `limit`, ones, zeros.
        limit: Upper end of token numbers, not included.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    fill: Fill = "normal"
    limit: int = 2


@dataclass(frozen=True, slots=True)
class Network:
    """A network that can be run.

    Attributes:
        name: In the zoo, or the file's name.
        path: The file; for the form "torch" there is none, and this is the name alone.
        inputs: Its inputs.
        sha256: Twelve hex digits of what it is.
        size_bytes: Size of the file, or of the weights.
        steps: Workload fact -> number its value must be a multiple of.
    """

    name: str
    path: Path
    inputs: tuple[InputTensor, ...]
    sha256: str
    size_bytes: int
    steps: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_batch(self) -> bool:
        """Whether it takes batches of any length."""
        return any(BATCH in tensor.shape for tensor in self.inputs)

    @property
    def lengths(self) -> tuple[str, ...]:
        """The workload facts that give its inputs their shape."""
        texts = (length for tensor in self.inputs for length in tensor.shape if isinstance(length, str))
        return tuple(dict.fromkeys(text for text in texts if text != BATCH))

    def facts(self) -> dict[str, Fact]:
        """Return what distinguishes it from other networks."""
        return {"name": self.name, "sha256": self.sha256, "size_bytes": self.size_bytes}
