"""How work is carried out, and what happens by itself; no stage watches these sections."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from fashion_ops.params.section import Section


class Distributed(Section):
    """How work is spread; no step is remade when this changes.

    Nothing here changes a result except the threads of one task (rounding) and the devices that share
    a run (``devices``, ``gpus_per_task`` above 1, ``gpus_of``): rounding, each one's own noise and, on
    CPUs, what batch norm sees.
    """

    cpus_per_task: int = Field(default=1, ge=1)
    gpus_per_task: float = Field(
        default=0.0, ge=0, description="a share of one, or as many as share one category's training"
    )
    gpus_of: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="categories whose training takes more than gpus_per_task"
    )
    max_retries: int = Field(default=3, ge=0)
    wait_for_node: float = Field(
        default=0.0, ge=0, description="seconds until a node must be there that a task fits on"
    )
    devices: int = Field(
        default=1, ge=1, description="GPUs (or processes on CPUs) that share the detector's training"
    )
    workers: int = Field(default=2, ge=1, description="processes of synthesize and ingest")
    loader_workers: int = Field(
        default=0,
        ge=0,
        description="processes that cut crops for one training run; 0 where crops fit in memory",
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> "Distributed":
        if self.gpus_per_task > 1 and self.gpus_per_task % 1:
            raise ValueError(f"gpus_per_task {self.gpus_per_task}: above 1 it must be a whole number")
        few = {name: n for name, n in self.gpus_of.items() if not 0 < self.gpus_per_task <= n}
        if few:
            raise ValueError(
                f"gpus_of {few}: must be at least gpus_per_task, and that above 0; it is "
                f"{self.gpus_per_task:g}"
            )
        return self

    def gpus_for(self, category: str) -> float:
        """GPUs of one category's training."""
        return self.gpus_of.get(category, self.gpus_per_task)

    def devices_for(self, category: str) -> int:
        """How many devices share one category's training."""
        return max(1, int(self.gpus_for(category)))


class Retrain(Section):
    """The schedule on which the chain runs by itself; what is current is skipped."""

    cron: str = Field(default="0 3 * * 1", description="minute, hour, day, month, weekday")
    timezone: str = "UTC"
    enabled: bool = Field(default=False, description="whether it starts with the Dagster services")
    overdue_days: float = Field(
        default=8.0, gt=0, description="without a run that got as far as `register`: not fresh"
    )

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError("must be an IANA time zone, such as Europe/Berlin") from error
        return name


class Batches(Section):
    """Labelled batches in ``data/inbox``: ``NAME`` is taken once ``NAME.ready`` lies beside it."""

    enabled: bool = Field(default=False, description="whether its sensor starts with the services")
    min_images: int = Field(default=100, ge=1, description="of all ready batches; fewer wait")


class Drift(Section):
    """When a new batch counts as unlike the training data: an effect that is large and no chance."""

    images: int = Field(default=500, ge=1, description="looked at of each side, drawn by the seed")
    max_psi: float = Field(default=0.2, gt=0, description="population stability index of categories")
    max_ks: float = Field(default=0.2, gt=0, le=1, description="Kolmogorov-Smirnov distance")
    significance: float = Field(default=0.001, gt=0, lt=1)


class Notify(Section):
    """Who is told of failures and of what is no longer fresh; the log always is."""

    webhook: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="gets JSON by POST; FASHION_OPS_WEBHOOK overrides it and stays out of files",
    )
