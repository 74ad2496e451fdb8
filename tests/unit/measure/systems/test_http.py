"""The system `http`, against real servers on this machine: one of the tests' own, and one that runs a network."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from perfport.data.environment import Fact
from perfport.data.measurement import Status
from perfport.errors import MeasurementError, MissingPackageError, UsageError
from perfport.measure.base import AddsReadings
from perfport.measure.networks import network
from perfport.measure.protocol import Protocol
from perfport.measure.runner.session import measure_in_session
from perfport.measure.systems.http import HttpSystem

SPACE = {"options": [{"name": "pause_ms", "type": "integer", "values": [0, 10, 40]}]}
BODY = {"pause_ms": "${pause_ms}", "stream": False}
SERVE = Path(__file__).parents[4] / "examples/serving/serve.py"
QUICK = Protocol(min_repetitions=1, max_repetitions=2, min_time_s=0, warm_up_runs=1, warm_up_max_s=0)


class _Handler(BaseHTTPRequestHandler):
    """Sleeps as long as it is asked to, then answers or streams."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[Any]] = []
    seen: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(asked)
        self.seen.append(self.headers.get("Authorization", ""))
        time.sleep(asked["pause_ms"] / 1000)
        if self.path == "/busy":
            self._send(503, b"no place is free")
        elif self.path == "/stream":
            role = {"choices": [{"delta": {"role": "assistant"}}]}
            words = [{"choices": [{"delta": {"content": word}}]} for word in ("one", "two", "three")]
            self.send_response(200)
            self.send_header("Connection", "close")
            self.end_headers()
            for piece in (role, *words):
                self.wfile.write(f"data: {json.dumps(piece)}\n\n".encode())
                time.sleep(0.01)
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True
        elif self.path == "/hang-up":
            self.close_connection = True
        else:
            self._send(200, json.dumps({"y": [1.0, asked["pause_ms"]]}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with served() as address:
        yield address


@contextmanager
def served() -> Iterator[str]:
    _Handler.asked.clear()
    _Handler.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def readings_of(system: HttpSystem, levels: dict[str, Any], workload: Mapping[str, Fact]) -> dict[str, float | None]:
    with system.open(levels, workload) as session:
        session.run_once()
        assert isinstance(session, AddsReadings)
        return dict(session.added_readings())


def test_options_reach_the_body_and_every_request_is_timed(address: str) -> None:
    system = HttpSystem(f"{address}/plain", SPACE, body=BODY)
    found = readings_of(system, {"pause_ms": 10}, {"requests": 8})
    assert _Handler.asked == [{"pause_ms": 10, "stream": False}] * 8
    assert found["inference_time_s"] == found["latency_s"]
    latencies_s = [found[name] for name in ("latency_s", "latency_p95_s", "latency_p99_s")]
    assert latencies_s == sorted(latencies_s, key=float)  # type: ignore[arg-type]
    assert float(latencies_s[0] or 0) >= 0.01
    assert found["cpu_time_s"] is None  # it is not known of a server that runs anyway


def test_with_more_clients_a_waiting_server_answers_more_requests(address: str) -> None:
    system = HttpSystem(f"{address}/plain", SPACE, body=BODY)
    found = readings_of(system, {"pause_ms": 40}, {"scenario": "offline", "clients": 8, "requests": 16})
    assert found["inference_time_s"] == pytest.approx(1 / float(found["throughput_hz"] or 0))
    assert float(found["latency_s"] or 0) >= 0.04
    assert float(found["inference_time_s"] or 1) < float(found["latency_s"] or 0)  # they wait at the same time


def test_in_the_open_loop_requests_are_due_whatever_the_server_does(address: str) -> None:
    system = HttpSystem(f"{address}/plain", SPACE, body=BODY)
    workload: dict[str, Fact] = {"scenario": "server", "rate_hz": 100.0, "requests": 20}
    with system.open({"pause_ms": 0}, workload, seed=3) as session:
        begin = time.perf_counter()
        session.run_once()
        wall_s = time.perf_counter() - begin
        assert isinstance(session, AddsReadings)
        assert float(session.added_readings()["throughput_hz"] or 0) * wall_s > 10
    assert wall_s > 0.05  # twenty requests, a hundred a second


def test_a_stream_tells_its_first_token_and_the_time_between(address: str) -> None:
    system = HttpSystem(f"{address}/stream", SPACE, body=BODY, stream=True)
    found = readings_of(system, {"pause_ms": 10}, {"requests": 3})
    first_s, each_s = float(found["time_to_first_token_s"] or 0), float(found["time_per_token_s"] or 0)
    assert first_s >= 0.02  # the pause, and the event that names the role and says nothing
    assert each_s > 0
    assert float(found["latency_s"] or 0) > first_s
    assert {"time_to_first_token_s", "time_to_first_token_p99_s"} <= {found.name for found in system.properties()}


def test_a_server_that_hangs_up_is_an_outcome(address: str) -> None:
    system = HttpSystem(f"{address}/hang-up", SPACE, body=BODY)
    with pytest.raises(MeasurementError, match="cannot be used"):
        readings_of(system, {}, {"requests": 2})


def test_one_failed_request_fails_the_run(address: str) -> None:
    outcome = measure_in_session(HttpSystem(f"{address}/busy", SPACE, body=BODY), {}, {"requests": 4}, protocol=QUICK)
    assert outcome.status is Status.FAILED
    assert "answered 503 Service Unavailable: no place is free" in outcome.reason


def test_no_server_and_a_slow_one_are_told(address: str) -> None:
    slow = HttpSystem(f"{address}/plain", SPACE, body=BODY, timeout_s=0.02)
    with pytest.raises(MeasurementError, match=r"no answer within 0.02 s; is it served\?"):
        readings_of(slow, {"pause_ms": 40}, {"requests": 1})
    nobody = HttpSystem("http://127.0.0.1:9/plain", SPACE, body=BODY)
    with pytest.raises(MeasurementError, match=r"Connection refused; is it served\?"):
        readings_of(nobody, {}, {"requests": 1})


def test_a_token_is_read_from_the_environment_and_kept_nowhere(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = HttpSystem(f"{address}/plain", SPACE, body=BODY, token_variable="PERFPORT_TEST_TOKEN")  # noqa: S106
    with pytest.raises(UsageError, match="PERFPORT_TEST_TOKEN is not set"):
        readings_of(system, {}, {"requests": 1})
    monkeypatch.setenv("PERFPORT_TEST_TOKEN", "a secret")
    readings_of(system, {}, {"requests": 1})
    assert _Handler.seen == ["Bearer a secret"]
    assert "a secret" not in json.dumps([system.settings, system.facets()])


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "COOKIE", "X-Api-Key", "x-auth-token"])
def test_a_header_that_would_be_stored_with_its_secret_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' holds a secret.* token_variable") as caught:
        HttpSystem("http://127.0.0.1:9/", SPACE, body=BODY, headers={"Accept": "text/plain", name: "s3cr3t"})
    assert "s3cr3t" not in str(caught.value)
    assert HttpSystem("http://127.0.0.1:9/", SPACE, body=BODY, headers={"X-Tokens": "7"}).settings["headers"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://example.com/v1", "'example.com' is not this machine; set allow_remote: true"),
        ("http://192.0.2.7:8000/", "is not this machine"),
        ("http://127.0.0.1.example.com/", "is not this machine"),
        ("file:///etc/passwd", "give an address such as http"),
        ("127.0.0.1:8000", "give an address such as http"),
    ],
)
def test_only_this_machine_is_put_under_load_unless_told_otherwise(url: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        HttpSystem(url, SPACE, body=BODY)


def test_another_machine_may_be_allowed() -> None:
    assert HttpSystem("https://example.com/v1", SPACE, body=BODY, allow_remote=True).settings["allow_remote"]
    assert HttpSystem("http://[::1]:8000/v1", SPACE, body=BODY).settings["url"]


@pytest.mark.parametrize(
    ("workload", "told"),
    [
        ({"scenario": "burst"}, "'burst'; it is one of single_stream, offline, server"),
        ({"scenario": "server"}, "'rate_hz' is missing; the scenario is 'server'"),
        ({"rate_hz": 3}, "'rate_hz' belongs to scenario 'server' only"),
        ({"scenario": "offline"}, "'clients' is missing"),
        ({"scenario": "offline", "clients": 0}, "give a positive whole number"),
        ({"scenario": "server", "rate_hz": "fast"}, "give a positive number"),
        ({"prompt": "x"}, "'prompt' is used nowhere"),
    ],
)
def test_a_load_that_is_none_is_told(workload: dict[str, Fact], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        HttpSystem("http://127.0.0.1:9/", SPACE, body=BODY).check_workload(workload)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (["python", "serve.py"], "server .*: give a mapping, such as"),
        ({"command": ["python"], "start_timeout_s": "soon"}, "server: start_timeout_s is 'soon'; give a positive"),
        ({"command": "python serve.py"}, "server: command 'python serve.py': give a list of texts"),
        ({"command": ["python"], "environment": {"A": None}}, "server: environment: 'A' is None"),
        ({"command": ["python"], 3: 4}, "server: unknown key '3'"),
        ({"ready": "/"}, "server: 'command' is missing"),
    ],
)
def test_a_server_that_cannot_be_started_as_told_is_refused(server: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        HttpSystem("http://127.0.0.1:${port}/", SPACE, body=BODY, server=server)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["-c", "import sys; sys.exit('no such model')"], "the server ended with exit code 1: no such model"),
        (["-c", "import time; print('loading', flush=True); time.sleep(60)"], "was not ready within 1.5 s"),
    ],
)
def test_a_server_that_does_not_come_up_is_told(command: list[str], told: str) -> None:
    server = {"command": [sys.executable, *command, "${port}"], "start_timeout_s": 1.5}
    system = HttpSystem("http://127.0.0.1:${port}/", SPACE, body=BODY, server=server)
    with pytest.raises(MeasurementError, match=told):
        readings_of(system, {}, {})


@pytest.mark.skipif(sys.platform != "linux", reason="a program has a process group of its own on Linux only")
def test_the_workers_of_a_server_end_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; sleeper = [sys.executable, '-c', 'import time; time.sleep(3600)']; "
        "print('pid', subprocess.Popen(sleeper).pid, flush=True); time.sleep(0.2); sys.exit(1)"
    )
    server = {"command": [sys.executable, "-c", code, "${port}"]}
    system = HttpSystem("http://127.0.0.1:${port}/", SPACE, body=BODY, server=server)
    with pytest.raises(MeasurementError, match="ended with exit code 1: pid") as caught:
        readings_of(system, {}, {})
    worker = Path("/proc", str(caught.value).split()[-1])
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(worker)


def is_running(process: Path) -> bool:
    try:
        return "State:\tZ" not in (process / "status").read_text()
    except OSError:
        return False


def served_network(path: str, **settings: Any) -> HttpSystem:
    """The example server: a real network on ONNX Runtime behind a real HTTP server, started for each configuration."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    try:
        network("ppocr_cls")
    except MissingPackageError as error:
        pytest.skip(error.message)
    command = [sys.executable, str(SERVE), "--port", "${port}", "--threads", "${threads}"]
    return HttpSystem(
        f"http://127.0.0.1:${{port}}{path}",
        {"options": [{"name": "threads", "type": "integer", "values": [1, 2]}]},
        server={"command": command, "ready": "/health"},
        **settings,
    )


@pytest.mark.slow
def test_a_served_network_streams_and_its_processor_time_is_known() -> None:
    system = served_network("/v1/completions", body={"max_tokens": "${tokens}", "stream": True}, stream=True)
    with system.open({"threads": 1}, {"requests": 3, "tokens": 4}) as session:
        session.run_once()
        session.run_once()
        assert isinstance(session, AddsReadings)
        found = {name: value for name, value in session.added_readings().items() if value is not None}
        process = session._process  # type: ignore[attr-defined]
        assert process.poll() is None
    assert process.poll() is not None  # ended with the configuration
    assert 0 < found["time_to_first_token_s"] < found["latency_s"]
    assert found["time_per_token_s"] > 0
    assert found["cpu_time_s"] > 0
    assert {name for name in found} == {prop.name for prop in system.properties()}
