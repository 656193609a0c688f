"""Unlabelled photos as a model sees them: how unsure it is of each garment, and the garments' shapes.

A landmark's uncertainty is its standard deviation over the size of its garment, where the model gives
deviations. Else it is what the head says: the deviations of SimCC and RLE, or of a heatmap the entropy
of its peaks (multiple peak entropy; Liu and Ferrari, ICCV 2017), and how much the highest lacks to 1.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from fashion_ops.catalog.reader import Catalog
from fashion_ops.inference.gain import NOTHING, Ranked, rank_by_gain, shape_embedding
from fashion_ops.inference.predictor import Garment, Predictor
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.crops import cut_crops
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.methods.top_down.decode import predict_heatmaps
from fashion_ops.methods.top_down.inference import BATCH, LandmarkPredictor
from fashion_ops.taxonomy import category

MOST_LABELLED = 2000
_NEAR = 5  # cells: side of the window in which only the highest is a peak
_LOWEST = 0.1  # of a peak, of the highest one


@dataclass(frozen=True)
class Seen:
    """What a model sees in a photo.

    Attributes:
        garments: best first.
        uncertainty: of each garment, from 0; where there is none, NaN.
        embeddings: of each garment; where there is none, ``NOTHING``.
    """

    garments: list[Garment]
    uncertainty: list[float]
    embeddings: list[np.ndarray]

    @property
    def lowest_score(self) -> float | None:
        """Of a landmark; None without garments."""
        return min((s for g in self.garments for *_, s in g.landmarks.values()), default=None)


def peak_uncertainty(heat: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k"]:
    """The entropy of each heatmap's peaks, nats, and what the highest peak lacks to 1.

    Args:
        heat: of ``predict_heatmaps``, with peaks near 1 where the network is confident.
    """
    heat = heat.float().clamp(0, 1)
    highest = heat.amax((2, 3), keepdim=True)
    is_peak = (F.max_pool2d(heat, _NEAR, 1, _NEAR // 2) == heat) & (heat >= _LOWEST * highest)
    share = torch.where(is_peak, heat, 0.0).flatten(2)
    share = share / share.sum(2, keepdim=True).clamp(min=1e-9)
    entropy = -(share * share.clamp(min=1e-9).log()).sum(2)
    return entropy + 1 - highest[..., 0, 0]


@torch.inference_mode()
def crop_uncertainty(
    landmarker: LandmarkPredictor, crops: UInt8[Tensor, "n 3 h w"], category_ids: np.ndarray
) -> Float[np.ndarray, " n"]:
    """How unsure a landmarker is of garments: the mean over their landmarks.

    Heads other than heatmaps have standard deviations; these count in sides of the crop.

    Args:
        landmarker: its network runs, on heatmaps without the flip test.
        crops: of the garments, as ``cut_crops`` returns them.
        category_ids: (N,) 1..13.
    """
    if landmarker.decoding.head != "heatmap":
        found = landmarker.predict_channels_and_stds(crops, category_ids)
        pairs = zip(category_ids.tolist(), found, strict=True)
        poses = [landmarker.grouping.ungroup(c, channels) for c, channels in pairs]
        each = [float(landmarker.landmark_stds(pose).mean()) for pose in poses]
        return np.array(each, float) / max(landmarker.crop)
    parts = []
    for batch in crops.split(BATCH):
        batch = normalize(batch.to(landmarker.device).float() / 255)
        with autocast(landmarker.spec["precision"], landmarker.device):
            heat = predict_heatmaps(landmarker.model, batch, None, **landmarker.spec["heatmap"])
        parts.append(peak_uncertainty(heat))
    rows = torch.cat(parts).cpu().numpy()  # the host waits for the network once
    pairs = zip(rows, category_ids.tolist(), strict=True)
    return np.array([row[landmarker.grouping.channels(c)].mean() for row, c in pairs], float)


def see(
    predictor: Predictor, photos: Sequence[Photo], min_score: float, variant: str | None = None
) -> Iterator[Seen]:
    """What a predictor sees in photos, which it is given together.

    Args:
        predictor: its landmarks give the shapes.
        photos: decoded.
        min_score: garments with a lower score are left out.
        variant: of the landmarks, see ``Predictor.predict``.
    """
    found = predictor.predict_many(photos, min_score, variant)
    unsure = _uncertainty(predictor.pipeline.universal, photos, found)
    yield from map(seen_garments, found, unsure)


def seen_garments(garments: list[Garment], uncertainty: Sequence[float]) -> Seen:
    """A photo in which a model found garments, or none."""
    if not garments:
        return Seen([], [np.nan], [NOTHING])
    shapes = [
        shape_embedding(category(g.category).id, np.array(list(g.landmarks.values()))[:, :2])
        for g in garments
    ]
    return Seen(garments, list(uncertainty), shapes)


def labelled_shapes(catalog: Catalog) -> Float[np.ndarray, "m d"]:
    """Embeddings of labelled garments of the training split, some ``MOST_LABELLED`` evenly taken."""
    garments = catalog.garments
    garments = garments[(garments["split"] == "train") & (garments["num_labelled"] > 0)]
    return labelled_rows(garments.iloc[:: max(len(garments) // MOST_LABELLED, 1)])


def labelled_rows(garments: pd.DataFrame) -> Float[np.ndarray, "m d"]:
    """Embeddings of rows of a catalog's garments, each with a labelled landmark.

    A landmark without a label counts as one in the middle of the others.
    """
    shapes = [np.zeros((0, len(NOTHING)))]
    pairs = zip(garments["category_id"].tolist(), garments["landmarks"], strict=True)
    for category_id, landmarks in pairs:
        points = np.array(landmarks, float).reshape(-1, 3)
        known = points[:, 2] > 0
        points[~known, :2] = points[known, :2].mean(0)
        shapes.append(shape_embedding(category_id, points[:, :2])[None])
    return np.concatenate(shapes)


def _uncertainty(
    landmarker: LandmarkPredictor, photos: Sequence[Photo], found: Sequence[list[Garment]]
) -> list[list[float]]:
    """Of each photo's garments, by their deviations, else by the landmarker, all crops together."""
    by_landmarker = [i for i, garments in enumerate(found) if not all(g.deviations for g in garments)]
    unsure = [
        [] if i in by_landmarker else [_relative_deviation(g) for g in garments]
        for i, garments in enumerate(found)
    ]
    if by_landmarker:
        boxes = [np.array([g.box for g in found[i]], np.float32) for i in by_landmarker]
        in_pixels = [
            photos[i].to_pixels(own.reshape(-1, 2)).reshape(-1, 4)
            for i, own in zip(by_landmarker, boxes, strict=True)
        ]
        owner = np.repeat(by_landmarker, [len(own) for own in boxes])
        matrices = landmarker.matrices(np.concatenate(in_pixels))
        crops = cut_crops(lambda i: photos[i].pixels, owner, matrices, landmarker.crop)
        ids = np.array([category(g.category).id for i in by_landmarker for g in found[i]])
        values = crop_uncertainty(landmarker, crops, ids)
        for i in by_landmarker:
            unsure[i] = values[owner == i].tolist()
    return unsure


def _relative_deviation(garment: Garment) -> float:
    """The mean over a garment's landmarks, in sides of a square with the area of its box."""
    x1, y1, x2, y2 = garment.box
    return float(np.mean(list(garment.deviations.values())) / max((x2 - x1) * (y2 - y1), 1) ** 0.5)


def rank_seen(
    photos: Iterable[Seen],
    labelled: Float[np.ndarray, "m d"] | None = None,
    count: int | None = None,
) -> Ranked:
    """Rank photos by what they are expected to teach, see ``rank_by_gain``.

    Where the model finds no garment, it is as unsure as of the mean garment: what is there may be no
    garment or one that it misses. As such photos look alike, few of them rank high.

    Args:
        photos: as the model sees them.
        labelled: embeddings of garments that are labelled already.
        count: rank so many; None for all.
    """
    every = list(photos)
    owner = np.repeat(np.arange(len(every)), [len(seen.uncertainty) for seen in every])
    unsure = np.array([u for seen in every for u in seen.uncertainty], float)
    known = unsure[~np.isnan(unsure)]
    unsure = np.nan_to_num(unsure, nan=float(known.mean()) if len(known) else 1.0)
    embeddings = np.array([e for seen in every for e in seen.embeddings]).reshape(-1, len(NOTHING))
    return rank_by_gain(owner, unsure, embeddings, labelled, count)
