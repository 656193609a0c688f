"""The four localisations of section 4.4 and their features.

Boxes come from the annotations, and nothing else does. Two GLE networks predict joints and landmarks,
one trained on FLD's joints and one on its landmarks; a perceptron predicts which landmarks a garment
shows. The backbone of the landmarks' network extracts the features of all four, unless the settings
name a backbone with ImageNet's weights, like the paper's "off-the-shelf" ones. Networks that were
trained before, for whichever table, are read from ``.checkpoints/applications``.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import nn

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.gle.model import make_backbone
from fashion_ops.methods.alignment.gle.training import save_gle, train_gle
from fashion_ops.params import GLEConfig, read_yaml
from fashion_ops.progress import track
from fashion_ops.taxonomy.alignment import point_set
from papers.alignment import load_fld
from papers.applications.features import Places, extract, garment_boxes, patches, whole_images
from papers.applications.presence import Presence
from papers.config import TableConfig

ROWS = ("full image", "bbox", "human joints", "fashion landmarks")
SIZE, PATCH = 96, 32  # pixels of a whole image or box, and of a patch
MIN_CONFIDENCE = 0.1  # of a joint that counts as predicted


@dataclass(frozen=True)
class Localiser:
    """Networks for joints and landmarks, and the backbone that extracts features.

    Attributes:
        landmarks: predicts the 8 slots of FLD.
        joints: predicts 14 human joints.
        backbone: extracts the features.
        presence: predicts which landmarks a garment shows, from the features of its box.
        name: backbone and training, in words.
    """

    landmarks: GLEPredictor
    joints: GLEPredictor
    backbone: nn.Sequential
    presence: Presence
    name: str

    def features(self, catalog: AlignmentCatalog, points: AlignmentLandmarks) -> dict[str, np.ndarray]:
        """Features (N, F) of these garments by localisation; F depends on the localisation.

        Of the annotations they depend on the boxes only.
        """
        box = extract(self.backbone, catalog.image, points.image_id, garment_boxes(points.box, SIZE))
        places = self._places(catalog, points, self.presence.predict(box))
        work = track(ROWS, "features", len(ROWS))
        return {
            row: box
            if row == "bbox"
            else extract(self.backbone, catalog.image, points.image_id, places[row])
            for row in work
        }

    def _places(
        self, catalog: AlignmentCatalog, points: AlignmentLandmarks, present: Bool[np.ndarray, "n 8"]
    ) -> dict[str, Places]:
        sizes = catalog.images.set_index("image_id").loc[points.image_id, ["width", "height"]]
        joints = self.joints.predict(catalog.image, points.image_id, points.box)
        landmarks = self.landmarks.predict(catalog.image, points.image_id, points.box)
        return {
            "full image": whole_images(sizes.to_numpy(np.float64), SIZE),
            "human joints": patches(
                joints[..., :2], joints[..., 2] > MIN_CONFIDENCE, points.box, PATCH
            ),
            "fashion landmarks": patches(landmarks[..., :2], present, points.box, PATCH),
        }


Localisers = Callable[[int], Localiser]  # of a seed


def train_localiser(config: TableConfig, seed: int) -> Localiser:
    """Train both networks and the presence of landmarks on FLD's training garments.

    Args:
        config: options of the table.
        seed: of all three.

    Raises:
        FileNotFoundError: the catalog of FLD does not exist yet.
        ValueError: FLD has no joints.
    """
    data = load_fld(config)
    settings = (
        GLEConfig() if config.training_config is None else read_yaml(GLEConfig, config.training_config)
    )
    if config.epochs is not None:
        settings = settings.with_epochs(config.epochs)
    digest = hashlib.sha256(settings.model_dump_json().encode())
    digest.update((data.catalog.folder / "garments.parquet").read_bytes())
    folder = config.ws.checkpoints / "applications" / f"{digest.hexdigest()[:16]}-seed{seed}"
    image, options = data.catalog.image, config.training
    landmarks = _trained(
        folder / "landmarks",
        config.device,
        lambda: train_gle(settings, data.train, image, seed=seed, options=options),
    )
    joints = _trained(
        folder / "joints",
        config.device,
        lambda: train_gle(
            settings,
            joints_of(data.catalog, data.train),
            image,
            landmarks="lsp14",
            seed=seed,
            options=options,
        ),
    )
    backbone, data_name = landmarks.model.trunk, "FLD's landmarks"
    if settings.pretrained:
        backbone, _ = make_backbone(settings.backbone, settings.pretrained)
        data_name = settings.pretrained
    assert isinstance(backbone, nn.Sequential)
    boxes = garment_boxes(data.train.box, SIZE)
    features = extract(backbone, image, data.train.image_id, boxes)
    presence = Presence.train(features, data.train.observed, seed)
    name = f"{settings.backbone} trained on {data_name}, {settings.epochs} epochs"
    return Localiser(landmarks, joints, backbone, presence, name)


def _trained(folder: Path, device: torch.device, train: Callable[[], GLEPredictor]) -> GLEPredictor:
    """Read a network from its folder; train and save it if it is missing."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        save_gle(folder, train())
    return GLEPredictor.load(folder, device)


def joints_of(catalog: AlignmentCatalog, points: AlignmentLandmarks) -> AlignmentLandmarks:
    """The same garments with their person's 14 joints in place of the landmarks.

    Garments that nobody wears have no joints and are left out.

    Raises:
        ValueError: no garment has joints, or one has another number than 14.
    """
    column = catalog.garments.set_index("garment_id").loc[points.garment_id, "joints"]
    rows = np.flatnonzero([len(joints) > 0 for joints in column])
    if not len(rows):
        raise ValueError(f"{catalog.folder}: no garment has joints (list_joints.txt)")
    joints = np.stack([np.asarray(column.iloc[i], np.float64) for i in rows]).reshape(len(rows), -1, 3)
    if joints.shape[1] != point_set("lsp14").num_points:
        raise ValueError(f"{catalog.folder}: {joints.shape[1]} joints a garment, expected 14")
    kept = points.take(rows)
    visibility = joints[..., 2].astype(np.int8)
    return AlignmentLandmarks(
        **{
            **vars(kept),
            "xy": joints[..., :2],
            "visibility": visibility,
            "present": np.ones_like(visibility, bool),
        }
    )


def describe(catalog: AlignmentCatalog, splits: Sequence[str]) -> str:
    """A catalog and its number of garments of some splits, in words."""
    counts = catalog.garments["split"].value_counts()
    return f"{catalog.folder.name}, " + ", ".join(f"{int(counts.get(s, 0))} {s}" for s in splits)
