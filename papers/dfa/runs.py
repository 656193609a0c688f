"""The models that the tables compare, trained once for each seed and kept below ``.checkpoints``.

A row is one stage of DFA, trained with some settings on top of the row that it continues. Rows that
were trained before, for whichever table, are read from disk.

Every row has the same number of steps behind it. A network that inherits the weights of the stage
before it (``dfa_stage.inherit``) shares the epochs of the run with that stage: of N epochs the stages
of a chain take a third each, and the last one the rest; a stage 1 that nothing continues takes all. So
a row of stage 3 can be better than one of stage 1 for its stages, not for its length. DeepPose's chain
is divided likewise, and so is IDPR's, whose routed networks continue the one with pseudo-labels.
Table ``stages`` follows one chain instead, as the step ``dfa_stage`` trains it: there each stage takes
all epochs.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.errors.reading import read_arrays
from fashion_ops.evaluation.mean_shape import mean_points, mean_points_by_kind
from fashion_ops.evaluation.normalized_error import FrameName, errors
from fashion_ops.methods.alignment.crops import crop_options
from fashion_ops.methods.alignment.data import PERSON, Split, kinds_of, load_split
from fashion_ops.methods.alignment.deeppose.training import train_deeppose
from fashion_ops.methods.alignment.dfa.estimates import ESTIMATES, read_estimates, write_estimates
from fashion_ops.methods.alignment.dfa.inference import Estimate, TrainedStage
from fashion_ops.methods.alignment.dfa.targets import Space
from fashion_ops.methods.alignment.dfa.training import PreviousStage, train_stage
from fashion_ops.methods.alignment.idpr.training import add_routing, train_idpr
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import DfaStage
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, point_set
from fashion_ops.workspace import publish, write_whole
from papers.alignment import MEAN, MEAN_OF_TYPE, open_source
from papers.config import TableConfig

TEST = "test"
STAGES = 3


@dataclass(frozen=True)
class Row:
    """How one stage is trained.

    Attributes:
        stage: 1 to 3.
        changes: keys of ``dfa_stage`` that differ.
        space: of the pseudo-labels.
        after: the row that it continues.
    """

    stage: int
    changes: dict[str, Any]
    space: Space | None = None
    after: str | None = None


_PLAIN = {"clusters": 0}
_ONE, _TWO = {**_PLAIN, "branches": "one"}, {**_PLAIN, "branches": "average"}
_ROUTED = {"branches": "routing"}
STAGE_1, STAGE_2 = "1 + plabels (T=20)", "2 + plabels (offset)"
STAGE_3 = "3 + plabels (c. offset)"
LABEL_INPUT = "3 + plabels as input"  # Table 5 of the paper
DIRECT = "1 direct regression"
ROWS: dict[str, Row] = {
    "1 - visibility": Row(1, {**_PLAIN, "visibility_weight": 0.0}),
    "1 direct regression": Row(1, _PLAIN),
    "1 + plabels (T=1)": Row(1, {"temperature": 1.0}),
    STAGE_1: Row(1, {"temperature": 20.0}),
    "2 direct regression": Row(2, _PLAIN, after=STAGE_1),
    "2 + plabels (abs.)": Row(2, {}, "configuration", STAGE_1),
    STAGE_2: Row(2, {}, "offset", STAGE_1),
    "3 direct regression": Row(3, _ONE, after=STAGE_2),
    "3 + two-branch": Row(3, _TWO, after=STAGE_2),
    "3 + auto-routing": Row(3, {**_PLAIN, **_ROUTED}, after=STAGE_2),
    "3 + plabels (offset)": Row(3, _ROUTED, "offset", STAGE_2),
    STAGE_3: Row(3, _ROUTED, "context", STAGE_2),
    LABEL_INPUT: Row(3, {**_ROUTED, "label_input": True}, "context", STAGE_2),
}
PLAIN_ROWS = (MEAN, MEAN_OF_TYPE)


@dataclass
class Runs:
    """The training runs of one seed on one catalog.

    Attributes:
        folder: for trained rows.
        params: of DFA.
        catalog: of the images.
        seed: of initial weights, augmentation and clustering.
        device: where trained rows predict.
        training: how networks are trained.
        shared: whether the stages of a row share the epochs of the run, see the module.
    """

    folder: Path
    params: DfaStage
    catalog: AlignmentCatalog
    seed: int
    device: torch.device
    training: TrainerOptions
    shared: bool = True

    @cached_property
    def kind(self) -> str:
        """The kind of garment, or person, that one model for the whole catalog serves."""
        return kinds_of(self.catalog, per_type=False)[0]

    @cached_property
    def train(self) -> Split:
        return self._load("train")

    @cached_property
    def test(self) -> Split:
        return self._load(TEST)

    def _load(self, split: str) -> Split:
        return load_split(self.catalog, split, self.kind, crop_options(self.params))

    def epochs(self, stage: int, link: bool = False) -> int:
        """Epochs of one network of a stage, see the module; another stage continues a ``link``."""
        total = self.params.epochs
        if not self.shared or not self.params.inherit:
            return total
        part = max(1, total // STAGES)
        return part if link else max(1, total - (stage - 1) * part)

    def row(self, name: str, link: bool = False) -> tuple[TrainedStage, dict[str, Estimate]]:
        """A row's stage, trained if missing, and its estimates for the training and the test split.

        Args:
            name: of the row.
            link: whether another stage continues it, which makes its training shorter.
        """
        epochs = self.epochs(ROWS[name].stage, link)
        folder = self.folder / f"seed{self.seed}" / f"{_slug(name)}-{epochs}"
        if not folder.is_dir():
            self._train(name, epochs, folder)
        return TrainedStage.load(folder, self.device), read_estimates(folder / ESTIMATES)

    def _train(self, name: str, epochs: int, folder: Path) -> None:
        row = ROWS[name]
        params = DfaStage.model_validate(self.params.with_epochs(epochs).model_dump() | row.changes)
        before, known = None, {}
        if row.after:
            stage, known = self.row(row.after, link=True)
            before = PreviousStage(stage, known["train"])
        stage = train_stage(
            params, row.stage, self.train.data, self.seed, before, row.space, self.training
        )
        estimates = {
            name: stage.predict(split.crops, known.get(name))
            for name, split in (("train", self.train), (TEST, self.test))
        }
        with publish(folder) as fresh:
            stage.save(fresh)
            write_estimates(fresh / ESTIMATES, estimates)

    def positions(self, name: str) -> np.ndarray:
        """Normalised test positions (N, n, 2) of a row, a mean shape or another method."""
        if name in PLAIN_ROWS:
            shapes, kinds = self.train.shapes, self.train.rows.clothes_type
            like = self.test.rows.clothes_type
            if name == MEAN_OF_TYPE:
                return mean_points_by_kind(shapes.positions, shapes.observed, kinds, like)
            shape = mean_points(shapes.positions, shapes.observed)
            return np.broadcast_to(shape, (len(like), *shape.shape))
        if name == "DeepPose (stage 1)":
            name = DIRECT
        if name in ROWS:
            return self.row(name)[1][TEST].positions
        path = self.folder / f"seed{self.seed}" / f"{_slug(name)}.safetensors"
        if not path.is_file():
            make = self._deeppose if name.startswith("DeepPose") else self._idpr
            for other, positions in make().items():
                target = path.with_name(f"{_slug(other)}.safetensors")
                write_whole(target, save({"positions": np.ascontiguousarray(positions)}))
        return read_arrays(path)["positions"]

    def errors(self, name: str, frame: FrameName | None = None) -> np.ndarray:
        """Distances (N, n) of the test landmarks over the sides of a frame; None is the parameters'."""
        split = self.test
        predicted = split.to_pixels(self.positions(name))
        return errors(predicted, split.rows.xy, split.rows.box, frame or self.params.frame)

    def _deeppose(self) -> dict[str, np.ndarray]:
        first, _ = self.row(DIRECT, link=True)
        params = self.params.with_epochs(self.epochs(2, link=True))
        model = train_deeppose(params, self.train.data, self.seed, first, self.training)
        return {
            f"DeepPose (stage {n})": model.predict(self.test.crops, n).positions for n in (2, STAGES)
        }

    def _idpr(self) -> dict[str, np.ndarray]:
        data, test = self.train.data, self.test
        links = tree_links(self.kind)
        unlabelled = self.params.model_copy(update={"clusters": 0})
        plain = train_idpr(unlabelled, data, links, self.seed, self.training)
        models = {"IDPR": plain}
        if self.kind == PERSON:
            half = self.params.with_epochs(max(1, self.params.epochs // 2))
            rest = self.params.with_epochs(max(1, self.params.epochs - half.epochs))
            start = train_idpr(half, data, links, self.seed, self.training)
            models |= {
                "IDPR + plabel": train_idpr(self.params, data, links, self.seed, self.training),
                "IDPR + auto-routing": add_routing(rest, start, data, self.seed, self.training),
            }
        return {n: m.predict(test.crops, test.shapes.slots) for n, m in models.items()}


def tree_links(kind: str) -> list[tuple[np.ndarray, tuple[tuple[int, int], ...]]]:
    """The trees that one model serves: a mask of slots (n,) and links between slots for each."""
    if kind == PERSON:
        points = point_set("lsp14")
        return [(np.ones(points.num_points, bool), points.links)]
    out = []
    for name in CLOTHES_TYPES:
        points = point_set(name)
        slots = np.zeros(point_set("fld8").num_points, bool)
        slots[points.slots] = True
        links = tuple((int(points.slots[a]), int(points.slots[b])) for a, b in points.links)
        out.append((slots, links))
    return out


def open_runs(config: TableConfig, source: str, shared: bool = True) -> list[Runs]:
    """The runs on the catalog of a source, one for each seed.

    Args:
        config: options of the table.
        source: of the catalog.
        shared: whether the stages of a row share the epochs of the run.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
    """
    catalog = open_source(config, source)
    params = config.params.dfa_stage
    changes: dict[str, Any] = {"source": source, "per_type": False}
    if config.backbones:
        changes["backbone"] = config.backbones[0]
    params = DfaStage.model_validate(params.model_dump() | changes)
    if config.epochs is not None:
        params = params.with_epochs(config.epochs)
    digest = hashlib.sha256(params.model_dump_json().encode())
    digest.update((catalog.folder / "garments.parquet").read_bytes())
    where = config.ws.checkpoints / "dfa" / digest.hexdigest()[:16]
    where.mkdir(parents=True, exist_ok=True)
    seeds = config.seeds or (config.params.seed,)
    options = (config.device, config.training, shared)
    return [Runs(where, params, catalog, seed, *options) for seed in seeds]


def describe(runs: list[Runs], data_name: str) -> str:
    """The evaluation set and the networks, in words."""
    p, first = runs[0].params, runs[0]
    seeds = f"mean of {len(runs)} seeds" if len(runs) > 1 else "one seed"
    shares = first.shared and p.inherit
    length = "for all stages of a row together" if shares else "for each network"
    return (
        f"{data_name}, {len(first.test)} test garments, trained on {len(first.train)}; {p.backbone} "
        f"{p.input_size}x{p.input_size}, {p.optimizer}, {p.epochs} epochs {length}, {seeds}"
    )


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")
