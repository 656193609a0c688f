"""The comparison of labels and starts: folds, sets of photos, what each arm sees, and what is kept."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_photos import draw, items

from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.top_down.inference import build as build_landmarker
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import TrainLandmarker
from fashion_ops.taxonomy import CATEGORIES, category
from papers.config import TableConfig
from papers.few_labels import few_labels
from papers.few_labels.arms import BATCH, Arm, Trainings
from papers.few_labels.folds import deal, label_order
from papers.few_labels.photos import STRIDE, read_photos
from papers.write import write_table

REAL = Path(__file__).parents[3] / "shared"
CONFIG = TrainLandmarker(
    backbone="hrnet_w8_tiny", crop=(32, 32), precision="fp32", flip_test=False, pseudo_label_weight=0.0
)


def as_list(folder, drawn):
    """A list of photos, one garment each, as ``landmarks.json``."""
    rows = []
    for n, (data, labels) in enumerate(drawn):
        item = items(labels)[0]
        kind = category(item["category_id"])
        points = np.reshape(item["landmarks"], (-1, 3))
        (folder / f"{n}.jpg").write_bytes(data)
        named = {
            name: [float(x), float(y)]
            for name, (x, y, v) in zip(kind.landmark_names, points, strict=True)
            if v
        }
        box = [float(v) for v in item["bounding_box"]]
        sides = {"width": 96, "height": 96}
        row = {"file": f"{n}.jpg", **sides, "category": kind.name, "box": box, "landmarks": named}
        rows.append(row)
    path = folder / "landmarks.json"
    path.write_text(json.dumps(rows))
    return path


def as_coco(folder, drawn):
    """The same photos and garments as a COCO file beside its images."""
    images, annotations = [], []
    for n, (data, labels) in enumerate(drawn, 1):
        (folder / f"{n}.jpg").write_bytes(data)
        images.append({"id": n, "file_name": f"{n}.jpg", "width": 96, "height": 96})
        item = items(labels)[0]
        x1, y1, x2, y2 = item["bounding_box"]
        points = np.reshape(item["landmarks"], (-1, 3)).astype(float)
        points[points[:, 2] > 0, 2] = 2
        annotations.append(
            {
                "id": n,
                "image_id": n,
                "category_id": item["category_id"],
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "keypoints": points.ravel().tolist(),
                "num_keypoints": int((points[:, 2] > 0).sum()),
                "iscrowd": 0,
                "area": (x2 - x1) * (y2 - y1),
            }
        )
    categories = [{"id": c.id, "name": c.name} for c in CATEGORIES]
    path = folder / "labels.json"
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two sets of six photos: a list and a COCO file."""
    drawn = draw(12, size=96)
    folders = [tmp_path_factory.mktemp(name) for name in ("flat", "worn")]
    return as_list(folders[0], drawn[:6]), as_coco(folders[1], drawn[6:])


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A landmarker that was never trained."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    spec = landmarker_spec(CONFIG, "agg81", 0)
    save_model(folder, build_landmarker(spec), spec)
    return folder


@pytest.fixture(scope="module")
def config(ws, params, files, start):
    photos = tuple(map(str, files))
    return TableConfig(params, ws, photos=photos, start=str(start), steps=2, seeds=(0,))


@pytest.fixture(scope="module")
def trained(config):
    """The table, and (arm, labelled photos, evaluated photos) of each training."""
    seen, train, predict = [], Trainings.train, Trainings.predict

    def recorded(self, arm, labelled, seed):
        seen.append([arm, set() if labelled is None else set(labelled.image_id.tolist()), None])
        return train(self, arm, labelled, seed)

    def evaluated(self, pipeline, rows):
        if seen and seen[-1][2] is None:
            seen[-1][2] = set(rows["image_id"])
        return predict(self, pipeline, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainings, "train", recorded)
        patch.setattr(Trainings, "predict", evaluated)
        return few_labels.run(config), seen


def test_no_model_is_evaluated_on_a_photo_that_it_learned_from(trained):
    table, seen = trained
    assert len(seen) == 2 + 4 * 4  # without labels on the wardrobe alone; four arms, four folds
    for _, labelled, evaluated in seen:
        assert len(labelled) in (0, 8) and not labelled & evaluated
    for arm in few_labels.ARMS:
        folds = [evaluated for a, labelled, evaluated in seen if a == arm and labelled]
        assert len(set.union(*folds)) == sum(map(len, folds)) == 12
    assert list(table.rows.index)[-1] == "mean shape" and len(table.rows) == 3 + 4 + 1


def test_the_table_has_each_set_and_an_interval_around_the_mean(trained):
    rows = trained[0].rows.astype(float)
    oks = [
        column for column in rows if column.startswith("OKS, ") and column[5:] not in ("low", "high")
    ]
    assert len(oks) == 2 and np.isfinite(rows).all(None)
    assert (rows["OKS, low"] <= rows["OKS"]).all() and (rows["OKS"] <= rows["OKS, high"]).all()
    np.testing.assert_allclose(rows[oks].mean(1), rows["OKS"], atol=1e-6)  # six garments in each


def test_what_was_trained_is_kept_and_drawn(config, trained, monkeypatch, tmp_path):
    def unexpected(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainings, "train", unexpected)
    again = few_labels.run(config)
    np.testing.assert_array_equal(again.rows.astype(float), trained[0].rows.astype(float))
    some = few_labels.run(replace(config, rows=("fresh",)))
    assert list(some.rows.index) == ["start0, 0", "fresh, 8", "mean shape"]
    page, _, picture = write_table(again, tmp_path, "command")
    assert picture.stat().st_size > 5000
    assert "with 8 labels has" in page.read_text()


@pytest.fixture(scope="module")
def trainings(config, files, tmp_path_factory):
    photos = read_photos(files, tmp_path_factory.mktemp("sets"))
    return few_labels.open_study(config, photos, Path(config.start)).trainings, photos


def test_all_arms_take_the_same_number_of_samples_and_half_of_them_are_photos(trainings):
    from papers.few_labels.photos import training_garments

    made, photos = trainings
    labelled = training_garments(photos.garments.head(8), made.grouping)
    for arm in few_labels.ARMS:
        samples = made.samples(arm, labelled, 0)
        assert len(samples) == 2 * BATCH
        assert samples.real.sum() == (8 if arm.wardrobe else 16)
        config = made.config(arm, mixed=arm.wardrobe)
        assert config.real_share == (0.5 if arm.wardrobe else None) and config.epochs == 1
    assert not made.samples(Arm(True, True), None, 0).real.any()


def test_both_formats_give_the_same_garments_and_photos(tmp_path):
    drawn = draw(3, size=96)
    paths = []
    for name, write in (("a", as_list), ("b", as_coco)):
        (tmp_path / name).mkdir()
        paths.append(write(tmp_path / name, drawn))
    photos = read_photos(paths, tmp_path)
    assert photos.sets == ["a", "b"] and photos.refused == 0
    first, second = (photos.on(photos.images["image_id"][photos.images["set"] == s]) for s in "ab")
    assert (first["category_id"].to_numpy() == second["category_id"].to_numpy()).all()
    for column in ("box", "landmarks"):
        np.testing.assert_allclose(
            np.concatenate(list(first[column])), np.concatenate(list(second[column]))
        )
    ids = photos.images["image_id"]
    assert ids.is_unique and photos.garments["garment_id"].is_unique and ids.min() > STRIDE
    np.testing.assert_array_equal(photos.read(ids[1]), photos.read(ids[4]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"category": "jeans"}, r"photo 2: category is 'jeans', must be one of short_sleeve_top"),
        ({"box": [1, 2, 3]}, r"photo 2: box is \[1, 2, 3\], must be four numbers"),
        ({"landmarks": {"knee": [1, 2]}}, r"photo 2: \w+ has no landmark 'knee', but "),
        ({"landmarks": {}}, "no garment with a labelled landmark"),
        ({"file": None}, "photo 2: has no 'file'; expected file, width"),
    ],
)
def test_a_list_of_photos_with_a_fault_is_refused_in_one_line(tmp_path, change, said):
    path = as_list(tmp_path, draw(2, size=96))
    rows = json.loads(path.read_text())
    rows[1] |= change
    if "file" in change:
        del rows[1]["file"]
    if change == {"landmarks": {}}:
        rows = rows[1:]
    path.write_text(json.dumps(rows))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(ValueError, match=said) as error:
        read_photos([path], scratch)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_too_few_photos_are_refused(config, tmp_path):
    path = as_list(tmp_path, draw(4, size=96))
    with pytest.raises(
        ValueError, match=r"--photos: 4 labelled photos, of which 4 folds leave 3.*name"
    ):
        few_labels.run(TableConfig(config.params, config.ws, photos=(str(path),), start=config.start))


@pytest.mark.parametrize("folds", [3, 4])
def test_folds_and_labels_hold_the_sets_in_their_proportions(folds):
    sets = np.repeat(["a", "b"], [32, 35])
    fold = deal(sets, folds, 0)
    for one, count in (("a", 32), ("b", 35)):
        sizes = np.bincount(fold[sets == one], minlength=folds)
        assert sizes.sum() == count and sizes.max() - sizes.min() <= 1
    assert np.ptp(np.bincount(fold)) <= 1
    order = label_order(sets, 1)
    assert sorted(order) == list(range(67))
    for n in (8, 16, 32, 50):
        assert abs((sets[order[:n]] == "a").mean() - 32 / 67) < 1 / n


def test_the_labelled_photos_at_hand_are_read(tmp_path):
    files = [REAL / "samples/deepfashion2_demo/annotations_coco.json", REAL / "real/landmarks.json"]
    if missing := [file for file in files if not file.is_file()]:
        pytest.skip(f"{missing[0]} is not here")
    photos = read_photos(files, tmp_path)
    assert photos.images["set"].value_counts().to_dict() == {"real": 35, "deepfashion2_demo": 32}
    listed = json.loads(files[1].read_text())
    flat = photos.garments[photos.garments["image_id"] > 2 * STRIDE]
    assert flat["num_labelled"].sum() == sum(len(row["landmarks"]) for row in listed) == 314
