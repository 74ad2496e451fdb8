"""A served model under load: vLLM, Triton, any OpenAI-like or other HTTP server.

    system: http
    workload: {scenario: server, rate_hz: 20, requests: 100}
    settings:
      url: http://127.0.0.1:${port}/v1/completions
      body: {model: tiny, prompt: "${prompt}", max_tokens: 16, stream: true}
      stream: true
      server: {command: ["${python}", serve.py, --port, "${port}", --threads, "${threads}"], ready: /health}
      space: {options: [{name: threads, type: integer, values: [1, 2]}]}

The load is part of the workload, in MLPerf's words: `single_stream` (one client, one request after the other),
`offline` (`clients` of them, closed loop), `server` (open loop: requests due at random, `rate_hz` a second, whatever
the server does). One run is a load of `requests` requests. A single request that fails makes the run fail.

A server that is given is started for each configuration, which its options may change, and ended after it.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray

from perfport.data.environment import Fact
from perfport.data.measurement import Property
from perfport.errors import MeasurementError, UsageError
from perfport.measure.base import Configuration, Session
from perfport.measure.machine.scratch import temporary_folder
from perfport.measure.networks.cache import identity_of
from perfport.measure.properties import CPU_TIME, INFERENCE_TIME, LATENCY
from perfport.measure.systems.answers import array_at
from perfport.measure.systems.http_client import Answer, HttpClient, checked_url
from perfport.measure.systems.load import Clients, Served, poisson_arrivals_s
from perfport.measure.systems.program import check_names, completed, positive_seconds
from perfport.measure.systems.server import Server, free_port
from perfport.measure.systems.templates import fill, fill_document, names_in
from perfport.seeding import rng_for
from perfport.space.schema import read_document

if TYPE_CHECKING:
    from perfport.space.space import Space

__all__ = ["HttpSystem"]

SCENARIOS = ("single_stream", "offline", "server")
_LOAD_FACTS = ("scenario", "clients", "rate_hz", "requests")
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie")
_SECRET_ENDINGS = ("-key", "-token")
_OPEN_LOOP_CLIENTS = 128  # requests that may wait for an answer at once; later ones are late from when they were due

_LOAD_PROPERTIES = (
    Property(
        INFERENCE_TIME.name,
        "s",
        "minimise",
        "Per request: median latency (single_stream, server), or the load's wall time over its requests (offline).",
    ),
    LATENCY,
    Property("latency_p95_s", "s", "minimise", "95 % of the requests of a run are answered within this time."),
    Property("latency_p99_s", "s", "minimise", "99 % of the requests of a run are answered within this time."),
    Property("throughput_hz", "Hz", "maximise", "Answered requests per second."),
)
_STREAM_PROPERTIES = (
    Property("time_to_first_token_s", "s", "minimise", "Median time until the first piece with content."),
    Property("time_to_first_token_p99_s", "s", "minimise", "99 % of the first pieces come within this time."),
    Property("time_per_token_s", "s", "minimise", "Median time between a stream's pieces, averaged over a stream."),
)


class HttpSystem:
    """A model behind an HTTP address, put under load."""

    name = "http"
    is_isolated = True

    def __init__(
        self,
        url: str,
        space: Mapping[str, Any],
        *,
        network: str = "",
        body: Any = None,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        token_variable: str = "",
        stream: bool = False,
        server: Mapping[str, Any] | None = None,
        output: str = "",
        timeout_s: float = 30.0,
        allow_remote: bool = False,
    ) -> None:
        """Say what is asked of whom.

        Args:
            url: The address; `${port}` is a free port if a server is given.
            space: The options, as in a space's YAML; each is mentioned in the body or by the server.
            network: What is served, for people and for the environment's identity.
            body: JSON document that is sent, with places for options and workload facts (`templates`).
            method: HTTP method.
            headers: Further headers; none that holds a secret, since they are stored.
            token_variable: Environment variable that holds a bearer token; the token itself is never stored.
            stream: Whether the answer is a stream: server-sent events, or one JSON object a line.
            server: How to start one for each configuration: `command`, `environment`, `files` (as of system
                'command'), `ready` (path that answers 200 when it is) and `start_timeout_s`.
            output: Path in the JSON answer of what is compared with the default configuration's; "" for none.
            timeout_s: Longest time for one request.
            allow_remote: Whether another machine may be put under load.

        Raises:
            UsageError: If a setting makes no sense.
        """
        self._server = Server.of(server) if server else None
        self._settings: dict[str, Any] = {
            "url": url, "space": dict(space), "network": network, "body": body, "method": method,
            "headers": _without_secrets(headers or {}), "token_variable": token_variable, "stream": stream,
            "server": dict(server) if server else None, "output": output,
            "timeout_s": positive_seconds("timeout_s", timeout_s),
            "allow_remote": allow_remote,
        }  # fmt: skip
        self._document = read_document({"name": self.name, **space})
        checked_url(url.replace("${port}", "1"), allow_remote=allow_remote)
        if output and stream:
            raise UsageError("output: a stream is not one JSON document; compare answers that are not streamed")

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments that make an equal system."""
        return dict(self._settings)

    def space(self) -> "Space":
        """Return the space that was given."""
        from perfport.space.space import Space

        return Space(**{name: value for name, value in self._document if name != "version"})

    def facets(self) -> Mapping[str, Mapping[str, Fact]]:
        """Return what tells this service from another: its name, and a hash of what is asked and how it is started."""
        told = {name: self._settings[name] for name in ("url", "body", "method", "stream", "server")}
        return {
            "network": {"name": self._settings["network"] or self._settings["url"]},
            "software": {"runtime": self.name, "service": identity_of(json.dumps(told, sort_keys=True))},
        }

    def properties(self) -> tuple[Property, ...]:
        """Return what a load tells; the processor time only of a server that is started here."""
        streamed = _STREAM_PROPERTIES if self._settings["stream"] else ()
        return (*_LOAD_PROPERTIES, *streamed, *((CPU_TIME,) if self._server else ()))

    def check_workload(self, workload: Mapping[str, Fact]) -> None:
        """Raise UsageError if the load is none, or a fact or option reaches neither body nor server."""
        _Load.of(workload)
        used = names_in([self._settings["url"], self._settings["body"]])
        if self._server is not None:
            used |= self._server.program.names
            self._server.program.check_is_there()
        known = ("folder", "python", "port", *_LOAD_FACTS) if self._server else _LOAD_FACTS
        check_names(used, self.space().names, workload, self.name, known=known)

    @contextmanager
    def open(self, configuration: Configuration, workload: Mapping[str, Fact], *, seed: int = 0) -> Iterator[Session]:
        """Start the server, if there is one to start, and make the clients ready; `seed` decides arrivals."""
        levels = completed(self.space(), configuration, self.name)
        self.check_workload(workload)
        load = _Load.of(workload)
        values = {**{name: None for name in _LOAD_FACTS}, **workload, **levels, "port": free_port()}
        url = checked_url(str(fill(self._settings["url"], values)), allow_remote=self._settings["allow_remote"])
        client = HttpClient(
            url,
            method=self._settings["method"],
            headers=self._headers(),
            timeout_s=self._settings["timeout_s"],
        )
        document = fill_document(self._settings["body"], values)
        body = None if document is None else json.dumps(document).encode()
        with (
            temporary_folder() as folder,
            closing(client),
            Clients(load.clients) as clients,
        ):
            started = nullcontext() if self._server is None else self._server.started(values, Path(folder), client)
            with started as process:
                yield _OpenSession(
                    client, body, load, clients=clients, seed=seed, settings=self._settings, process=process
                )

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", **self._settings["headers"]}
        variable = self._settings["token_variable"]
        if variable:
            if not os.environ.get(variable):
                raise UsageError(f"token_variable: the environment variable {variable} is not set")
            headers["Authorization"] = f"Bearer {os.environ[variable]}"
        return headers


def _without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers: settings stand in the store, in exports and in reports."""
    for name in headers:
        if str(name).lower() in _SECRET_HEADERS or str(name).lower().endswith(_SECRET_ENDINGS):
            raise UsageError(
                f"headers: '{name}' holds a secret, which would be stored with the campaign; put a bearer token into "
                "an environment variable and name that in token_variable"
            )
    return dict(headers)


class _Load:
    """How many requests, from how many clients, when."""

    def __init__(self, scenario: str, clients: int, rate_hz: float | None, requests: int) -> None:
        self.scenario = scenario
        self.clients = clients
        self.rate_hz = rate_hz
        self.requests = requests

    @classmethod
    def of(cls, workload: Mapping[str, Fact]) -> "_Load":
        """Read the load off a workload.

        Raises:
            UsageError: If a fact is missing, wrong, or does not belong to the scenario.
        """
        scenario = workload.get("scenario", SCENARIOS[0])
        if scenario not in SCENARIOS:
            raise UsageError(f"workload fact 'scenario' is {scenario!r}; it is one of {', '.join(SCENARIOS)}")
        for fact, needed_by in (("clients", "offline"), ("rate_hz", "server")):
            if (fact in workload) != (scenario == needed_by):
                problem = "is missing" if scenario == needed_by else f"belongs to scenario '{needed_by}' only"
                raise UsageError(f"workload fact '{fact}' {problem}; the scenario is '{scenario}'", fact=fact)
        requests = _positive(workload, "requests", 50, whole=True)
        rate_hz = _positive(workload, "rate_hz", 1.0) if scenario == "server" else None
        clients = {"single_stream": 1, "server": _OPEN_LOOP_CLIENTS}.get(str(scenario))
        n_clients = clients if clients is not None else int(_positive(workload, "clients", 1, whole=True))
        return cls(str(scenario), n_clients, rate_hz, int(requests))


def _positive(workload: Mapping[str, Fact], fact: str, default: float, *, whole: bool = False) -> float:
    value = workload.get(fact, default)
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or value <= 0:
        raise UsageError(f"workload fact '{fact}' is {value!r}; give a positive {'whole ' if whole else ''}number")
    return float(value)


class _OpenSession:
    """A service with its clients; one run is one load."""

    def __init__(
        self,
        client: HttpClient,
        body: bytes | None,
        load: _Load,
        *,
        clients: Clients,
        seed: int,
        settings: Mapping[str, Any],
        process: "subprocess.Popen[bytes] | None",
    ) -> None:
        self._client = client
        self._body = body
        self._load = load
        self._clients = clients
        self._seed = seed
        self._is_stream = bool(settings["stream"])
        self._output: str = settings["output"]
        self._process = process
        self._runs = 0
        self._served: list[Served[Answer]] = []
        self._cpu_s: float | None = None

    @property
    def inputs_per_run(self) -> int:
        return self._load.requests

    def run_once(self) -> None:
        due_s = None
        if self._load.rate_hz is not None:
            rng = rng_for(self._seed, "arrivals", self._runs)
            due_s = poisson_arrivals_s(self._load.rate_hz, self._load.requests, rng)
        self._runs += 1
        cpu_before_s = self._server_cpu_s()
        self._served = self._clients.serve(self._send, self._load.requests, due_s=due_s)
        cpu_after_s = self._server_cpu_s()
        self._cpu_s = None if cpu_before_s is None or cpu_after_s is None else cpu_after_s - cpu_before_s

    def _send(self, _number: int) -> Answer:
        return self._client.send(self._body, is_stream=self._is_stream)

    def added_readings(self) -> dict[str, float | None]:
        n = self._load.requests
        p50, p95, p99 = np.quantile([one.latency_s for one in self._served], (0.5, 0.95, 0.99))
        wall_s = max(one.end_s for one in self._served) - min(one.begin_s for one in self._served)
        readings: dict[str, float | None] = {
            INFERENCE_TIME.name: wall_s / n if self._load.scenario == "offline" else float(p50),
            CPU_TIME.name: None if self._cpu_s is None else self._cpu_s / n,
            LATENCY.name: float(p50),
            "latency_p95_s": float(p95),
            "latency_p99_s": float(p99),
            "throughput_hz": n / wall_s,
        }
        if not self._is_stream:
            return readings
        times_s = [one.reply.token_times_s for one in self._served]
        first_s = [times[0] for times in times_s]
        between_s = [(times[-1] - times[0]) / (len(times) - 1) for times in times_s if len(times) > 1]
        return readings | {
            "time_to_first_token_s": float(np.median(first_s)),
            "time_to_first_token_p99_s": float(np.quantile(first_s, 0.99)),
            "time_per_token_s": float(np.median(between_s)) if between_s else None,
        }

    def output(self) -> list[NDArray[Any]]:
        if not self._output:
            return []
        try:
            document = json.loads(self._served[0].reply.body)
        except ValueError as error:
            raise MeasurementError(f"output: the answer is not JSON: {error}") from error
        return [array_at(document, self._output)]

    def _server_cpu_s(self) -> float | None:
        """Processor time so far of the server that was started here and of the programs it started."""
        if self._process is None:
            return None
        try:
            server = psutil.Process(self._process.pid)
            times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        except psutil.Error:
            return None
        return sum(one.user + one.system for one in times)
