"""What a service is made from: the values of ``fashion-ops serve`` and of a Ray Serve configuration."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fashion_ops.serving.champion import Engine, Loader
from fashion_ops.serving.limits import Limits
from fashion_ops.serving.service import Service
from fashion_ops.serving.sources import find_source

TOKEN, WEBHOOK_SECRET = "FASHION_OPS_TOKEN", "FASHION_OPS_WEBHOOK_SECRET"


class ServiceSettings(BaseModel):
    """Settings of one service; secrets come from the environment alone.

    Attributes:
        model: what ``find_source`` takes; None follows the champion.
        engine: ``openvino`` runs the exported pipeline on the CPU, ``torch`` also on GPUs.
        state: folder for copies of versions.
        threads: CPU threads of OpenVINO; 0 uses all cores.
        poll: seconds between two questions to the registry.
        start_seconds: that a start waits for the first version; 0 does not wait.
        limits: of requests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    engine: Engine = "openvino"
    state: Path = Path(".serving")
    threads: int = Field(default=0, ge=0)
    poll: float = Field(default=10.0, gt=0)
    start_seconds: float = Field(default=0.0, ge=0)
    limits: Limits = Limits()

    def make(self) -> Service:
        """Make the service, not started.

        Raises:
            ValueError: ``model`` names no model of a registry.
            FileNotFoundError: it names a folder that does not exist.
        """
        source = find_source(
            self.model, self.state, Loader(self.engine, threads=self.threads), self.poll
        )
        return Service(
            source,
            self.limits,
            os.environ.get(TOKEN, ""),
            os.environ.get(WEBHOOK_SECRET, ""),
            self.start_seconds,
        )
