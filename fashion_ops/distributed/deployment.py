"""An ASGI application as a deployment of Ray Serve.

Replicas, GPUs of a replica and autoscaling are Ray Serve's own settings, in its configuration file.
"""

from collections.abc import Callable
from typing import Any

from ray import serve

_DRAIN_SECONDS = 30.0  # that a replica may take for the requests it has when it stops


class _Application:
    """A replica: what Ray Serve makes of its argument."""

    def __init__(self, make_app: Callable[[], Any]) -> None:
        self.make_app = make_app

    def __serve_build_asgi_app__(self) -> Any:
        """Return the ASGI application; Ray Serve calls this once, after ``__init__``."""
        return self.make_app()


def deploy(make_app: Callable[[], Any], name: str, requests: int) -> serve.Application:
    """Make an application of Ray Serve from an ASGI application.

    Args:
        make_app: makes the ASGI application; pickled, and called in each replica.
        name: of the deployment in the configuration.
        requests: that a replica works on at once. As many again wait; Ray Serve answers more with 503.
    """
    deployment = serve.deployment(
        name=name,
        max_ongoing_requests=requests,
        max_queued_requests=requests,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
    )(serve.ingress()(_Application))
    return deployment.bind(make_app)
