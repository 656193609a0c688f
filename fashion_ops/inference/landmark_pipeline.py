"""The landmark models of a bundle, run one after another on the same crops.

``universal`` serves all categories, ``finetuned`` holds a copy of it trained for one category, and
``refined`` a PoseFix model per category that corrects the finetuned landmarks. These three are the
variants of a prediction.

Where a model was trained with a shape prior, its landmarks are corrected by it at the end
(``parts.shape_prior``) and have deviations. A refiner is given landmarks as the network has them, as in
its training.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fashion_ops.errors.reading import read_object
from fashion_ops.methods.parts.crops import cut_crops, invert_matrices, to_image
from fashion_ops.methods.parts.shape_prior import apply_priors
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.decode import pose_score
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import CATEGORIES

VARIANTS = ("universal", "finetuned", "refined")
LISTED = "variants.json"  # beside the landmarker of a bundle that lacks some of them


class ScoredLandmarks(NamedTuple):
    """The landmarks of N garments.

    Attributes:
        landmarks: of each garment (num_landmarks, 3) x, y, score.
        scores: (N,) of the garments.
        deviations: of each garment the standard deviations (num_landmarks,) of its landmarks in each
            direction, in the unit of x and y; empty without a shape prior.
    """

    landmarks: list[np.ndarray]
    scores: np.ndarray
    deviations: list[np.ndarray]


def average(members: Sequence[ScoredLandmarks]) -> ScoredLandmarks:
    """Average the landmarks and scores that several models predict for the same garments.

    The deviations too, as the errors of models of the same data are no independent ones. Where a model
    has none, the mean has none.
    """
    landmarks = [np.mean(poses, 0) for poses in zip(*(m.landmarks for m in members), strict=True)]
    deviations = [
        np.mean(each, 0) if all(map(len, each)) else np.zeros(0, np.float32)
        for each in zip(*(m.deviations for m in members), strict=True)
    ]
    return ScoredLandmarks(landmarks, np.mean([m.scores for m in members], 0), deviations)


@dataclass(frozen=True)
class LandmarkPipeline:
    """The universal landmarker, and the finetuned landmarker and refiner of each category id."""

    universal: LandmarkPredictor
    finetuned: dict[int, LandmarkPredictor]
    refined: dict[int, Refiner]

    @classmethod
    def load(
        cls, bundle: Path, device: torch.device, variants: Sequence[str] | None = None
    ) -> "LandmarkPipeline":
        """Load the models of a bundle that ``variants`` need, for every category, onto ``device``.

        None takes the variants of the bundle, see ``variants_of``.

        Raises:
            FileNotFoundError: a model is missing; names the folder.
            ValueError: a model is of another method, or was trained for other crops or another grouping
                than the universal one.
        """
        variants = variants_of(bundle) if variants is None else variants
        universal = LandmarkPredictor.load(bundle / "landmarker", device)
        finetuned, refined = {}, {}
        for c in CATEGORIES:
            if {"finetuned", "refined"} & set(variants):
                folder = bundle / "finetuned" / c.name
                finetuned[c.id] = LandmarkPredictor.load(folder, device)
                _check_matches(folder, finetuned[c.id].spec, universal.spec, c.name)
            if "refined" in variants:
                folder = bundle / "refined" / c.name
                refined[c.id] = Refiner.load(folder, device)
                _check_matches(folder, refined[c.id].spec, universal.spec, c.name)
        return cls(universal, finetuned, refined)

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that it predicts, the best one last."""
        models = zip(VARIANTS, ({0: self.universal}, self.finetuned, self.refined), strict=True)
        return tuple(name for name, of_category in models if of_category)

    def predict(
        self,
        read_image: Callable[[int], np.ndarray],
        image_ids: np.ndarray,
        boxes: np.ndarray,
        category_ids: np.ndarray,
        variants: Sequence[str] = VARIANTS,
        score: str = "own",
        *,
        detected: bool = True,
    ) -> dict[str, ScoredLandmarks]:
        """Predict landmarks and a score for every garment.

        Args:
            read_image: image id -> RGB uint8 (H, W, 3).
            image_ids: (N,) image of each garment; equal ids should be adjacent.
            boxes: (N, 4) x1, y1, x2, y2 in pixels of the image.
            category_ids: (N,) 1..13.
            variants: which of ``VARIANTS`` to return.
            score: which heatmap peaks the score of a garment is the mean of: ``own`` takes those of its
                category's landmarks, ``all`` those of every channel. A refiner has no heatmap peaks;
                its landmarks keep the score of the finetuned ones.
            detected: whether a detector gave the boxes, so that a shape prior takes them for inexact.

        Returns:
            Landmarks in pixels of the image, by variant.
        """
        matrices = self.universal.matrices(boxes)
        crops = cut_crops(read_image, image_ids, matrices, self.universal.crop)
        inverse = invert_matrices(matrices)
        predictions = {
            v: ScoredLandmarks(
                [np.empty(0)] * len(boxes), np.zeros(len(boxes)), [np.empty(0)] * len(boxes)
            )
            for v in variants
        }

        def store(
            variant: str,
            rows: np.ndarray,
            poses: Sequence[np.ndarray],
            scores: np.ndarray,
            model: LandmarkPredictor | Refiner,
            stds: Sequence[np.ndarray],
        ) -> None:
            if variant not in predictions:
                return
            kept = predictions[variant]
            kept.scores[rows] = scores
            garments = boxes[rows], category_ids[rows]
            corrected = apply_priors(model.used_priors, poses, stds, *garments, detected=detected)
            for row, pose, deviations in zip(rows, *corrected, strict=True):
                kept.landmarks[row], kept.deviations[row] = pose, deviations

        def in_pixels(stds: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
            scales = inverse[rows, 0, 0]  # crops are scaled alike along both axes
            return [of_garment * s for of_garment, s in zip(stds, scales, strict=True)]

        def in_image(poses: Sequence[np.ndarray], rows: np.ndarray) -> list[np.ndarray]:
            return [to_image(pose, inverse[row]) for row, pose in zip(rows, poses, strict=True)]

        if "universal" in variants:
            poses, scores, stds = _predict_crops(self.universal, crops, category_ids, score)
            rows = np.arange(len(boxes))
            found = in_image(poses, rows), scores, self.universal, in_pixels(stds, rows)
            store("universal", rows, *found)
        if {"finetuned", "refined"} & set(variants):
            for c in np.unique(category_ids):
                rows = np.flatnonzero(category_ids == c)
                of_category = crops[rows]
                landmarker = self.finetuned[int(c)]
                poses, scores, stds = _predict_crops(landmarker, of_category, category_ids[rows], score)
                finetuned, stds = in_image(poses, rows), in_pixels(stds, rows)
                store("finetuned", rows, finetuned, scores, landmarker, stds)
                if "refined" not in variants:
                    continue
                refiner = self.refined[int(c)]
                if refiner.cuts_own_crops:
                    garments = image_ids[rows], boxes[rows], np.stack(finetuned)
                    refined = list(refiner.refine_garments(read_image, *garments))
                else:
                    in_crop = refiner.refine(of_category, torch.from_numpy(np.stack(poses)))
                    refined = in_image(list(in_crop.cpu().numpy()), rows)
                store("refined", rows, refined, scores, refiner, stds)
        return predictions


def variants_of(bundle: Path) -> tuple[str, ...]:
    """The variants that a bundle has models for: those in ``variants.json``, or else all.

    Raises:
        ValueError: the file lists none, or others.
    """
    path = bundle / "landmarker" / LISTED
    if not path.is_file():
        return VARIANTS
    listed = read_object(path, "variants")["variants"]
    known = isinstance(listed, list) and tuple(v for v in VARIANTS if v in listed)
    if not known or len(known) != len(listed):
        raise ValueError(f"{path}: variants is {listed!r}, must list some of {', '.join(VARIANTS)}")
    return known


def load_pipelines(folders: Sequence[Path], device: torch.device) -> list[LandmarkPipeline]:
    """Load all variants of the first bundle, and what an ensemble needs of the further ones."""
    first, *further = folders
    ensemble = [LandmarkPipeline.load(folder, device, ("finetuned",)) for folder in further]
    return [LandmarkPipeline.load(first, device), *ensemble]


def _predict_crops(
    model: LandmarkPredictor, crops: torch.Tensor, category_ids: np.ndarray, score: str
) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Predict for crops of garments: landmarks, garment scores as ``score`` says, deviations.

    The deviations of the landmarks are in each direction; both in crop pixels.
    """
    if score == "own":
        poses = scored = model.predict_own(crops, category_ids)
    else:
        scored = model.predict_channels_and_stds(crops, category_ids)
        pairs = zip(category_ids, scored, strict=True)
        poses = [model.grouping.ungroup(int(c), channels) for c, channels in pairs]
    stds = [model.landmark_stds(pose) for pose in poses]
    scores = np.array([pose_score(pose) for pose in scored])
    return [pose[:, :3] for pose in poses], scores, stds


def _check_matches(
    folder: Path, spec: dict[str, Any], universal: dict[str, Any], category_name: str
) -> None:
    """Check that the model of a category works on the crops and channels of the universal one.

    Args:
        folder: of the category's model, for the message.
        spec: its ``model.json``.
        universal: ``model.json`` of the universal landmarker.
        category_name: also allowed as the grouping.

    Raises:
        ValueError: crop, padding or grouping differ.
    """
    for name in ("crop", "padding", "grouping"):
        value, expected = spec.get(name), universal[name]
        if value not in (None, expected) and (name, value) != ("grouping", category_name):
            raise ValueError(
                f"{folder}: made for {name} {value}, the landmarker beside it has {expected}"
            )
