"""The service as an application of Ray Serve: what ``infra/ray/serve.yaml`` names as ``import_path``.

Each replica is a whole service, with models, batches and a champion of its own, and gets requests once
its first version is loaded. The configuration says how many replicas there are and what each may use.
"""

from functools import partial
from typing import Any

from fastapi import FastAPI

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


def _make_app(settings: ServiceSettings) -> FastAPI:
    """Make the ASGI application of a replica."""
    log_json()
    return create_app(settings.make())
