"""A tiny model server: PP-OCRv4's text-direction network on ONNX Runtime behind HTTP, with the standard library.

    python examples/serving/serve.py --port 8000 --threads 2

GET /health answers when the network is loaded. POST /predict {"batch": 1} answers the class scores. POST
/v1/completions {"max_tokens": 8, "stream": true} runs the network once for each "token" and streams the answer as
OpenAI's servers do, so that it can stand for a language model. It listens on this machine only.
"""

import argparse
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import onnxruntime

from perfport.measure.networks import network
from perfport.measure.networks.inputs import make_inputs

_MOST_TOKENS = 1000


class Model:
    """A network with its inputs."""

    def __init__(self, name: str, threads: int, spinning: bool) -> None:
        found = network(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
        self._session = onnxruntime.InferenceSession(str(found.path), options, providers=["CPUExecutionProvider"])
        self._inputs = {batch: make_inputs(found, {}, batch) for batch in (1, 2, 4)}

    def scores(self, batch: int) -> list[list[float]]:
        """Return the class scores of a batch."""
        scores: list[list[float]] = self._session.run(None, self._inputs[batch])[0].tolist()
        return scores


class Handler(BaseHTTPRequestHandler):
    """Answers requests; `model` is set on the class before the server starts."""

    protocol_version = "HTTP/1.1"
    model: Model

    def do_GET(self) -> None:
        """Say that the network is loaded."""
        self._answer(HTTPStatus.OK if self.path == "/health" else HTTPStatus.NOT_FOUND, {"path": self.path})

    def do_POST(self) -> None:
        """Run the network."""
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            if self.path == "/predict":
                self._answer(HTTPStatus.OK, {"scores": self.model.scores(int(asked.get("batch", 1)))})
            elif self.path == "/v1/completions":
                self._complete(min(int(asked["max_tokens"]), _MOST_TOKENS), bool(asked.get("stream")))
            else:
                self._answer(HTTPStatus.NOT_FOUND, {"error": f"no such path: {self.path}"})
        except (KeyError, ValueError, TypeError) as error:
            self._answer(HTTPStatus.BAD_REQUEST, {"error": f"{type(error).__name__}: {error}"})

    def _complete(self, n_tokens: int, is_stream: bool) -> None:
        if not is_stream:
            words = [self._token() for _ in range(n_tokens)]
            self._answer(HTTPStatus.OK, {"choices": [{"text": "".join(words)}]})
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(n_tokens):
            self._event(json.dumps({"choices": [{"text": self._token()}]}))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _token(self) -> str:
        ((upright, _),) = self.model.scores(1)
        return f"{upright:.2f} "

    def _event(self, text: str) -> None:
        line = f"data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def _answer(self, status: HTTPStatus, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # the name of the base class
        """Print nothing for each request: printing would be measured, too."""


def main() -> None:
    """Load the network and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spinning", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    Handler.model = Model("ppocr_cls", given.threads, given.spinning)
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
