"""FLD's own images, boxes and rows through the door: what others read from them, we read too."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_alignment import read_in

from fashion_ops.catalog.alignment.landmark_table import image_boxes, read_landmark_table
from fashion_ops.catalog.alignment.list_file import Row
from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.catalog.alignment.records import parse_landmarks

FLD = Path(__file__).parents[2].parent / "shared" / "samples" / "fld"
pytestmark = pytest.mark.skipif(not FLD.is_dir(), reason="../shared/samples is missing")


def test_two_images_with_their_public_labels(tmp_path):
    """Lists as FLD has them, made from the COCO form of the same labels: x, y, w, h from x_1 = 1 on."""
    given = json.loads((FLD / "test_fld.json").read_text())
    landmarks, boxes, status = [], [], []
    (tmp_path / "fld/Img/img").mkdir(parents=True)
    for image, own in zip(given["images"], given["annotations"], strict=True):
        name = image["file_name"]
        shutil.copy(FLD / name, tmp_path / "fld/Img/img" / name)
        points = np.array(own["keypoints"]).reshape(-1, 3).astype(int)
        triples = (f"{(2 - v)} {x:03d} {y:03d}" for x, y, v in points)
        landmarks.append("  ".join((f"img/{name}", "3", "1", *triples)))
        x, y, w, h = own["bbox"]
        boxes.append(f"img/{name}  {x:03d}  {y:03d}  {x + w:03d}  {y + h:03d}")
        status.append(f"img/{name}  test")
    for file, columns, rows in (
        ("Anno/list_landmarks.txt", "image_name clothes_type variation_type", landmarks),
        ("Anno/list_bbox.txt", "image_name x_1 y_1 x_2 y_2", boxes),
        ("Eval/list_eval_partition.txt", "image_name evaluation_status", status),
    ):
        path = tmp_path / "fld" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([str(len(rows)), columns, *rows]) + "\n")
    assert read_in("fld", tmp_path / "fld", tmp_path / "catalog").quarantined.total() == 0
    points = AlignmentCatalog(tmp_path / "catalog").points("test", "full")
    np.testing.assert_array_equal(points.box[1], [0, 0, 200, 250])  # the whole image
    for i, own in enumerate(given["annotations"]):
        truth = np.array(own["keypoints"]).reshape(-1, 3)
        np.testing.assert_array_equal(points.visibility[i], truth[:, 2])
        shown = truth[:, 2] > 0
        np.testing.assert_array_equal(points.xy[i][shown], truth[shown, :2] - 1)
    assert points.state[1, 6] == 2  # its left hem is cut off, and so it is in the file


def test_every_real_row_is_sound():
    """6,873 rows of upper-body clothes with FLD's codes: (0, 0) if and only if cut off."""
    table = pd.read_csv(FLD / "fld_upper_val.csv")
    names = [c.removesuffix("_vis") for c in table if c.endswith("_vis")]
    values = table[[f"{n}_{c}" for n in names for c in ("vis", "x", "y")]].to_numpy()
    found = read_landmark_table(FLD / "fld_upper_val.csv")
    for i in range(0, len(table), 7):
        row = Row(i + 3, "  ".join(("img/a.jpg", "1", *map(str, values[i]))))
        landmarks = parse_landmarks(row, variation=False)
        np.testing.assert_array_equal(landmarks.visibility, found.visibility[i])
        seen = landmarks.visibility > 0
        np.testing.assert_array_equal(landmarks.xy[seen] + 1, found.xy[i][seen])
    assert (found.visibility == 0).sum() == ((values.reshape(-1, 6, 3)[..., 1:] == 0).all(-1)).sum()


def test_the_image_that_landmarks_tell_of():
    xy = np.array([[[100, 50], [200, 300]], [[300, 9], [500, 9]], [[0, 0], [0, 0]]], float)
    observed = np.array([[True, True], [True, True], [False, False]])
    boxes = image_boxes(xy, observed)
    np.testing.assert_array_equal(boxes[:, 2:], [[300, 512], [512, 512], [512, 512]])
