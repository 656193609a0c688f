"""Sections for running steps: distribution, schedule, new batches, drift limits, notification."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, field_validator, model_validator

from fashion_ops.params.section import Section
from fashion_ops.params.webhook import parse_webhook


class Distributed(Section):
    """How work is distributed; no step is rerun when this changes.

    Results change only by rounding with the threads of one task, and with the number of devices that
    share a run (``devices``, ``gpus_per_task`` above 1, ``gpus_of``): by rounding, by the random noise
    of each device and, on CPUs, by the samples that batch norm averages over.
    """

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="of every network; auto is CUDA where the process sees a GPU"
    )
    cpus_per_task: int = Field(default=1, ge=1)
    gpus_per_task: float = Field(
        default=0.0,
        ge=0,
        description="a fraction of one, or the number that share one category's training",
    )
    gpus_of: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="by category, where its training uses more than gpus_per_task"
    )
    max_retries: int = Field(default=3, ge=0)
    wait_for_node: float = Field(
        default=0.0, ge=0, description="seconds to wait for a node that a task fits on"
    )
    devices: int = Field(
        default=1,
        ge=1,
        description="GPUs (or processes on CPUs) that share one training of the other steps",
    )
    min_devices: int | None = Field(
        default=None,
        ge=1,
        description="of devices, that a training on a cluster goes on with; null waits for all",
    )
    workers: int = Field(default=2, ge=1, description="processes of synthesize and ingest")
    loader_workers: int = Field(
        default=0,
        ge=0,
        description="processes that cut crops for one training run; 0 where crops fit in memory",
    )
    compile: bool = Field(
        default=False, description="torch.compile the networks in training: minutes at the start"
    )
    checkpoint_minutes: float = Field(
        default=10.0,
        ge=0,
        description="between two checkpoints of a task that travel to the driver; 0 sends one each "
        "epoch, and the training waits for it",
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
        if self.min_devices is not None and self.min_devices > self.devices:
            raise ValueError(f"min_devices {self.min_devices}: must be at most devices, {self.devices}")
        return self

    def gpus_for(self, category: str) -> float:
        """Number of GPUs (maybe a fraction of one) for the training of one category."""
        return self.gpus_of.get(category, self.gpus_per_task)

    def devices_for(self, category: str) -> int:
        """Number of devices that share the training of one category; on CPUs it is one."""
        return 1 if self.device == "cpu" else max(1, int(self.gpus_for(category)))


class Retrain(Section):
    """The schedule that runs the chain; steps that are up to date are skipped."""

    cron: str = Field(default="0 3 * * 1", description="minute, hour, day, month, weekday")
    timezone: str = "UTC"
    enabled: bool = Field(default=False, description="whether it starts with the Dagster services")
    overdue_days: float = Field(
        default=8.0,
        gt=0,
        description="days without a run that reached `register` after which models are stale",
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
    """Labelled batches in ``data/inbox``: complete once their whole name and ``.ready`` exists."""

    enabled: bool = Field(default=False, description="whether its sensor starts with the services")
    min_images: int = Field(
        default=100, ge=1, description="of all complete batches together; fewer wait"
    )


class Drift(Section):
    """Limits of drift: a batch has drifted if a distance is over its limit and significant."""

    images: int = Field(
        default=500,
        ge=1,
        description="compared of the batch and of the data before it, drawn by the seed",
    )
    max_psi: float = Field(default=0.2, gt=0, description="population stability index of categories")
    max_ks: float = Field(default=0.2, gt=0, le=1, description="Kolmogorov-Smirnov distance")
    significance: float = Field(default=0.001, gt=0, lt=1)


class Notify(Section):
    """Notification of failures and of stale models, besides the log."""

    webhook: SecretStr | None = Field(
        default=None,
        description="receives JSON by POST; the variable FASHION_OPS_WEBHOOK overrides it, for secrets",
    )

    @field_validator("webhook")
    @classmethod
    def _can_be_posted_to(cls, address: SecretStr | None) -> SecretStr | None:
        if address is not None:
            parse_webhook(address.get_secret_value(), "notify.webhook")
        return address
