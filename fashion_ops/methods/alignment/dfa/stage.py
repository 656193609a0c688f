"""A trained stage: what it predicts, and how it lies on disk.

Stages 1 and 2 are one network; stage 3 is two, between which garments are routed or which are averaged
(the authors' release averages).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from fashion_ops.methods.alignment.crops import Crops
from fashion_ops.methods.alignment.dfa.labels import PseudoLabels
from fashion_ops.methods.alignment.dfa.model import Output, StageNet
from fashion_ops.methods.alignment.dfa.routing import EASY, HARD, route
from fashion_ops.methods.artifact import load_model, save_model
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.trainer import autocast

METHOD = "dfa"
CENTERS = "centers.safetensors"
BATCH = 128
BRANCHES = {EASY: "easy", HARD: "hard"}


@dataclass(frozen=True)
class Estimate:
    """What a stage says of N garments.

    ``positions``: (N, n, 2), normalised; ``visibility``: probabilities (N, n, 3) of visible, occluded,
    inexistent; ``labels``: pseudo-labels (N, K) that sum to 1 (K = 0 without); ``branch``: (N,) of
    ``routing``, -1 where there is one network or the average of two; ``passes``: networks that each
    garment went through in this stage.
    """

    positions: np.ndarray
    visibility: np.ndarray
    labels: np.ndarray
    branch: np.ndarray
    passes: int


@dataclass(frozen=True)
class Stage:
    """One trained stage.

    ``nets``: one, or the easy and the hard one; ``labels``: its pseudo-labels, None without;
    ``router``: (e(C_k) of the stage before, epsilon), None averages two networks.
    """

    nets: tuple[StageNet, ...]
    labels: PseudoLabels | None
    spec: dict[str, Any]
    router: tuple[np.ndarray, float] | None = None

    @torch.no_grad()
    def predict(self, crops: Crops, before: Estimate | None = None) -> Estimate:
        """Predict all crops, dropout off.

        Args:
            crops: of the size and frame of ``spec``.
            before: of the previous stage, for the same crops; needed behind stage 1.
        """
        branch = np.full(len(crops), -1, np.int8)
        if self.router is not None:
            assert before is not None, "routing reads the pseudo-labels of the stage before"
            branch = route(before.labels, *self.router).astype(np.int8)
        n, k = self.nets[0].landmarks, self.nets[0].clusters
        positions = np.zeros((len(crops), n, 2), np.float32)
        visibility = np.zeros((len(crops), n, 3), np.float32)
        labels = np.zeros((len(crops), k), np.float32)
        for which in np.unique(branch):
            nets = self.nets if which < 0 else (self.nets[which],)
            own = np.flatnonzero(branch == which)
            for start in range(0, len(own), BATCH):
                rows = own[start : start + BATCH]
                previous = None if before is None else before.positions[rows]
                out = [self._run(net, crops.take(rows), previous) for net in nets]
                positions[rows] = torch.stack([o.positions for o in out]).mean(0).cpu()
                # averaged logits: the release takes the argmax of their sum
                visibility[rows] = torch.stack([o.visibility for o in out]).mean(0).softmax(-1).cpu()
                labels[rows] = torch.stack([o.labels for o in out]).mean(0).softmax(-1).cpu()
        passes = 1 if self.router is not None else len(self.nets)
        return Estimate(positions, visibility, labels, branch, passes)

    def _run(self, net: StageNet, crops: Tensor, previous: np.ndarray | None) -> Output:
        device = next(net.parameters()).device
        pixels = normalize(crops.to(device) / 255).contiguous(memory_format=torch.channels_last)
        before = None if previous is None else torch.from_numpy(previous).to(device)
        net.eval()
        with autocast(self.spec["precision"], device):
            return net(pixels, before if net.cascade else None)

    def save(self, folder: Path) -> None:
        """Write the stage into an existing folder: a model folder each for two networks."""
        spec = {**self.spec, "method": METHOD, "networks": len(self.nets)}
        spec["labels"] = None
        if self.labels is not None:
            told = {"space": self.labels.space, "temperature": self.labels.temperature}
            spec["labels"] = {**told, "errors": self.labels.errors.tolist()}
            save_file({"centers": np.ascontiguousarray(self.labels.centers)}, folder / CENTERS)
        spec["router"] = None
        if self.router is not None:
            spec["router"] = {"errors": self.router[0].tolist(), "epsilon": self.router[1]}
        for net, name in zip(self.nets, BRANCHES.values(), strict=False):
            where = folder / name if len(self.nets) > 1 else folder
            where.mkdir(exist_ok=True)
            save_model(where, net, spec)

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> "Stage":
        """What ``save`` wrote.

        Raises:
            FileNotFoundError: no stage there.
            ValueError: a model of another method.
        """
        two = (folder / BRANCHES[EASY]).is_dir()
        wheres = [folder / name for name in BRANCHES.values()] if two else [folder]
        loaded = [load_model(where, METHOD, build, device) for where in wheres]
        spec = loaded[0][1]
        labels, router = None, None
        if told := spec["labels"]:
            centers = load_file(folder / CENTERS)["centers"]
            errors = np.array(told["errors"])
            labels = PseudoLabels(told["space"], centers, told["temperature"], errors)
        if told := spec["router"]:
            router = (np.array(told["errors"]), float(told["epsilon"]))
        return cls(tuple(net for net, _ in loaded), labels, spec, router)


def build(spec: dict[str, Any]) -> StageNet:
    """The untrained network of a stage's spec."""
    return StageNet(
        spec["backbone"],
        spec["input_size"],
        spec["landmarks"],
        spec["clusters"],
        spec["stage"] > 1,
        dropout=spec["dropout"],
    )
