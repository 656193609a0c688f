"""Pictures, masks and targets in; boxes out, from detectors, ground truth and files."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from detection_wardrobe import Wardrobe
from pycocotools import mask as coco_mask
from torch import nn

from fashion_ops.methods.centernet.inference import Detection
from fashion_ops.methods.detection.data import LabelledPictures, labels_of
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN
from fashion_ops.methods.detection.module import DetectionModule
from fashion_ops.methods.detection.sources import DetectedBoxes, boxes_from_file, true_boxes
from fashion_ops.methods.detection.targets import equal_to_any, polygon_mask, semantic_map, shrunk_map
from fashion_ops.methods.detection.training import detector_spec, train_detector
from fashion_ops.methods.parts.fit import fit
from fashion_ops.params import Fit

TINY = Architecture("htc", "tiny", 64, 80, smallest_anchor=16, samples=16)
ONCE = Fit(lr=0.001, epochs=1, batch_size=2, precision="fp32")


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(6, 64)


@pytest.fixture(scope="module")
def detector() -> BoxDetector:
    """Untrained, but with opinions: sure enough of some categories to tell many boxes."""
    torch.manual_seed(0)
    model = CascadeRCNN(TINY).eval()
    for stage in model.roi_heads.stages:
        nn.init.normal_(stage.box_predictor["category"].weight, std=0.5)
        nn.init.normal_(stage.box_predictor["box"].weight, std=0.1)
    return BoxDetector(model, {"score_threshold": 0.1, "precision": "fp32"})


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


# Masks and maps


def test_a_mask_is_the_union_of_overlapping_polygons():
    """Filled in one go, the overlap would be outside; COCO's tools say what is right."""
    polygons = [np.array([4, 4, 24, 4, 24, 24, 4, 24.0]), np.array([10, 10, 30, 10, 30, 28, 10, 28.0])]
    mask = polygon_mask(polygons, 40, 40)
    coded = coco_mask.merge(coco_mask.frPyObjects([p.tolist() for p in polygons], 40, 40))
    theirs = coco_mask.decode(coded)
    assert mask[15, 15] == 1
    assert mask[4, 4] == 1
    assert mask[31, 15] == 0
    # COCO's are drawn from edges, ours from centres: one pixel more at the right and at the bottom.
    assert (mask >= theirs).all()
    assert np.array_equal(mask, cv2.dilate(theirs, np.ones((2, 2), np.uint8), anchor=(1, 1)))


def test_the_masks_of_the_wardrobe_lie_in_their_boxes(wardrobe):
    pictures = LabelledPictures(
        np.arange(6), labels_of(wardrobe.garments, masks=True), wardrobe.read, masks=True
    )
    for i in range(6):
        _, target = pictures[i]
        for mask, box in zip(target["masks"], target["boxes"], strict=True):
            y, x = mask.nonzero(as_tuple=True)
            extent = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
            assert (extent - box).abs().max() <= 2.5  # a polygon's corner may lie beyond the picture


def test_boxes_count_from_the_edge_and_have_their_masks_middle():
    """Pixels 10..30 reach from 10 to 31, seen from the edge: the middle is 20.5, not 20."""
    garment = {"garment_id": 0, "image_id": 0, "category_id": 5}
    corners = np.array([10, 20, 30, 20, 30, 44, 10, 44], np.float32)
    table = pd.DataFrame([{**garment, "box": np.float32([10, 20, 30, 44]), "polygons": [corners]}])
    black = np.zeros((64, 48, 3), np.uint8)
    pictures = LabelledPictures(
        np.array([0]), labels_of(table, masks=True), lambda _: black, masks=True
    )
    _, target = pictures[0]
    assert target["boxes"].tolist() == [[10.5, 20.5, 30.5, 44.5]]
    y, x = target["masks"][0].nonzero(as_tuple=True)
    assert (float(x.min() + x.max() + 1) / 2, float(y.min() + y.max() + 1) / 2) == (20.5, 32.5)


def test_the_smaller_garment_shows_in_the_semantic_map():
    """A 4 x 4 top on an 8 x 6 dress in a picture of 8 x 8, padded to 16 x 8."""
    masks = torch.zeros(2, 8, 8, dtype=torch.uint8)
    masks[0, 1:5, 1:5] = 1
    masks[1, :, :6] = 1
    drawn = semantic_map(masks, torch.tensor([1, 10]), (16, 8))
    assert (drawn[1:5, 1:5] == 1).all()
    counts = dict(zip(*(x.tolist() for x in drawn.unique(return_counts=True)), strict=True))
    assert counts == {0: 16, 1: 16, 10: 32, 255: 64}
    small = shrunk_map(drawn[None], (2, 1))
    assert small[0, :, 0].tolist() == [10, 255]


def test_a_bare_picture_has_an_empty_map():
    drawn = semantic_map(
        torch.zeros(0, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), (8, 8)
    )
    assert (drawn == 0).all()


def test_only_exact_ground_truth_is_left_behind():
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8.5], [3, 3, 5, 5]])
    assert equal_to_any(boxes, boxes[[0, 2]]).tolist() == [True, False, True]
    assert equal_to_any(boxes, boxes[:0]).tolist() == [False] * 3


# Pictures


def test_mirroring_moves_pictures_boxes_and_masks_alike(wardrobe, monkeypatch):
    """What the network is given under flip = 1: the mask's extent is still that of the box."""
    pictures = LabelledPictures(
        np.arange(6), labels_of(wardrobe.garments, masks=True), wardrobe.read, masks=True
    )
    model = CascadeRCNN(TINY)
    module = DetectionModule(model, ONCE, flip=1.0, seed=0)
    given = {}

    def forward(images, targets):
        given.update(images=images, targets=targets)
        return {"x": torch.zeros(())}

    monkeypatch.setattr(model, "forward", forward)
    batch = pictures.__getitems__([0, 1])
    module.losses(batch, torch.Generator().manual_seed(0))
    for before, after, was, now in zip(
        batch["pictures"], given["images"], batch["targets"], given["targets"], strict=True
    ):
        assert torch.equal((after * 255).round().byte().flip(-1), before)
        assert torch.equal(now["boxes"][:, 0], before.shape[-1] - was["boxes"][:, 2])
        assert torch.equal(now["masks"].flip(-1), was["masks"])


def test_garments_find_their_picture_whatever_their_order(wardrobe):
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
    pictures = LabelledPictures(np.arange(4), labels, wardrobe.read, masks=False)

    def module() -> DetectionModule:
        torch.manual_seed(0)
        architecture = Architecture("cascade_rcnn", "tiny", 64, 80, 16, 16)
        return DetectionModule(CascadeRCNN(architecture, short_sides=(48, 64)), run, 0.5, 0)

    class Stop(Exception):
        pass

    def stop(epoch: int, losses: dict[str, float]) -> None:
        raise Stop

    straight, broken, resumed = module(), module(), module()
    fit(straight, pictures)
    with pytest.raises(Stop):
        fit(broken, pictures, checkpoint=tmp_path / "c.ckpt", on_epoch=stop)
    torch.manual_seed(99)
    fit(resumed, pictures, checkpoint=tmp_path / "c.ckpt")
    for (name, a), b in zip(straight.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert not isinstance(a, torch.Tensor) or torch.equal(a, b), name


# Detecting


def test_a_trained_folder_detects_as_the_network_did(wardrobe, tmp_path):
    torch.manual_seed(0)
    model = CascadeRCNN(TINY)
    spec = detector_spec(TINY, ONCE, 0.01, {"lr": 0.001})
    history = train_detector(
        tmp_path, model, spec, ONCE, np.arange(6), wardrobe.garments, wardrobe.read, flip=0.5, seed=0
    )
    assert len(history) == 1
    images = [wardrobe.read(i) for i in range(2)]
    before = BoxDetector(model.eval(), spec).detect(images)
    after = BoxDetector.load(tmp_path).detect(images)
    assert sum(map(len, before)) > 0
    for a, b in zip(before, after, strict=True):
        assert [x.score for x in a] == pytest.approx([x.score for x in b], abs=1e-5)
        assert [x.category_id for x in a] == [x.category_id for x in b]
        assert all(np.allclose(x.box, y.box, atol=1e-3) for x, y in zip(a, b, strict=True))
    with pytest.raises(FileNotFoundError, match="no model here"):
        BoxDetector.load(tmp_path / "nowhere")


def test_detections_are_sorted_inside_the_picture_and_above_the_threshold(detector):
    images = [photo(70, 50), photo(30, 90, 1)]
    found = detector.detect(images, score_threshold=0.05)
    assert detector.detect([]) == []
    for image, own in zip(images, found, strict=True):
        assert len(own) > 1
        scores = [f.score for f in own]
        assert scores == sorted(scores, reverse=True)
        assert scores[-1] > 0.05
        boxes = np.stack([f.box for f in own])
        assert boxes.dtype == np.float32
        assert boxes.min() >= 0
        assert (boxes[:, 2:] <= [image.shape[1] - 1, image.shape[0] - 1]).all()
    best = found[0][0].score
    (fewer, _) = detector.detect(images, score_threshold=best - 1e-4)
    assert [f.score for f in fewer] == [best]


@pytest.mark.parametrize("scales", [(1.0,), (0.75, 1.25)])
def test_with_the_flip_test_a_mirrored_picture_has_mirrored_boxes(detector, scales):
    """Both orders of the two looks give the same boxes: an error of half a pixel would show."""
    image = photo(60, 48)
    both = BoxDetector(detector.model, detector.spec, scales, flip=True)
    (found,), (other,) = both.detect([image]), both.detect([image[:, ::-1].copy()])
    plain = detector.detect([image])[0]
    assert {f.score for f in plain} != {f.score for f in found}
    assert len(found) == len(other) > 3
    for a, b in zip(found, other, strict=True):
        x1, y1, x2, y2 = b.box
        assert a.score == pytest.approx(b.score, abs=1e-5)
        assert np.allclose(a.box, [47 - x2, y1, 47 - x1, y2], atol=1e-2)


def test_a_larger_picture_at_the_same_input_size_has_larger_boxes(detector):
    """A picture doubled by repeating pixels is shrunk back to the same input: x becomes 2 x + 0.5."""
    image = photo(64, 64)
    (small,), (large,) = (
        detector.detect([i]) for i in (image, image.repeat(2, axis=0).repeat(2, axis=1))
    )
    assert len(small) == len(large) > 3
    for a, b in zip(small, large, strict=True):
        inside = (a.box > 0.5) & (a.box < 62.5)  # others were cut off at the border
        assert a.score == pytest.approx(b.score, abs=1e-4)
        assert np.allclose(b.box[inside], 2 * a.box[inside] + 0.5, atol=0.05)


def test_scales_are_several_looks(detector):
    image = photo(64, 64)
    (one,), (two,) = (
        BoxDetector(detector.model, detector.spec, scales).detect([image])
        for scales in ((1.0,), (1.0, 1.5))
    )
    tops = {f.score for f in one}
    assert one[0].score <= two[0].score
    assert {f.score for f in two} - tops  # the second look adds garments


# Sources


def images_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [10, 11, 12],
            "coco_id": [1, 2, 3],
            "split": "validation",
            "width": [64, 50, 64],
            "height": [64, 40, 64],
        }
    )


def result(**changes) -> dict:
    return {"image_id": 2, "category_id": 5, "bbox": [10, 8, 20, 16], "score": 0.5} | changes


def written(tmp_path, records) -> "object":
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(records))
    return path


def test_precomputed_boxes_come_by_catalog_id_best_first(tmp_path):
    path = written(tmp_path, [result(), result(score=0.9, bbox=[-4, 0, 20, 60]), result(image_id=3)])
    source = boxes_from_file(path, images_table())
    first, bare, third = source.boxes([11, 10, 12])
    assert bare == []
    assert [b.score for b in first] == [0.9, 0.5]
    assert first[0].box.tolist() == [0, 0, 16, 39]  # cut off at the border of 50 x 40
    assert first[1].box.tolist() == [10, 8, 30, 24]
    assert third[0].category_id == 5
    with pytest.raises(ValueError, match="image id 99 is not among the 3 pictures"):
        source.boxes([10, 99])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 77}, "result 1: image_id 77 is not among the 3 pictures of split validation"),
        ({"category_id": 14}, "result 1: category_id is 14, must be 1 to 13"),
        ({"category_id": "vest"}, "result 1: category_id is 'vest'"),
        ({"bbox": [10, 8, 0, 16]}, r"result 1: the box .* = \[10.0, 8.0, 10.0, 24.0\] is empty"),
        ({"bbox": [10, 8, 20, -3]}, "result 1: .* is empty"),
        ({"bbox": [60, 8, 20, 16]}, "result 1: .* lies outside of its picture, 50 x 40"),
        ({"bbox": [10, 8, 20]}, r"result 1: bbox is \[10, 8, 20\], must be 4"),
        ({"bbox": [10, 8, None, 4]}, "result 1: bbox is .*None"),
        ({"score": "high"}, "result 1: score is .*high"),
        ({"score": True}, "result 1: score"),
    ],
)
def test_bad_results_are_refused_with_their_place(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        boxes_from_file(written(tmp_path, [result(), result(**change)]), images_table())


def test_files_that_are_no_results_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not a COCO result file"):
        boxes_from_file(written(tmp_path, {"images": []}), images_table())
    with pytest.raises(ValueError, match="result 0: no bbox"):
        boxes_from_file(written(tmp_path, [{"image_id": 1, "category_id": 1}]), images_table())
    with pytest.raises(ValueError, match="cannot be read"):
        boxes_from_file(tmp_path / "none.json", images_table())
    two = images_table().assign(split=["train", "validation", "validation"])
    with pytest.raises(ValueError, match="pictures of one split expected, got train, validation"):
        boxes_from_file(written(tmp_path, []), two)


def test_ground_truth_is_a_source(wardrobe):
    source = true_boxes(wardrobe.images, wardrobe.garments)
    ids = wardrobe.images["image_id"].tolist()
    told = [
        (i, b.category_id, *b.box) for i, own in zip(ids, source.boxes(ids), strict=True) for b in own
    ]
    rows = wardrobe.garments
    columns = (rows["image_id"], rows["category_id"], rows["box"])
    assert told == [(i, c, *box) for i, c, box in zip(*columns, strict=True)]
    assert {b.score for own in source.boxes(ids) for b in own} == {1.0}
    with pytest.raises(ValueError, match="garment 0: image id 0 is not among the 5 pictures"):
        true_boxes(wardrobe.images.iloc[1:], wardrobe.garments)


def test_any_detector_is_a_source(wardrobe, detector):
    """This folder's, and CenterNet's detections with their landmarks."""

    class Fake:
        def detect(self, images, score_threshold=None):
            box, points = np.zeros(4, np.float32), np.zeros((8, 3), np.float32)
            return [[Detection(box, float(i.mean()), 9, points)] for i in images]

    told = DetectedBoxes(Fake(), wardrobe.read).boxes([3, 1])
    assert [own[0].score for own in told] == [wardrobe.read(i).mean() for i in (3, 1)]
    own = DetectedBoxes(detector, wardrobe.read, 0.2).boxes([0, 1])
    direct = detector.detect([wardrobe.read(i) for i in (0, 1)], 0.2)
    assert [[b.score for b in x] for x in own] == [[b.score for b in x] for x in direct]
