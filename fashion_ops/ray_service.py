"""The service as an application of Ray Serve: what ``infra/ray/serve.yaml`` names as ``import_path``.

Each replica is a whole service, with models, batches and a champion of its own, and gets requests once
its first version is loaded. The configuration says how many replicas there are and what each may use.
"""

from typing import Any

from starlette.types import ASGIApp

from fashion_ops.distributed.deployment import deploy
from fashion_ops.serving.app import create_app
from fashion_ops.serving.observing import log_json
from fashion_ops.serving.settings import ServiceSettings


def application(settings: ServiceSettings) -> Any:
    """Make the application, which Ray Serve then runs in its replicas.

    Args:
        settings: the ``args`` of the configuration.
    """

    def make_app() -> ASGIApp:
        log_json()
        return create_app(settings.make())

    return deploy(make_app, "service", settings.limits.queue)
