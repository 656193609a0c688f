"""An ASGI application as a deployment of Ray Serve.

Replicas, GPUs of a replica and autoscaling are Ray Serve's own settings, in its configuration file.
"""

from collections.abc import Callable
from typing import Any

from ray import serve

_DRAIN_SECONDS = 30.0  # that a replica may take for the requests it has when it stops


def deploy(make_app: Callable[[], Any], name: str, requests: int) -> serve.Application:
    """Make an application of Ray Serve from an ASGI application.

    Args:
        make_app: makes the ASGI application; called in each replica.
        name: of the deployment in the configuration.
        requests: that a replica works on at once. As many again wait; Ray Serve answers more with 503.
    """
    deployment = serve.deployment(
        name=name,
        max_ongoing_requests=requests,
        max_queued_requests=requests,
        graceful_shutdown_timeout_s=_DRAIN_SECONDS,
    )(serve.ingress(make_app)())
    return deployment.bind()
