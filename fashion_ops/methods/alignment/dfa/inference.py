"""A trained stage: predicting, saving and loading.

Stages 1 and 2 are one network. Stage 3 is two: each garment is routed to one of them, or their outputs
are averaged (as in the authors' release).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.numpy import save_file
from torch import Tensor

from fashion_ops.errors.reading import read_arrays
from fashion_ops.methods.alignment.crops import Crops
from fashion_ops.methods.alignment.dfa.model import Output, StageNet
from fashion_ops.methods.alignment.dfa.routing import EASY, HARD, route
from fashion_ops.methods.alignment.dfa.targets import PseudoLabels
from fashion_ops.methods.artifact import SPEC, load_model, save_model
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.methods.parts.warm_start import WarmStart

METHOD = "dfa"
CENTERS = "centers.safetensors"
BATCH = 128
BRANCHES = {EASY: "easy", HARD: "hard"}


@dataclass(frozen=True)
class Estimate:
    """A stage's predictions for N garments.

    Attributes:
        positions: (N, n, 2), normalised.
        visibility: probabilities (N, n, 3) of visible, occluded and inexistent.
        labels: pseudo-labels (N, K) that sum to 1; K = 0 without them.
        branch: (N,), ``EASY`` or ``HARD``; -1 without routing.
        passes: forward passes of each garment in this stage.
    """

    positions: np.ndarray
    visibility: np.ndarray
    labels: np.ndarray
    branch: np.ndarray
    passes: int


@dataclass(frozen=True)
class TrainedStage:
    """One trained stage.

    Attributes:
        nets: one network, or the easy and the hard one.
        labels: its pseudo-labels, or None.
        spec: what ``model.json`` holds of the networks.
        router: e(C_k) (K,) of the previous stage and epsilon; None averages two networks.
        history: mean losses of each epoch, of one network after the other; empty of a loaded stage.
        starts: what each network started from, if it was another cascade; empty of a loaded stage.
    """

    nets: tuple[StageNet, ...]
    labels: PseudoLabels | None
    spec: dict[str, Any]
    router: tuple[np.ndarray, float] | None = None
    history: tuple[dict[str, float], ...] = ()
    starts: tuple[WarmStart, ...] = ()

    def predict(self, crops: Crops, previous: Estimate | None = None) -> Estimate:
        """Predict all crops, without dropout and without gradient.

        Args:
            crops: of the size and frame in ``spec``.
            previous: the previous stage's predictions for the same crops; stages 2 and 3 need them.
        """
        return self.predict_pixels(crops.take, len(crops), previous)

    @torch.no_grad()
    def predict_pixels(
        self,
        take: Callable[[np.ndarray], Tensor],
        count: int,
        previous: Estimate | None = None,
    ) -> Estimate:
        """Predict ``count`` crops that ``take`` returns by their indices, uint8 (B, 3, S, S)."""
        branch = np.full(count, -1, np.int8)
        if self.router is not None:
            assert previous is not None, "routing needs the pseudo-labels of the previous stage"
            branch = route(previous.labels, *self.router).astype(np.int8)
        n, k = self.nets[0].landmarks, self.nets[0].clusters
        positions = np.zeros((count, n, 2), np.float32)
        visibility = np.zeros((count, n, 3), np.float32)
        labels = np.zeros((count, k), np.float32)
        for b in np.unique(branch):
            nets = self.nets if b < 0 else (self.nets[b],)
            members = np.flatnonzero(branch == b)
            for start in range(0, len(members), BATCH):
                rows = members[start : start + BATCH]
                before = None if previous is None else (previous.positions[rows], previous.labels[rows])
                out = [self._forward(net, take(rows), before) for net in nets]
                positions[rows] = torch.stack([o.positions for o in out]).mean(0).cpu()
                # averaged logits: the release takes the argmax of their sum
                visibility[rows] = torch.stack([o.visibility for o in out]).mean(0).softmax(-1).cpu()
                labels[rows] = torch.stack([o.labels for o in out]).mean(0).softmax(-1).cpu()
        passes = 1 if self.router is not None else len(self.nets)
        return Estimate(positions, visibility, labels, branch, passes)

    def _forward(
        self,
        net: StageNet,
        crops: UInt8[Tensor, "b 3 s s"],
        previous: tuple[Float[np.ndarray, "b n 2"], Float[np.ndarray, "b i"]] | None,
    ) -> Output:
        """Run one network on a batch.

        ``previous`` are the normalised positions and the pseudo-labels of the stage before, if any.
        """
        device = next(net.parameters()).device
        pixels = normalize(crops.to(device) / 255).contiguous(memory_format=torch.channels_last)
        net.eval()
        with autocast(self.spec["precision"], device):
            if not net.cascade:
                return net(pixels)
            assert previous is not None, "stages 2 and 3 need the predictions of the previous stage"
            positions, labels = (torch.from_numpy(array).to(device) for array in previous)
            return net(pixels, positions, labels=labels if net.label_inputs else None)

    def save(self, folder: Path) -> None:
        """Write the stage into an existing folder; two networks each get a subfolder."""
        spec = {**self.spec, "method": METHOD, "networks": len(self.nets)}
        spec["labels"] = None
        if self.labels is not None:
            spec["labels"] = {
                "space": self.labels.space,
                "temperature": self.labels.temperature,
                "errors": self.labels.errors.tolist(),
            }
            save_file({"centers": np.ascontiguousarray(self.labels.centers)}, folder / CENTERS)
        spec["router"] = None
        if self.router is not None:
            spec["router"] = {"errors": self.router[0].tolist(), "epsilon": self.router[1]}
        for net, name in zip(self.nets, BRANCHES.values(), strict=False):
            subfolder = folder / name if len(self.nets) > 1 else folder
            subfolder.mkdir(exist_ok=True)
            save_model(subfolder, net, spec)

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "TrainedStage":
        """Read a stage that ``save`` wrote; its networks run on ``device``.

        Raises:
            FileNotFoundError: the folder holds no stage.
            ValueError: it holds a model of another method.
        """
        two = (folder / BRANCHES[EASY]).is_dir()
        folders = [folder / name for name in BRANCHES.values()] if two else [folder]
        loaded = [load_model(subfolder, METHOD, build, device) for subfolder in folders]
        spec = loaded[0][1]
        labels, router = None, None
        if saved := spec["labels"]:
            centers = read_arrays(folder / CENTERS, "centers")["centers"]
            errors = np.array(saved["errors"])
            labels = PseudoLabels(saved["space"], centers, saved["temperature"], errors)
        if saved := spec["router"]:
            router = (np.array(saved["errors"]), float(saved["epsilon"]))
        return cls(tuple(net for net, _ in loaded), labels, spec, router)


def is_stage(folder: Path) -> bool:
    """Whether a folder holds one model of a stage, of one network or of two."""
    return any((folder / part / SPEC).is_file() for part in ("", *BRANCHES.values()))


def build(spec: dict[str, Any], pretrained: str | None = None) -> StageNet:
    """Build the network that a stage's spec describes.

    Args:
        spec: the ``model.json`` of a stage.
        pretrained: timm's name of the backbone's weights; None initialises at random.
    """
    return StageNet(
        spec["backbone"],
        spec["input_size"],
        spec["landmarks"],
        spec["clusters"],
        spec["stage"] > 1,
        pretrained,
        spec["dropout"],
        spec.get("label_inputs", 0),
    )
