"""The four localisations of section 4.4 and their features.

Boxes are those of the annotations; joints and landmarks are found by networks of one kind (GLE), one
trained on FLD's joints and one on its landmarks. The trunk of the latter gives the features of all
four, unless the settings name a backbone with ImageNet's weights, as the paper's "off-the-shelf" ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.methods.alignment.gle.config import GLEConfig
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.gle.model import make_backbone
from fashion_ops.methods.alignment.gle.training import train_gle
from fashion_ops.params import read_yaml
from fashion_ops.progress import track
from fashion_ops.taxonomy.alignment import point_set
from papers.alignment import load_fld, open_source
from papers.applications.features import Places, extract, garment_boxes, patches, whole_images
from papers.config import Request

ROWS = ("full image", "bbox", "human joints", "fashion landmarks")
SIZE, PATCH = 96, 32  # pixels of a whole image or box, and of a patch
SURE = 0.1  # height of the peak from which a joint is there


@dataclass(frozen=True)
class Localiser:
    """Networks that find joints and landmarks, and the trunk that describes what is there."""

    landmarks: GLEPredictor
    joints: GLEPredictor
    trunk: nn.Sequential
    name: str

    def features(self, catalog: AlignmentCatalog, points: AlignmentLandmarks) -> dict[str, np.ndarray]:
        """Features (N, F) of these garments by localisation; F differs."""
        work = track(self._places(catalog, points).items(), "features", len(ROWS))
        return {
            row: extract(self.trunk, catalog.image, points.image_id, places) for row, places in work
        }

    def _places(self, catalog: AlignmentCatalog, points: AlignmentLandmarks) -> dict[str, Places]:
        sizes = catalog.images.set_index("image_id").loc[points.image_id, ["width", "height"]]
        joints = self.joints.predict(catalog.image, points.image_id, points.box)
        landmarks = self.landmarks.predict(catalog.image, points.image_id, points.box)
        return {
            "full image": whole_images(sizes.to_numpy(np.float64), SIZE),
            "bbox": garment_boxes(points.box, SIZE),
            "human joints": patches(joints[..., :2], joints[..., 2] > SURE, points.box, PATCH),
            "fashion landmarks": patches(landmarks[..., :2], points.present, points.box, PATCH),
        }


def train_localiser(request: Request) -> Localiser:
    """Both networks, trained on FLD's training garments.

    Raises:
        FileNotFoundError: there is no catalog of FLD yet.
        ValueError: FLD has no joints.
    """
    data = load_fld(request)
    settings = GLEConfig() if request.config is None else read_yaml(GLEConfig, request.config)
    if request.epochs is not None:
        settings = settings.model_copy(update={"epochs": request.epochs, "lr_steps": None})
    landmarks = train_gle(settings, data.train, data.catalog.image, seed=request.params.seed)
    joints = train_gle(
        settings,
        joints_of(data.catalog, data.train),
        data.catalog.image,
        landmarks="lsp14",
        seed=request.params.seed,
    )
    if settings.pretrained:
        trunk, name = make_backbone(settings.backbone, settings.pretrained)[0], settings.pretrained
    else:
        trunk, name = landmarks.model.trunk, "FLD's landmarks"
    assert isinstance(trunk, nn.Sequential)
    said = f"{settings.backbone} trained on {name}, {settings.epochs} epochs"
    return Localiser(landmarks, joints, trunk, said)


def joints_of(catalog: AlignmentCatalog, points: AlignmentLandmarks) -> AlignmentLandmarks:
    """The same garments with their person's 14 joints in place of the landmarks.

    Garments without joints (nobody wears them) are left out.

    Raises:
        ValueError: none has any.
    """
    own = catalog.garments.set_index("garment_id").loc[points.garment_id, "joints"]
    rows = np.flatnonzero([len(j) > 0 for j in own])
    if not len(rows):
        raise ValueError(f"{catalog.folder}: no garment has joints (list_joints.txt)")
    found = np.stack([np.asarray(own.iloc[i], np.float64) for i in rows]).reshape(len(rows), -1, 3)
    if found.shape[1] != point_set("lsp14").num_points:
        raise ValueError(f"{catalog.folder}: {found.shape[1]} joints a garment, expected 14")
    kept = points.take(rows)
    visibility = found[..., 2].astype(np.int8)
    return AlignmentLandmarks(
        **{
            **vars(kept),
            "xy": found[..., :2],
            "visibility": visibility,
            "present": np.ones_like(visibility, bool),
        }
    )


def described(catalog: AlignmentCatalog, splits: Sequence[str]) -> str:
    """What is judged, in words."""
    counts = catalog.garments["split"].value_counts()
    return f"{catalog.folder.name}, " + ", ".join(f"{int(counts.get(s, 0))} {s}" for s in splits)


__all__ = ["ROWS", "Localiser", "described", "joints_of", "open_source", "train_localiser"]
