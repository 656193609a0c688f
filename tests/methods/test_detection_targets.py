"""Masks and semantic maps from polygons, and which boxes are ground truth."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from detection_wardrobe import Wardrobe
from pycocotools import mask as coco_mask

from fashion_ops.methods.detection.data import LabelledImages, labels_of
from fashion_ops.methods.detection.targets import (
    equal_to_any,
    polygon_mask,
    resize_semantic_map,
    semantic_map,
)


@pytest.fixture(scope="module")
def wardrobe() -> Wardrobe:
    return Wardrobe(6, 64)


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
    images = LabelledImages(
        np.arange(6), labels_of(wardrobe.garments, masks=True), wardrobe.read, masks=True
    )
    for i in range(6):
        _, target = images[i]
        for mask, box in zip(target["masks"], target["boxes"], strict=True):
            y, x = mask.nonzero(as_tuple=True)
            extent = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()
            assert (extent - box).abs().max() <= 2.5  # a polygon's corner may lie beyond the image


def test_boxes_count_from_the_edge_and_have_their_masks_middle():
    """Pixels 10..30 reach from 10 to 31, seen from the edge: the middle is 20.5, not 20."""
    garment = {"garment_id": 0, "image_id": 0, "category_id": 5}
    corners = np.array([10, 20, 30, 20, 30, 44, 10, 44], np.float32)
    table = pd.DataFrame([{**garment, "box": np.float32([10, 20, 30, 44]), "polygons": [corners]}])
    black = np.zeros((64, 48, 3), np.uint8)
    images = LabelledImages(np.array([0]), labels_of(table, masks=True), lambda _: black, masks=True)
    _, target = images[0]
    assert target["boxes"].tolist() == [[10.5, 20.5, 30.5, 44.5]]
    y, x = target["masks"][0].nonzero(as_tuple=True)
    assert (float(x.min() + x.max() + 1) / 2, float(y.min() + y.max() + 1) / 2) == (20.5, 32.5)


def test_the_smaller_garment_shows_in_the_semantic_map():
    """A 4 x 4 top on an 8 x 6 dress in an image of 8 x 8, padded to 16 x 8."""
    masks = torch.zeros(2, 8, 8, dtype=torch.uint8)
    masks[0, 1:5, 1:5] = 1
    masks[1, :, :6] = 1
    drawn = semantic_map(masks, torch.tensor([1, 10]), (16, 8))
    assert (drawn[1:5, 1:5] == 1).all()
    counts = dict(zip(*(x.tolist() for x in drawn.unique(return_counts=True)), strict=True))
    assert counts == {0: 16, 1: 16, 10: 32, 255: 64}
    small = resize_semantic_map(drawn[None], (2, 1))
    assert small[0, :, 0].tolist() == [10, 255]


def test_a_bare_image_has_an_empty_map():
    drawn = semantic_map(
        torch.zeros(0, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), (8, 8)
    )
    assert (drawn == 0).all()


def test_only_exact_ground_truth_is_left_behind():
    boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8.5], [3, 3, 5, 5]])
    assert equal_to_any(boxes, boxes[[0, 2]]).tolist() == [True, False, True]
    assert equal_to_any(boxes, boxes[:0]).tolist() == [False] * 3
