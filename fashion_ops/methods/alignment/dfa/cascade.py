"""The trained stages of DFA, one after the other, for the boxes that a detector finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from fashion_ops.methods.alignment.crops import Crops, frame_of, options_of_training
from fashion_ops.methods.alignment.data import JOINT, PERSON
from fashion_ops.methods.alignment.dfa.inference import TrainedStage, is_stage
from fashion_ops.methods.alignment.prediction import STATES, PredictedLandmarks, people_only
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, points_of_type

NUMBERS = ("1", "2", "3")


@runtime_checkable
class Regressor(Protocol):
    """All stages for one kind of garments, in torch or exported."""

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the ``Crops`` that it takes."""
        ...

    def predict(self, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Predict normalised positions (M, n, 2) and visibility probabilities (M, n, 3)."""
        ...


class Stages:
    """The stages for one kind of garments in torch, a ``Regressor``.

    Args:
        stages: the first one first.
    """

    def __init__(self, stages: Sequence[TrainedStage]) -> None:
        self.stages = tuple(stages)
        self.options = options_of_training(self.stages[0].spec["training"])

    def predict(self, crops: Crops) -> tuple[np.ndarray, np.ndarray]:
        """Run the stages, each on the estimate of the one before; see ``Regressor``."""
        return self.predict_pixels(crops.take, len(crops))

    def predict_pixels(
        self, take: Callable[[np.ndarray], Tensor], count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Do what ``predict`` does with ``count`` crops that ``take`` returns by their indices."""
        estimate = None
        for stage in self.stages:
            estimate = stage.predict_pixels(take, count, estimate)
        assert estimate is not None
        return estimate.positions, estimate.visibility


@dataclass(frozen=True)
class Cascade:
    """The stages of DFA, with a model for all clothing types or one for each type.

    Attributes:
        folder: where they lie, for messages.
        kinds: the stages by kind, see ``alignment.data.kinds_of``.
    """

    folder: Path
    kinds: Mapping[str, Regressor]

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Cascade":
        """Load all stages of a folder like ``models/dfa``; the first ones of the three are enough.

        Raises:
            FileNotFoundError: the folder has no first stage, one is missing before another, or a later
                one lacks a model.
            ValueError: a model is of another method, or was trained on people.
        """
        kinds = kinds_in(folder)
        if not kinds:
            raise FileNotFoundError(
                f"{folder}: no stages of DFA here; `fashion-ops dfa_stage` makes them in models/dfa"
            )
        if PERSON in kinds:
            raise people_only(folder)
        numbers = [n for n in NUMBERS if (folder / n).is_dir()]
        if missing := sorted(set(NUMBERS[: int(numbers[-1])]) - set(numbers)):
            raise FileNotFoundError(
                f"{folder / missing[0]}: is missing, and stage {numbers[-1]} goes on from it; "
                "`fashion-ops dfa_stage` makes it"
            )
        stages = {
            kind: Stages([TrainedStage.load(folder / n / kind, device) for n in numbers])
            for kind in kinds
        }
        return cls(folder, stages)

    def predict_garments(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        clothes_types: np.ndarray,
    ) -> list[PredictedLandmarks]:
        """Predict landmarks with P(visible) as score; arguments as of ``AlignmentMethod``.

        Raises:
            ValueError: there are models for some types, and none for the type of a garment.
        """
        found: dict[int, PredictedLandmarks] = {}
        for code in np.unique(clothes_types).tolist():
            rows, name = np.flatnonzero(clothes_types == code), CLOTHES_TYPES[code - 1]
            kind = JOINT if JOINT in self.kinds else name
            if kind not in self.kinds:
                raise ValueError(
                    f"{self.folder}: has models for {', '.join(self.kinds)} garments, none for {name} "
                    "ones; train them, or dfa_stage.per_type false, one for all"
                )
            slots = points_of_type(code).slots if kind == JOINT else slice(None)
            stages = self.kinds[kind]
            crops = Crops(image_ids[rows], boxes[rows], read_image, **stages.options)
            positions, visibility = stages.predict(crops)
            xy = frame_of(crops.frame, crops.windows).invert(positions.astype(np.float64))
            values = np.concatenate([xy, visibility[..., :1]], 2).astype(np.float32)
            states = visibility.argmax(-1)
            for at, row in enumerate(rows.tolist()):
                named = tuple(STATES[state] for state in states[at, slots])
                found[row] = PredictedLandmarks(values[at, slots], named)
        return [found[row] for row in range(len(boxes))]


def kinds_in(folder: Path) -> tuple[str, ...]:
    """The kinds of garments that a cascade has models for; empty where a folder holds none."""
    first = folder / NUMBERS[0]
    if not first.is_dir():
        return ()
    return tuple(sorted(path.name for path in first.iterdir() if is_stage(path)))
