"""The networks of the comparison: each trained once for equal time, evaluated, and kept.

They lie in ``.checkpoints/heads/DIGEST``, named after a hash of the settings and the catalog, so that
an interrupted comparison continues. Time is the processor's on a CPU, where other processes do not
count, and the clock's on a GPU. The seconds of a step are measured once for each network, by two short
runs; all seeds then train for the same number of steps.
"""

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import (
    TrainingGarments,
    held_out,
    load_garments,
    used_grouping,
)
from fashion_ops.errors.reading import read_object
from fashion_ops.files.publishing import publish, write_whole
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.top_down.heads import HEADS
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import Section, TrainLandmarker, read_yaml
from fashion_ops.steps import aggregate
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet

SMALL = Path(__file__).parents[2] / "configs" / "heads" / "small.yaml"
SEEDS = (0, 1, 2)
NAMES = {"heatmap": "heatmaps", "simcc": "SimCC", "rle": "RLE"}
PROBES = (4, 14)  # steps of the two runs that measure the seconds of a step
SECONDS = "seconds.json"  # of a step, by row


class Network(Section):
    """A backbone of the comparison: its name, its start, and the learning rate that suits it."""

    backbone: str
    pretrained: str | None = None
    lr: float = Field(gt=0)


class HeadsConfig(Section):
    """Settings of the comparison, a file of ``configs/heads``."""

    seconds: float = Field(gt=0, description="of training for every network")
    held_out: float = Field(gt=0, lt=1, description="share of the training images")
    networks: dict[str, Network]
    landmarker: TrainLandmarker


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a backbone with a head."""

    network: Network
    head: str
    settings: HeadsConfig

    @cached_property
    def training(self) -> TrainLandmarker:
        """How it is trained: one pass over the samples that are drawn for it."""
        changes: dict[str, Any] = {**self.network.model_dump(), "head": self.head, "epochs": 1}
        values = self.settings.landmarker.model_dump() | changes | {"lr_steps": None}
        return TrainLandmarker.model_validate(values)


@dataclass(frozen=True)
class Comparison:
    """The settings, the data and the place of a comparison.

    Attributes:
        settings: what is compared, and for how long each trains.
        config: workspace, device and loader of the command.
        catalog: of the images.
        garments: training garments that networks learn from.
        held_out: training garments that no network sees.
        folder: of the kept networks.
    """

    settings: HeadsConfig
    config: TableConfig
    catalog: Catalog
    garments: TrainingGarments
    held_out: TrainingGarments
    folder: Path

    @classmethod
    def open(cls, config: TableConfig, evaluated: EvaluationSet) -> "Comparison":
        """Read the settings and the training garments of the workspace."""
        settings = read_yaml(HeadsConfig, config.training_config or SMALL)
        if config.seconds is not None:
            settings = settings.model_copy(update={"seconds": config.seconds})
        if not (config.ws.grouped / "grouping.json").is_file():
            aggregate.run(config.params, config.ws)
        _, garments = load_garments(config.ws, "train")
        kept_out = held_out(garments.image_id, settings.held_out)
        what = settings.model_dump_json() + used_grouping(config.ws).name + str(config.device)
        table = (evaluated.catalog.folder / "garments.parquet").read_bytes()
        digest = hashlib.sha256(what.encode() + table).hexdigest()[:12]
        folder = config.ws.checkpoints / "heads" / digest
        folder.mkdir(parents=True, exist_ok=True)
        parts = garments.take(~kept_out), garments.take(kept_out)
        return cls(settings, config, evaluated.catalog, *parts, folder)

    @property
    def rows(self) -> dict[str, Row]:
        """The lines by their label, such as ``ViT + SimCC``; only those that ``--rows`` names."""
        rows = {
            f"{label} + {NAMES[head]}": Row(network, head, self.settings)
            for label, network in self.settings.networks.items()
            for head in HEADS
        }
        return {label: rows[label] for label in self.config.chosen(rows)}

    def steps(self, label: str, row: Row) -> int:
        """The number of steps that a row trains for: ``settings.seconds`` over the seconds of one."""
        path = self.folder / SECONDS
        known = read_object(path) if path.is_file() else {}
        if label not in known:
            known[label] = self._seconds_of_step(row)
            write_whole(path, (json.dumps(known, indent=1) + "\n").encode())
        return max(1, int(self.settings.seconds / known[label]))

    def _seconds_of_step(self, row: Row) -> float:
        """Measure the seconds of a step by the difference of two runs."""
        seconds = []
        for steps in PROBES:
            with tempfile.TemporaryDirectory() as scratch:
                seconds.append(self._train(row, steps, 0, Path(scratch)))
        return max(seconds[1] - seconds[0], 1e-3) / (PROBES[1] - PROBES[0])

    def trained(self, label: str, row: Row, seed: int) -> Path:
        """The folder of a row's landmarker, trained with a seed; trains it if missing."""
        name = "".join(c for c in label.lower() if c.isalnum())
        folder = self.folder / f"{name}-{seed}"
        if not (folder / SPEC).is_file():
            with publish(folder) as out:
                self._train(row, self.steps(label, row), seed, out)
        return folder

    def _train(self, row: Row, steps: int, seed: int, folder: Path) -> float:
        """Train a row for some steps and write its folder; returns the seconds.

        The samples are those of passes over the garments, each in an order of its own.
        """
        config, grouping = row.training, used_grouping(self.config.ws)
        count = steps * config.batch_size
        rng = np.random.default_rng(seed)
        passes = [rng.permutation(len(self.garments)) for _ in range(-(-count // len(self.garments)))]
        garments = self.garments.take(np.concatenate(passes)[:count])
        torch.manual_seed(seed)
        model = Landmarker(
            config.backbone, grouping.num_groups, 0, config.pretrained, config.head, config.crop
        )
        spec = landmarker_spec(config, grouping.name, 0)
        clock = time.process_time if self.config.device.type == "cpu" else time.perf_counter
        start = clock()
        options = self.config.training
        train_landmarker(config, model, spec, garments, self.catalog.image, folder, options, seed=seed)
        return clock() - start
