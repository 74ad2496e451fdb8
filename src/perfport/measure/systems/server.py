"""A server that is started for a configuration, waited for, and ended with it."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from perfport.errors import MeasurementError, UsageError
from perfport.measure.systems.http_client import HttpClient
from perfport.measure.systems.program import Program, end, ending_of, last_line, positive_seconds

__all__ = ["Server", "free_port"]

_POLL_S = 0.05
_END_S = 5.0  # what a server is given to end by itself


class Server:
    """How a server is started.

    Attributes:
        program: What is started.
    """

    def __init__(self, program: Program, ready: str, start_timeout_s: float) -> None:
        self.program = program
        self._ready = ready
        self._start_timeout_s = start_timeout_s

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Server":
        """Read the setting `server` of a system.

        Raises:
            UsageError: If it is no mapping, a key is unknown, `command` is missing, or a value is not of its kind.
        """
        known = {"command", "environment", "files", "ready", "start_timeout_s"}
        if not isinstance(given, Mapping):
            raise UsageError(f"server {given!r}: give a mapping, such as {{command: [sh, serve.sh]}}")
        wrong = sorted(str(key) for key in given if key not in known)
        if wrong or "command" not in given:
            problem = f"unknown key '{wrong[0]}'" if wrong else "'command' is missing"
            raise UsageError(f"server: {problem}; its keys are {', '.join(sorted(known))}")
        try:
            program = Program(given["command"], given.get("environment", {}), given.get("files", {}))
            start_timeout_s = positive_seconds("start_timeout_s", given.get("start_timeout_s", 30.0))
        except UsageError as error:
            raise UsageError(f"server: {error.message}", **error.details) from None
        return cls(program, str(given.get("ready", "/")), start_timeout_s)

    @contextmanager
    def started(
        self, values: Mapping[str, Any], folder: Path, client: HttpClient
    ) -> "Iterator[subprocess.Popen[bytes]]":
        """Start it, wait until it answers, and end it afterwards."""
        printed = folder / ".printed"
        with printed.open("wb") as output:
            process = self.program.start(values, folder, output=output, errors=subprocess.STDOUT)
            try:
                self._wait(process, printed, client)
                yield process
            finally:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_END_S)
                # Workers, too, that a server has left.
                end(process)

    def _wait(self, process: "subprocess.Popen[bytes]", printed: Path, client: HttpClient) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while client.get(self._ready) != HTTPStatus.OK:
            code = process.poll()
            if code is None and time.monotonic() < deadline:
                time.sleep(_POLL_S)
                continue
            ended = f"was not ready within {self._start_timeout_s:g} s" if code is None else ending_of(code)
            told = last_line(printed)
            raise MeasurementError(f"the server {ended}" + (f": {told}" if told else ""))


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
