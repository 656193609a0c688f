"""Grid search over the settings of post-processing: AP of any setting, and the search itself.

``PostprocessScorer`` runs images through the detector once and computes the AP of many settings from
what it keeps (``methods.centernet.candidates``). The AP equals that of ``Detector.detect`` with each
setting, scored by ``evaluation``. ``search`` knows nothing of images.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.coco import ground_truth
from fashion_ops.evaluation.instances import CategoryPoints, Detections, GroundTruth
from fashion_ops.evaluation.rescoring import box_aps, landmark_aps
from fashion_ops.evaluation.threshold import Threshold, best_threshold, right_detections
from fashion_ops.methods.centernet.candidates import Candidates, concatenate, decode_candidates
from fashion_ops.methods.centernet.decode import TOP, grouping_slots
from fashion_ops.methods.centernet.inference import BATCH, Detector
from fashion_ops.methods.centernet.nms import OverlapGroups, group_overlapping, nms_many
from fashion_ops.methods.parts.blocks import BlockRunner, EncodedImages, chunks
from fashion_ops.methods.parts.crops import apply_matrices, invert_matrices
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import CATEGORIES

PARAMETERS = ("sigma_center", "sigma_landmark", "gamma", "alpha")

Measure = Callable[[Sequence[PostProcess]], np.ndarray]  # settings to their landmark AP


@dataclass(frozen=True)
class SearchSpace:
    """Settings that differ only in the values of their parameters.

    Attributes:
        post: which techniques are on.
        sigma_center: all values that ``PostProcess.sigma_center`` may have.
        sigma_landmark: all values that ``PostProcess.sigma_landmark`` may have.
    """

    post: PostProcess
    sigma_center: tuple[float, ...]
    sigma_landmark: tuple[float, ...]

    @classmethod
    def of(
        cls, post: PostProcess, sigma_center: Iterable[float], sigma_landmark: Iterable[float]
    ) -> "SearchSpace":
        """Make a space; if ``post.smooth`` is off, the sigmas have no effect and are ignored."""
        if not post.smooth:
            return cls(post, (0.0,), (0.0,))
        return cls(post, tuple(sigma_center), tuple(sigma_landmark))


@dataclass(frozen=True)
class PostprocessScorer:
    """AP of any setting of a search space on some images; made by ``build_scorers``.

    Attributes:
        space: the settings it can score.
        candidates: all garments that any setting predicts, in image pixels.
        clipped_boxes: (U, 4) boxes of the candidates, clipped to the image.
        overlaps: groups of candidates between which NMS acts.
        coco_ids: (U,) COCO id of each candidate's image.
        truth: the garments on the images.
        threshold: detections with a lower score are left out.
    """

    space: SearchSpace
    candidates: Candidates
    clipped_boxes: np.ndarray
    overlaps: OverlapGroups
    coco_ids: np.ndarray
    truth: GroundTruth
    threshold: float

    def landmark_aps(self, posts: Sequence[PostProcess]) -> np.ndarray:
        """Compute the landmark AP (S,) of S settings, in the boxes that the detector predicts."""
        return self._score(posts, lambda d, scores: landmark_aps(self.truth, d, scores))

    def box_aps(self, posts: Sequence[PostProcess]) -> np.ndarray:
        """Compute the box AP (S,) of S settings."""
        return self._score(posts, lambda d, scores: box_aps(self.truth, d, self.clipped_boxes, scores))

    def threshold_of(self, post: PostProcess) -> Threshold | None:
        """Choose the score from which on garments are reported with a setting, by the highest F1.

        The scores are those of the centres alone, as landmarkers that follow the detector take them.
        None if the detector finds no garment of these images.
        """
        own = self._scores(post.model_copy(update={"rescore": False}))
        scores = nms_many(own[None], self.overlaps)[0]
        kept = scores >= self.threshold
        of_kept = self.coco_ids[kept], self.candidates.category[kept], self.clipped_boxes[kept]
        right = right_detections(self.truth, *of_kept, scores[kept])
        return best_threshold(scores[kept], right, len(self.truth.ids))

    def _score(
        self, posts: Sequence[PostProcess], ap: Callable[[Detections, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Compute an AP (S,) of S settings; those with the same landmarks share a call of ``ap``.

        Args:
            posts: the settings.
            ap: takes the detections that settings share and their scores (V, U), one row a setting and
                -1 where it lacks a detection; returns the AP (V,).
        """
        aps = np.zeros(len(posts))
        same_landmarks = pd.DataFrame([(p.sigma_landmark, p.gamma) for p in posts]).groupby([0, 1])
        for rows in same_landmarks.indices.values():
            scores = nms_many(np.stack([self._scores(posts[r]) for r in rows]), self.overlaps)
            scores = np.where(scores < self.threshold, -1, scores)
            aps[rows] = ap(self._detections(posts[rows[0]]), scores)
        return aps

    def _scores(self, post: PostProcess) -> np.ndarray:
        """Compute the scores (U,) before NMS, negative where the setting finds no garment."""
        center = self.space.sigma_center.index(post.sigma_center) if post.smooth else 0
        return self.candidates.scores(center, self._sigma_landmark(post), post)

    def _sigma_landmark(self, post: PostProcess) -> int:
        """Find the index of the setting's ``sigma_landmark`` in the space."""
        return self.space.sigma_landmark.index(post.sigma_landmark) if post.smooth else 0

    def _detections(self, post: PostProcess) -> Detections:
        """Make detections of all candidates with the setting's landmarks, without scores and areas."""
        categories = [CATEGORIES[k - 1] for k in self.candidates.category]
        points = CategoryPoints(
            landmarks=self.candidates.points(self._sigma_landmark(post), post),
            first=np.array([c.slots.start for c in categories], int),
            count=np.array([c.num_landmarks for c in categories], int),
            center=(self.clipped_boxes[:, :2] + self.clipped_boxes[:, 2:]) / 2,
        )
        unused = np.zeros(len(categories))  # ``evaluation.rescoring`` reads no scores and no areas
        return Detections(self.coco_ids, self.candidates.category, unused, unused, points)


Scored = list[tuple[Candidates, np.ndarray]]  # candidates and their clipped boxes, by search space


@dataclass(frozen=True)
class CandidateBlock:
    """A batch of images to find candidates on; only these leave the process, not the maps."""

    images: EncodedImages
    spaces: tuple[SearchSpace, ...]

    @torch.inference_mode()
    def predict(self, models: Detector) -> Scored:
        """Find the candidates of each space; ``Candidates.image`` counts within the block."""
        slots, threshold = grouping_slots(models.grouping), models.spec["score_threshold"]
        pixels = [self.images(i) for i in self.images.data]
        inputs, matrices = models.letterbox(pixels)
        limits = np.array([[p.shape[1] - 1, p.shape[0] - 1] * 2 for p in pixels])
        maps = models.maps(inputs)
        slots = slots.to(maps["hm"].device)
        found = []
        for space in self.spaces:
            sigmas = space.sigma_center, space.sigma_landmark
            candidates = decode_candidates(maps, slots, space.post, *sigmas, threshold, TOP)
            candidates = _to_images(candidates, invert_matrices(matrices))
            boxes = candidates.boxes.clip(0, limits[candidates.image])
            found.append((candidates, boxes.astype(np.float32)))
        return found


@dataclass(frozen=True)
class LoadDetector:
    """Loads CenterNet with some post-processing from its folder: a ``Load``."""

    post: PostProcess

    def __call__(self, folders: Sequence[Path], device: torch.device) -> Detector:
        """Load the detector of the only folder."""
        return Detector.load(folders[0], device, post=self.post)


def build_scorers(
    runner: BlockRunner,
    catalog: Catalog,
    images: pd.DataFrame,
    garments: pd.DataFrame,
    spaces: Sequence[SearchSpace],
    threshold: float,
) -> list[PostprocessScorer]:
    """Run the detector on images once and make a scorer for each search space.

    Memory: the maps of one batch, and for each image at most ``TOP`` candidates per ``sigma_center``.
    A candidate holds up to 39 points per ``sigma_landmark``: 6.5 kB with 21 values of it.

    Args:
        runner: its models are a ``Detector``, whose ``post.flip`` says whether maps are merged with
            those of the mirrored images.
        catalog: of the images.
        images: rows of the catalog's images, of one split.
        garments: rows of the catalog's garments, all that are on these images.
        spaces: the settings to score.
        threshold: the detector's ``score_threshold``.

    Returns:
        The scorers, in the order of ``spaces``.
    """
    blocks = (
        (f"images {n}", CandidateBlock(EncodedImages.of(catalog, rows["image_id"]), tuple(spaces)))
        for n, rows in enumerate(chunks(images, BATCH))
    )
    total = -(-len(images) // BATCH)
    results: dict[str, Scored] = runner.run(blocks, "heatmaps", total)
    truth = ground_truth(images, garments)
    coco_ids = images["coco_id"].to_numpy()
    scorers = []
    for index, space in enumerate(spaces):
        parts = [results[f"images {n}"][index] for n in range(total)]
        c = concatenate([replace(p, image=p.image + n * BATCH) for n, (p, _) in enumerate(parts)])
        overlaps = group_overlapping(c.image, c.category, c.boxes, space.post.nms)
        boxes = np.concatenate([clipped for _, clipped in parts])
        scorers.append(
            PostprocessScorer(space, c, boxes, overlaps, coco_ids[c.image], truth, threshold)
        )
    return scorers


def _to_images(c: Candidates, inverse: np.ndarray) -> Candidates:
    """Move candidates from input to image pixels by the affine matrices (B, 2, 3) of the B images."""
    matrices = inverse[c.image]

    def move(points: np.ndarray) -> np.ndarray:
        moved = apply_matrices(matrices, points.reshape(len(matrices), -1, 2))
        return moved.reshape(points.shape).astype(np.float32)

    return replace(
        c, boxes=move(c.boxes), coarse=move(c.coarse), refined=np.stack([move(p) for p in c.refined])
    )


def grid(step: float, start: float) -> tuple[float, ...]:
    """Values from 0 to 1 in steps, and ``start``, from which the search begins; sorted, each once."""
    return tuple(sorted({*np.arange(0, 1 + 1e-9, step).round(6).tolist(), start}))


@dataclass(frozen=True)
class SearchResult:
    """Outcome of a grid search.

    Attributes:
        best: the best setting.
        tried: settings by the name of the parameter that varies in them: all values of gamma and of
            alpha, and those of each sigma with the other sigma at its best value.
        sigmas: AP (sigma_landmark, sigma_center) of all pairs; None if smoothing is off.
    """

    best: PostProcess
    tried: dict[str, list[PostProcess]]
    sigmas: np.ndarray | None


def search(measure: Measure, start: PostProcess, step: float) -> SearchResult:
    """Search both sigmas together, then gamma, then alpha, each with the best so far (DeepMark++ 4.1).

    Of equally good settings the one nearest to ``start`` wins, so a parameter without effect keeps its
    value.
    Parameters of a technique that is off are not searched.

    Args:
        measure: computes the landmark AP of settings.
        start: the setting to start with.
        step: of each parameter, over 0..1.
    """
    best, sigmas = start, None
    tried: dict[str, list[PostProcess]] = {}
    if start.smooth:
        centers, landmarks = grid(step, start.sigma_center), grid(step, start.sigma_landmark)
        settings = [
            start.model_copy(update={"sigma_landmark": a, "sigma_center": b})
            for a, b in product(landmarks, centers)
        ]
        aps = measure(settings)
        best = _nearest_best(settings, aps, start)
        sigmas = aps.reshape(len(landmarks), len(centers))
        tried["sigma_center"] = [best.model_copy(update={"sigma_center": b}) for b in centers]
        tried["sigma_landmark"] = [best.model_copy(update={"sigma_landmark": a}) for a in landmarks]
    for name, is_on in (("gamma", start.blend), ("alpha", start.rescore)):
        if is_on:
            values = grid(step, getattr(start, name))
            tried[name] = [best.model_copy(update={name: v}) for v in values]
            best = _nearest_best(tried[name], measure(tried[name]), start)
    return SearchResult(best, tried, sigmas)


def _nearest_best(settings: list[PostProcess], aps: np.ndarray, start: PostProcess) -> PostProcess:
    """Choose the setting of the highest AP; of equal ones the nearest to ``start``."""

    def distance(post: PostProcess) -> float:
        return round(sum((getattr(post, n) - getattr(start, n)) ** 2 for n in PARAMETERS), 9)

    return min(zip(settings, aps, strict=True), key=lambda pair: (-pair[1], distance(pair[0])))[0]
