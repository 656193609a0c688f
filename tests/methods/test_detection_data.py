"""Labelled images of the box detectors: mirrored, in any order, refused, and a resumed run."""

import numpy as np
import pytest
import torch
from detection_networks import ONCE, SMALL_HTC, TINY
from detection_wardrobe import Wardrobe

from fashion_ops.methods.detection.data import LabelledImages, labels_of
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN
from fashion_ops.methods.detection.module import DetectionModule
from fashion_ops.methods.parts.trainer import TrainerOptions, fit


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(6, 64)


def test_mirroring_moves_images_boxes_and_masks_alike(wardrobe, monkeypatch):
    """What the network is given under flip = 1: the mask's extent is still that of the box."""
    dataset = LabelledImages(
        np.arange(6), labels_of(wardrobe.garments, masks=True), wardrobe.read, masks=True
    )
    model = CascadeRCNN(SMALL_HTC)
    module = DetectionModule(model, ONCE, flip=1.0, seed=0)
    given = {}

    def forward(images, targets):
        given.update(images=images, targets=targets)
        return {"x": torch.zeros(())}

    monkeypatch.setattr(model, "forward", forward)
    batch = dataset.__getitems__([0, 1])
    module.losses(batch, torch.Generator().manual_seed(0))
    for before, after, was, now in zip(
        batch["images"], given["images"], batch["targets"], given["targets"], strict=True
    ):
        assert torch.equal((after * 255).round().byte().flip(-1), before)
        assert torch.equal(now["boxes"][:, 0], before.shape[-1] - was["boxes"][:, 2])
        assert torch.equal(now["masks"].flip(-1), was["masks"])


@pytest.mark.parametrize("architecture", [Architecture("cascade_rcnn", **TINY), SMALL_HTC])
def test_images_without_garments_train_the_background_alone(wardrobe, architecture):
    masks = architecture.kind == "htc"
    negatives = LabelledImages(np.arange(6), {}, wardrobe.read, masks=masks)
    torch.manual_seed(0)
    model = CascadeRCNN(architecture)
    module = DetectionModule(model, ONCE, flip=1.0, seed=0)
    losses = module.losses(negatives.__getitems__([0, 1]), torch.Generator().manual_seed(0))
    losses["loss"].backward()
    assert all(torch.isfinite(loss) for loss in losses.values()) and losses["loss"] > 0
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)
    assert not any(value for name, value in losses.items() if "box" in name)


def test_garments_find_their_image_whatever_their_order(wardrobe):
    shuffled = wardrobe.garments.sample(frac=1, random_state=0)
    shuffled["image_id"] += 5
    labels = labels_of(shuffled, masks=True)
    assert sum(len(own.boxes) for own in labels.values()) == len(shuffled)
    for _, row in wardrobe.garments.iterrows():
        own = labels[row["image_id"] + 5]
        (i,) = np.flatnonzero(
            (own.boxes == row["box"]).all(1) & (own.category_id == row["category_id"])
        )
        assert own.polygons[i] is row["polygons"]
    assert labels_of(wardrobe.garments.iloc[:0], masks=True) == {}


def test_bad_labels_are_refused(wardrobe):
    empty = wardrobe.garments.copy()
    empty.at[1, "box"] = np.array([5, 5, 5, 9], np.float32)
    with pytest.raises(ValueError, match=r"garment 1: its box \[5.0, 5.0, 5.0, 9.0\] is empty"):
        labels_of(empty, masks=False)
    bare = wardrobe.garments.copy()
    bare.at[2, "polygons"] = []
    with pytest.raises(ValueError, match=r"garment 2: no polygon .* cascade_rcnn needs none"):
        labels_of(bare, masks=True)
    labels_of(bare, masks=False)


def test_a_run_that_stops_and_resumes_equals_one_that_did_not(wardrobe, tmp_path):
    """Bit for bit, though torchvision samples boxes with the global random generator."""
    run = ONCE.model_copy(update={"epochs": 2})
    labels = labels_of(wardrobe.garments, masks=False)
    images = LabelledImages(np.arange(4), labels, wardrobe.read, masks=False)

    def module() -> DetectionModule:
        torch.manual_seed(0)
        architecture = Architecture("cascade_rcnn", "tiny", 64, 80, 16, 16)
        return DetectionModule(CascadeRCNN(architecture, short_sides=(48, 64)), run, 0.5, 0)

    class Stop(Exception):
        pass

    def stop(epoch: int, losses: dict[str, float]) -> None:
        raise Stop

    straight, broken, resumed = module(), module(), module()
    fit(straight, images)
    with pytest.raises(Stop):
        fit(broken, images, TrainerOptions(checkpoint=tmp_path / "c.ckpt", on_epoch=stop))
    torch.manual_seed(99)
    fit(resumed, images, TrainerOptions(checkpoint=tmp_path / "c.ckpt"))
    for (name, a), b in zip(straight.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert not isinstance(a, torch.Tensor) or torch.equal(a, b), name
