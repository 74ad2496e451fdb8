"""JSON lines between the runner and its child, over two pipes of their own.

Not over standard output: a network, a runtime or a child of the child may print anything there.
"""

import json
import os
from typing import Any

__all__ = ["LineBuffer", "receive", "send"]

_CHUNK_BYTES = 1 << 16
# The longest message a sound child sends is a thousand repetitions of a few properties.
MAX_LINE_BYTES = 1 << 26


def send(fd: int, message: dict[str, Any]) -> None:
    """Write one message to the file descriptor `fd`, whole."""
    data = memoryview(json.dumps(message, separators=(",", ":")).encode() + b"\n")
    while data:
        data = data[os.write(fd, data) :]


class LineBuffer:
    """Collects the bytes of a pipe into messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Add bytes as they came.

        Raises:
            ValueError: If a line never ends.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += lines
        if len(self._rest) > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")

    def next_message(self) -> dict[str, Any] | None:
        """Return the next whole message, or None if there is none yet.

        Raises:
            ValueError: If the line is not a JSON object; the text quotes its beginning.
        """
        if not self._lines:
            return None
        line = self._lines.pop(0)
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise ValueError(f"{line[:80]!r} where a message was expected")
        return message


def receive(fd: int, buffer: LineBuffer) -> dict[str, Any] | None:
    """Wait for the next message; None when the other side has closed the pipe."""
    while (message := buffer.next_message()) is None:
        data = os.read(fd, _CHUNK_BYTES)
        if not data:
            return None
        buffer.feed(data)
    return message
