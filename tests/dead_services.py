"""Services that are down: ports that refuse, and servers that are silent, broken or late."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KINDS = ("refuses", "is silent")


@contextmanager
def dead_port(kind: str) -> Iterator[int]:
    """A port of 127.0.0.1 whose connections are refused, or accepted and never answered."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if kind == "is silent":
            held.listen(50)
        yield held.getsockname()[1]


@contextmanager
def speaker(answer: bytes, after: float = 0.0) -> Iterator[int]:
    """A port whose connections are refused for so many seconds, then answered by these bytes."""
    held, ending = socket.socket(), threading.Event()
    held.bind(("127.0.0.1", 0))

    def serve() -> None:
        time.sleep(after)
        held.listen(5)
        held.settimeout(0.1)
        while not ending.is_set():
            try:
                connection, _ = held.accept()
            except TimeoutError:
                continue
            with connection:
                connection.recv(100)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield held.getsockname()[1]
    finally:
        ending.set()
        thread.join()
        held.close()


class _Tracking(BaseHTTPRequestHandler):
    """An MLflow server that knows the experiment, and whose store of artifacts is down."""

    def do_GET(self) -> None:
        server: Any = self.server
        if "mlflow-artifacts" in self.path:
            server.released.wait(60 if server.kind == "is silent" else 0)
            self._answer(500, {"error_code": "INTERNAL_ERROR"})
        elif server.kind == "has no database":
            self._answer(500, {"error_code": "INTERNAL_ERROR"})
        else:
            location = "mlflow-artifacts:/1"
            experiment = {"experiment_id": "1", "name": "fashion-ops", "artifact_location": location}
            self._answer(200, {"experiment": experiment})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(OSError):  # it was not waited for
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def tracking_server(kind: str) -> Iterator[int]:
    """An MLflow server whose artifacts are down in this way, or that ``has no database``."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Tracking)
    server.kind, server.released, server.daemon_threads = kind, threading.Event(), True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
