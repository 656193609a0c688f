"""FiftyOne's dataset folder: its export's numbers and ids, fields made elsewhere, broken samples."""

import math

import numpy as np
import pytest
from annotated import HEIGHT, WIDTH, garment, photo, put_json, put_photo, scored

from fashion_ops.annotation import fiftyone, formats
from fashion_ops.annotation.files import Export
from fashion_ops.annotation.photos import AnnotatedPhoto
from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.taxonomy import CATEGORIES

NAN = {"$numberDouble": "NaN"}


def keypoint(points=None, **more):
    """A key point label as ``export`` writes it; the second of eight points is not labelled."""
    points = points or [[0.25, 0.5], [NAN, NAN], *([0.5, 0.25 + 0.05 * i] for i in range(6))]
    base = {"_id": {"$oid": "61d5f1"}, "_cls": "Keypoint", "attributes": {}, "tags": []}
    return base | {"label": "skirt", "points": points, "confidence": None, "index": None} | more


def sample(*keypoints, path="data/a.jpg", field="ground_truth", **more):
    facts = {"_cls": "ImageMetadata", "size_bytes": 9, "width": WIDTH, "height": HEIGHT}
    base = {"_id": {"$oid": "61d5f0"}, "filepath": path, "tags": ["validation"], "metadata": facts}
    labels = {field: {"_cls": "Keypoints", "keypoints": list(keypoints)}}
    return base | {"_media_type": "image", "_rand": 0.5} | labels | more


def read(folder, *samples, images=None):
    put_photo(folder / "data" / "a.jpg")
    put_json(folder / "samples.json", {"samples": list(samples)})
    put_json(folder / "metadata.json", {"version": "1.0.0", "media_type": "image"})
    found = list(fiftyone.read(Export(folder, images)))
    return [p for p in found if isinstance(p, AnnotatedPhoto)], found


def test_an_export_of_fiftyone_gives_points_nan_is_not_labelled_and_the_box_is_around_them(tmp_path):
    (photo,), _ = read(tmp_path, sample(keypoint()))
    (item,) = photo.labels.items
    points = np.reshape(item.landmarks, (-1, 3))
    assert points[0].tolist() == [24, 64, 2] and points[1].tolist() == [0, 0, 0]
    assert points[:, 2].tolist() == [2, 0, *[2] * 6] and item.box == [24, 32, 48, 64]
    assert photo.split == "validation" and photo.name == "a.jpg"


@pytest.mark.parametrize("missing", [None, math.nan, NAN])
def test_a_missing_number_may_be_written_in_every_way(tmp_path, missing):
    points = [[0.25, 0.5], [missing, missing], *[[0.5, 0.75]] * 6]
    (photo,), _ = read(tmp_path, sample(keypoint(points)))
    assert photo.labels.items[0].landmarks[3:6] == [0, 0, 0]


def test_a_box_with_the_same_index_is_the_garments_and_occluded_tells_visibility(tmp_path):
    boxes = [
        {"_cls": "Detection", "label": "skirt", "bounding_box": [0.0, 0.0, 0.5, 0.5], "index": 1},
        {"_cls": "Detection", "label": "skirt", "bounding_box": [0.25, 0.25, 0.5, 0.5], "index": 2},
    ]
    own = sample(
        keypoint(index=2, occluded=[True, *[False] * 7]),
        boxes={"_cls": "Detections", "detections": boxes},
    )
    (photo,), _ = read(tmp_path, own)
    assert photo.labels.items[0].box == [24, 32, 72, 96]
    assert photo.labels.items[0].landmarks[2] == 1


def test_a_sample_whose_field_is_null_is_a_negative(tmp_path):
    put_photo(tmp_path / "data" / "b.jpg")
    photos, _ = read(tmp_path, sample(keypoint()), sample(path="data/b.jpg", ground_truth=None))
    assert [len(p.labels.items) for p in photos] == [1, 0]


def test_absolute_paths_of_another_machine_are_found_in_the_named_folder_only(tmp_path):
    own = sample(keypoint(), path="/home/anna/shop/a.jpg")
    _, (refused,) = read(tmp_path, own)
    assert refused.reason == "path leads outside the data set"
    (photo,), _ = read(tmp_path, own, images=tmp_path / "data")
    assert photo.name == "a.jpg"


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([sample(keypoint(label="jeans"))], "unknown category: garment 1 of ground_truth: 'jeans'"),
        ([sample(keypoint([[0.5, 0.5]]))], "1 points; expected 8 of a skirt, NaN where one is not"),
        ([sample(keypoint(visibility=[2]))], "visibility has 1 values for 8 points"),
        ([sample(keypoint([["a", 1]] * 8))], "points.0.0 is a"),
        ([sample(keypoint([[NAN, NAN]] * 8))], "no box with its index and no labelled point"),
        ([sample(keypoint(), path="../a.jpg")], "path leads outside the data set"),
        ([sample(keypoint()) | {"metadata": {"width": 9, "height": 9}}], "its labels say 9.0x9.0"),
        ([{"filepath": "data/a.jpg"}], "no field of key points"),
        (
            [sample(keypoint(), other={"_cls": "Keypoints", "keypoints": []})],
            "the fields ground_truth, other hold key points; call the one to take landmarks",
        ),
    ],
)
def test_what_is_wrong_names_sample_value_and_mend(tmp_path, samples, said):
    put_photo(tmp_path / "in" / "data" / "a.jpg")
    put_json(tmp_path / "in" / "samples.json", {"samples": samples})
    with pytest.raises(formats.LabelError) as caught:
        formats.import_labels("fiftyone", tmp_path / "in", tmp_path / "batch")
    assert said in str(caught.value) and "samples.json" in str(caught.value)


def test_scores_of_a_model_are_confidences_and_the_13_skeletons_are_in_the_metadata(tmp_path):
    labelled = scored(photo("a.jpg", [garment("skirt", np.random.default_rng(0))]))
    assert formats.export_labels("fiftyone", [labelled], tmp_path / "out") == []
    (made,) = parse_json((tmp_path / "out" / "samples.json").read_bytes())["samples"]
    assert made["garments"]["detections"][0]["confidence"] == 0.75
    assert made["landmarks"]["keypoints"][0]["confidence"] == [round(0.01 * i, 2) for i in range(8)]
    document = parse_json((tmp_path / "out" / "metadata.json").read_bytes())
    assert list(document["info"]["skeletons"]) == [c.name for c in CATEGORIES]
