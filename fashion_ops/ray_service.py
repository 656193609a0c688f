"""The service as an application of Ray Serve: what ``infra/ray/serve.yaml`` names as ``import_path``.

Each replica is a whole service, with models, batches and a champion of its own, and gets requests once
its first version is loaded. The configuration says how many replicas there are and what each may use.
"""

from functools import partial
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fashion_ops.distributed.deployment import deploy
from fashion_ops.serving.app import create_app
from fashion_ops.serving.observing import log_json
from fashion_ops.serving.settings import ServiceSettings


def application(settings: ServiceSettings) -> Any:
    """Make the application, which Ray Serve then runs in its replicas.

    Args:
        settings: the ``args`` of the configuration.
    """
    return deploy(partial(_make_app, settings), "service", settings.limits.queue)


def _make_app(settings: ServiceSettings) -> ASGIApp:
    """Make the ASGI application of a replica."""
    log_json()
    return _without_request_id(create_app(settings.make()))


def _without_request_id(app: ASGIApp) -> ASGIApp:
    """The same application without ``X-Request-ID`` in its answers, which Ray Serve's proxy adds."""

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0] != b"x-request-id"]
                message = {**message, "headers": kept}
            await send(message)

        await app(scope, receive, answer)

    return asgi
