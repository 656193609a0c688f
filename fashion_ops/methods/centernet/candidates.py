"""All garments that any of many post-processing settings would find, decoded once for a grid search.

The cell of a centre, its box and its displacements do not depend on the parameters of the techniques.
``sigma_center`` decides whether a cell is a peak and its score; ``sigma_landmark`` decides where each
landmark lies and its score. So the landmarks of the union of all peaks are read once for each
``sigma_landmark``, and every setting is then a selection of rows and a sum of two scores. That takes a
thousandth of the memory of the maps, which need not be kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fashion_ops.methods.centernet.decode import Instances, find_centers, measure
from fashion_ops.methods.centernet.landmarks import Maps, smooth
from fashion_ops.params import PostProcess


@dataclass(frozen=True)
class Candidates:
    """U candidate garments of several images, made by ``decode_candidates`` in input pixels.

    There are C values of ``sigma_center`` and L of ``sigma_landmark``.

    Attributes:
        image: index of each candidate's image.
        category: category id, 1..13.
        boxes: x1, y1, x2, y2.
        coarse: M landmarks where the centre's displacements put them.
        center_score: value of the centre heatmap; negative where the cell is no peak or is below the
            threshold.
        refined: landmarks refined on the heatmaps.
        landmark_score: mean score of the refined landmarks.
    """

    image: Int[np.ndarray, " u"]
    category: Int[np.ndarray, " u"]
    boxes: Float[np.ndarray, "u 4"]
    coarse: Float[np.ndarray, "u m 2"]
    center_score: Float[np.ndarray, "c u"]
    refined: Float[np.ndarray, "l u m 2"]
    landmark_score: Float[np.ndarray, "l u"]

    def scores(self, center: int, landmark: int, post: PostProcess) -> Float[np.ndarray, " u"]:
        """Compute the scores before NMS, rescored by technique 1 if ``post.rescore``.

        Scores are negative where the setting finds no garment.

        Args:
            center: index of ``post.sigma_center`` among the C values.
            landmark: index of ``post.sigma_landmark`` among the L values.
            post: the setting.
        """
        score = self.center_score[center]
        if not post.rescore:
            return score
        mixed = post.alpha * score + (1 - post.alpha) * self.landmark_score[landmark]
        return np.where(score < 0, np.float32(-1), mixed)

    def points(self, landmark: int, post: PostProcess) -> Float[np.ndarray, "u m 2"]:
        """Compute the landmarks, blended (technique 3) if ``post.blend``; arguments of ``scores``."""
        if not post.blend:
            return self.refined[landmark]
        return post.gamma * self.refined[landmark] + (1 - post.gamma) * self.coarse


def decode_candidates(
    maps: Maps,
    slots: Int[Tensor, "13 m"],
    post: PostProcess,
    sigma_center: Sequence[float],
    sigma_landmark: Sequence[float],
    min_score: float,
    top: int,
) -> Candidates:
    """Decode every garment that ``decode`` finds with at least one of these sigmas.

    Args:
        maps: of a batch, as ``decode`` takes them.
        slots: of ``grouping_slots``.
        post: which techniques are on; its sigmas, gamma and alpha are ignored.
        sigma_center: smoothing of the centre maps (technique 2), cells; 0 does not smooth.
        sigma_landmark: smoothing of the landmark maps, cells.
        min_score: centres with a lower score are ignored.
        top: most garments of an image for each ``sigma_center``.
    """
    b, categories, h, w = maps["hm"].shape
    best = torch.full((len(sigma_center), b * categories * h * w), -1.0, device=maps["hm"].device)
    first = torch.arange(b, device=best.device)[:, None] * (categories * h * w)
    for row, sigma in zip(best, sigma_center, strict=True):
        score, category, x, y = find_centers(smooth(maps["hm"], sigma), top)
        cell = first + (category * h + y) * w + x
        kept = score >= max(min_score, 1e-9)
        row[cell[kept]] = score[kept]
    cells = (best >= 0).any(0).nonzero()[:, 0]
    category = cells // (h * w) % categories
    owner, slot = (slots[category] >= 0).nonzero(as_tuple=True)
    garments = Instances(
        cells // (categories * h * w),
        cells % w,
        cells // w % h,
        category,
        best[:, cells].amax(0),
        owner,
        slot,
        slots[category[owner], slot],
    )

    def read(sigma: float, **settings: float) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, mean landmark scores and landmarks with this ``sigma_landmark``."""
        sharp = {**maps, "hm_hp": smooth(maps["hm_hp"], sigma)}
        only_landmarks = {"rescore": True, "alpha": 0.0, "blend": True, **settings}
        return measure(sharp, garments, slots.shape[1], post.model_copy(update=only_landmarks), False)

    boxes, _, coarse = read(0.0, gamma=0.0)
    each_sigma = [read(sigma, gamma=1.0) for sigma in sigma_landmark]
    return Candidates(
        image=garments.image.cpu().numpy(),
        category=category.cpu().numpy() + 1,
        boxes=boxes.cpu().numpy(),
        coarse=coarse[..., :2].cpu().numpy(),
        center_score=best[:, cells].cpu().numpy(),
        refined=np.stack([landmarks[..., :2].cpu().numpy() for _, _, landmarks in each_sigma]),
        landmark_score=np.stack([score.cpu().numpy() for _, score, _ in each_sigma]),
    )


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """Join the candidates of several batches; ``image`` stays as it is in each."""

    def join(name: str) -> np.ndarray:
        axis = 1 if name in ("center_score", "refined", "landmark_score") else 0
        return np.concatenate([getattr(part, name) for part in parts], axis)

    return Candidates(**{field.name: join(field.name) for field in fields(Candidates)})
