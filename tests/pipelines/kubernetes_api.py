"""The part of a Kubernetes API that KubeRay's clients use, over HTTP, and a KUBECONFIG for it."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

READY = {
    "state": "ready",
    "head": {"serviceIP": "10.0.0.7", "serviceName": "HEAD"},
    "endpoints": {"dashboard": "8265"},
}


class KubernetesApi:
    """Keeps RayClusters and records calls.

    Attributes:
        calls: method and last part of the path of each call.
        clusters: manifests by name.
        made: manifests that were created, deleted or not.
        statuses: statuses that the API reports in turn; the last one stays.
        refuse: method -> (status, message) of calls to be refused.
    """

    def __init__(self, folder: Path) -> None:
        self.calls: list[tuple[str, str]] = []
        self.clusters: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = [{"state": ""}, READY]
        self.refuse: dict[str, tuple[int, str]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.config = folder / "kubeconfig"
        server = f"http://127.0.0.1:{self.server.server_port}"
        document = {
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": server}}],
            "users": [{"name": "test", "user": {}}],
        }
        self.config.write_text(yaml.safe_dump(document))

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of the reply to a call."""
        found = re.fullmatch(
            r"/apis/ray\.io/v1/namespaces/fashion-ops/rayclusters(?:/([^/?]+))?(/status)?(?:\?(.*))?",
            path,
        )
        assert found, path
        name, status, query = found.groups()
        self.calls.append((method, status or name or "rayclusters"))
        if method in self.refuse:
            code, message = self.refuse[method]
            return code, {"message": message, "code": code}
        if method == "POST":
            self.made.append(body)
            self.clusters[body["metadata"]["name"]] = body
            return 201, body
        if name is None:
            assert "labelSelector=" in query
            return 200, {"items": list(self.clusters.values())}
        if name not in self.clusters:
            return 404, {"message": f"rayclusters.ray.io {name!r} not found", "code": 404}
        if method == "DELETE":
            return 200, self.clusters.pop(name)
        report = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        report = json.loads(json.dumps(report).replace("HEAD", f"{name}-head-svc"))
        return 200, self.clusters[name] | {"status": report}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = api.answer(self.command, self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = do_PATCH = reply

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@contextmanager
def kubernetes_api(folder: Path) -> Iterator[KubernetesApi]:
    """An API server that stops at the end; its settings are in ``folder``."""
    api = KubernetesApi(folder)
    threading.Thread(target=api.server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        api.server.shutdown()
        api.server.server_close()
