"""One request to a served model, and when its first and last piece came back.

The standard library's client: one connection per thread, kept open; no proxies, no redirects.
"""

import http.client
import ipaddress
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import SplitResult, urlsplit

from perfport.errors import MeasurementError, UsageError

__all__ = ["Answer", "HttpClient", "checked_url"]

_ERROR_CHARS = 200
_EVENT = b"data:"
_END_OF_EVENTS = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        body: The whole of it.
        token_times_s: Of a stream: when each piece with content came, in seconds since the request was sent.
    """

    body: bytes
    token_times_s: tuple[float, ...] = ()


def checked_url(url: str, *, allow_remote: bool) -> SplitResult:
    """Return the parts of an address that may be put under load.

    Raises:
        UsageError: If it is no http address, or that of another machine without leave.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"url '{url}': give an address such as http://127.0.0.1:8000/v1/completions")
    if not allow_remote and not _is_loopback(parts.hostname):
        raise UsageError(
            f"url '{url}': '{parts.hostname}' is not this machine; set allow_remote: true to put another one under load"
        )
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HttpClient:
    """Sends one kind of request to one server; may be used by several threads at once."""

    def __init__(self, url: SplitResult, *, method: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self._url = url
        self._method = method
        self._headers = dict(headers)
        self._timeout_s = timeout_s
        self._threads = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")

    def send(self, body: bytes | None, *, is_stream: bool = False) -> Answer:
        """Send `body` and read the answer to its end.

        Raises:
            MeasurementError: If the server does not answer, or not with success.
        """
        begin = perf_counter()
        is_kept = getattr(self._threads, "connection", None) is not None
        try:
            response = self._response(body)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            if not is_kept:
                raise self._failure(error) from error
            # A server may close a connection that was idle; this is known only when it is used again.
            self._drop()
            response = self._retried(body)
        except OSError as error:
            raise self._failure(error) from error
        try:
            if not 200 <= response.status < 300:
                self._drop()
                told = " ".join(response.read(4 * _ERROR_CHARS).decode(errors="replace").split())[:_ERROR_CHARS]
                raise MeasurementError(f"{self._url.geturl()} answered {response.status} {response.reason}: {told}")
            if not is_stream:
                return Answer(response.read())
            return _streamed(response, begin)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close every connection; no thread may be sending."""
        for connection in self._connections:
            connection.close()

    def get(self, path: str) -> int | None:
        """Return the status with which `path` is answered, None if nothing answers."""
        connection = self._connect()
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _retried(self, body: bytes | None) -> http.client.HTTPResponse:
        try:
            return self._response(body)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from error

    def _response(self, body: bytes | None) -> http.client.HTTPResponse:
        connection: http.client.HTTPConnection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = self._connect()
            self._connections.append(connection)
        connection.request(self._method, self._target, body=body, headers=self._headers)
        return connection.getresponse()

    def _drop(self) -> None:
        """Let this thread connect anew for its next request; the connection is closed with the others."""
        self._threads.connection = None

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        return kind(str(self._url.hostname), self._url.port, timeout=self._timeout_s)

    def _failure(self, error: BaseException) -> MeasurementError:
        self._drop()
        told = f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)
        return MeasurementError(f"{self._url.geturl()} cannot be used: {told or type(error).__name__}; is it served?")


def _streamed(response: http.client.HTTPResponse, begin: float) -> Answer:
    """Read a stream line by line: server-sent events, or one JSON object a line."""
    lines: list[bytes] = []
    times_s: list[float] = []
    for line in _lines(response):
        lines.append(line)
        if _has_content(line):
            times_s.append(perf_counter() - begin)
    if not times_s:
        raise MeasurementError("the stream ended without a piece that has content")
    return Answer(b"".join(lines), tuple(times_s))


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while line := response.readline():
        yield line


def _has_content(line: bytes) -> bool:
    """Whether a line carries output: OpenAI's first event, for instance, names the role and says nothing."""
    text = line.strip()
    if text.startswith(_EVENT):
        text = text[len(_EVENT) :].strip()
    elif text.startswith((b":", b"event:", b"id:", b"retry:")):
        return False
    if not text or text == _END_OF_EVENTS:
        return False
    try:
        piece = json.loads(text)
    except ValueError:
        return True
    if not isinstance(piece, Mapping) or "choices" not in piece:
        return True
    return any(_says_something(choice) for choice in piece["choices"])


def _says_something(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or delta.get("content") or delta.get("reasoning_content") or delta.get("tool_calls"))
