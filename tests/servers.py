"""The servers that docs/server.md shows, while a test asks them."""

import base64
import contextlib
import functools
import http.server
import json
import pathlib
import re
import threading
from collections.abc import Iterator

import tensorflow as tf

from tests import processes
from tests.places import ENV, ROOT


@contextlib.contextmanager
def web_service(checkpoint: str = "painters") -> Iterator[str]:
    """The address of examples/server/server.py, which paints with this model."""
    env = {**ENV, "PORT": "0", "CHECKPOINT": checkpoint}
    program = processes.Program([str(ROOT / "examples" / "server" / "server.py")], env)
    processes.wait_for(lambda: "\n" in program.stdout, program)
    yield program.stdout.strip()
    program.kill()


@contextlib.contextmanager
def tensorflow_serving(models: str) -> Iterator[str]:
    """The address of a stand-in for TensorFlow Serving, which answers as its json_tensor.cc does.

    Args:
        models: the folder of the models, relative to the working directory of each request.
    """
    handler = functools.partial(_Handler, pathlib.Path(models))
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, models: pathlib.Path, *args):
        self._models = models
        super().__init__(*args)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, answer = 200, {"outputs": self._outputs(body["signature_name"], body["inputs"])}
        except tf.errors.InvalidArgumentError as error:
            status, answer = 400, {"error": error.message}
        encoded = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def _outputs(self, signature_name: str, inputs: dict) -> dict:
        """The only output, a string of bytes; TensorFlow Serving leaves out its name."""
        model = re.fullmatch(r"/v1/models/(\w+):predict", self.path)[1]
        signature = tf.saved_model.load(self._models / model / "1").signatures[signature_name]
        decoded = {
            name: base64.b64decode(value["b64"], validate=True) if isinstance(value, dict) else value
            for name, value in inputs.items()
        }
        ((name, output),) = signature(**{name: tf.constant(value) for name, value in decoded.items()}).items()
        assert name.endswith("_bytes")  # TensorFlow Serving sends outputs of such names alone as base64.
        return {"b64": base64.b64encode(output.numpy()).decode()}

    def log_message(self, *_: object) -> None:
        """Keeps stderr clean."""
