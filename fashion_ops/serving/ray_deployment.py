"""The service under Ray Serve: replicas, fractions of a GPU, autoscaling.

``serve run fashion_ops.serving.ray_deployment:build`` runs it here, ``infra/ray/rayservice.yaml`` on
Kubernetes. Each replica is a whole service with a champion, batches and limits of its own; an answer
names the version that gave it.
"""

import os
import tempfile
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve import Application

from fashion_ops.serving.app import create_app
from fashion_ops.serving.champion import Engine, Loader
from fashion_ops.serving.limits import Limits
from fashion_ops.serving.observing import log_json
from fashion_ops.serving.service import Service
from fashion_ops.serving.sources import find_source


class Settings(BaseModel):
    """Arguments of ``build``, as the manifest gives them.

    Attributes:
        model: ``models:/NAME@ALIAS`` or a folder that every node has.
        engine: ``openvino`` on CPUs, ``torch`` on GPUs.
        state: folder on the node for copies of versions; each replica makes one of its own in it.
        poll: seconds between two looks at the registry.
        threads: CPU threads of openvino.
        num_cpus: of a replica.
        num_gpus: of a replica, may be a fraction.
        min_replicas: that always run.
        max_replicas: at most.
        target_requests: in work in a replica, above which another one starts.
        limits: of one replica.
    """

    model_config = ConfigDict(extra="forbid")

    model: str = "models:/garment-landmarks@champion"
    engine: Engine = "openvino"
    state: Path = Path(tempfile.gettempdir()) / "fashion-ops-serving"
    poll: float = 10.0
    threads: int = 2
    num_cpus: float = 2.0
    num_gpus: float = 0.0
    min_replicas: int = 1
    max_replicas: int = 4
    target_requests: float = 8.0
    limits: Limits = Limits()


def build(settings: Settings) -> Application:
    """Make the application of Ray Serve."""

    def application() -> FastAPI:
        log_json()
        loader = Loader(settings.engine, threads=settings.threads)
        state = settings.state / serve.get_replica_context().replica_id.unique_id
        source = find_source(settings.model, state, loader, settings.poll)
        return create_app(
            Service(
                source,
                settings.limits,
                os.environ.get("FASHION_OPS_TOKEN", ""),
                os.environ.get("FASHION_OPS_WEBHOOK_SECRET", ""),
            )
        )

    @serve.ingress(application)
    class Garments:
        """A replica; its routes are those of the application."""

    deployment = serve.deployment(
        Garments,
        name="garments",
        ray_actor_options={"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus},
        max_ongoing_requests=settings.limits.queue,
        autoscaling_config={
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.target_requests,
        },
    )
    return deployment.bind()
