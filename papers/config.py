"""The options of a table, as the command line passes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace


@dataclass(frozen=True)
class TableConfig:
    """The options of a table. None leaves a choice to the table.

    Attributes:
        params: the parameters of ``params.yaml``.
        ws: the workspace with the catalog and the models.
        images: number of validation images to evaluate on, drawn by the seed; None takes all.
        epochs: length of each training run.
        backbones: the rows of a table that compares backbones.
        batch: images in a measured training step.
        seeds: one training run for each; None takes the seed of the parameters.
        remedies: remedies for rare categories to train (``agg_finetune.rare_category_remedies``).
        rows: the only rows to make, where training all takes long; see ``chosen``.
        seconds: time of training for each network; None leaves it to ``training_config``.
        training_config: YAML file with the settings of the training runs.
        photos: files of labelled photos, see ``few_labels.photos``.
        start: folder of the landmarker that ``few_labels`` starts from; None takes the package's.
        steps: optimizer steps of each training run of ``few_labels``.
    """

    params: Params
    ws: Workspace
    images: int | None = None
    epochs: int | None = None
    backbones: tuple[str, ...] | None = None
    batch: int | None = None
    seeds: tuple[int, ...] | None = None
    remedies: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    seconds: float | None = None
    training_config: Path | None = None
    photos: tuple[str, ...] | None = None
    start: str | None = None
    steps: int | None = None

    def chosen(self, known: Iterable[str]) -> list[str]:
        """The rows of ``known`` that ``rows`` names, in the order of ``known``; all if it is None.

        Raises:
            ValueError: ``rows`` names another one.
        """
        known = list(known)
        if unknown := [row for row in self.rows or () if row not in known]:
            raise ValueError(f"--rows: no row {unknown[0]!r}; choose of {', '.join(known)}")
        return [row for row in known if self.rows is None or row in self.rows]

    @property
    def device(self) -> torch.device:
        """Where networks run in this process: ``distributed.device``."""
        return select_device(self.params.distributed.device)

    @property
    def training(self) -> TrainerOptions:
        """How networks are trained: device, loader workers and ``compile`` of ``distributed``."""
        return TrainerOptions.of(self.params.distributed)
