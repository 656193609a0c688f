"""The written wardrobe: DeepFashion2's layout and fields, the same bytes from any number of workers."""

import hashlib
import json
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest

from fashion_ops.params import Params, Synthesize
from fashion_ops.steps import synthesize
from fashion_ops.synthetic.wardrobe.canvas import OVERSAMPLING
from fashion_ops.synthetic.wardrobe.generate import generate
from fashion_ops.synthetic.wardrobe.photos import Photos, find_photos
from fashion_ops.synthetic.wardrobe.second.plan import plan as second_plan
from fashion_ops.synthetic.wardrobe.second.render import photograph
from fashion_ops.workspace import Workspace

REAL = Path(__file__).parents[3] / "shared" / "samples" / "deepfashion2_raw" / "ann_example.json"
COUNTS = [25, 33, 31, 39, 15, 15, 10, 14, 8, 29, 37, 19, 19]
# The fields of a released annotation and their types, as README.md of DeepFashion2 lists them.
TOP = {"source": str, "pair_id": int}
ITEM = {
    "segmentation": list,
    "scale": int,
    "viewpoint": int,
    "zoom_in": int,
    "landmarks": list,
    "style": int,
    "bounding_box": list,
    "category_id": int,
    "occlusion": int,
    "category_name": str,
}
NAMES = [
    *("short sleeve top", "long sleeve top", "short sleeve outwear", "long sleeve outwear"),
    *("vest", "sling", "shorts", "trousers", "skirt"),
    *("short sleeve dress", "long sleeve dress", "vest dress", "sling dress"),
]


def params(train: int, validation: int, workers: int = 1, seed: int = 0) -> Params:
    return Params.model_validate(
        {
            "seed": seed,
            "synthesize": {"train": train, "validation": validation, "size": 96},
            "distributed": {"workers": workers},
        }
    )


def files(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    ws = Workspace(tmp_path_factory.mktemp("wardrobe"))
    metrics = synthesize.run(params(30, 15), ws)
    return ws.raw, metrics


def types(record: dict) -> dict[str, type]:
    return {key: type(value) for key, value in record.items()}


def test_fields_and_types_are_those_of_the_real_file(raw):
    if REAL.exists():
        real = json.loads(REAL.read_text())
        assert types({k: v for k, v in real.items() if not k.startswith("item")}) == TOP
        assert types(real["item1"]) == ITEM
    folder, metrics = raw
    total = 0
    for path in sorted(folder.glob("*/annos/*.json")):
        annotation = json.loads(path.read_text())
        items = {k: v for k, v in annotation.items() if k.startswith("item")}
        assert types({k: v for k, v in annotation.items() if k not in items}) == TOP
        assert list(items) == [f"item{i + 1}" for i in range(len(items))]
        assert items, path
        for item in items.values():
            assert types(item) == ITEM
            assert NAMES[item["category_id"] - 1] == item["category_name"]
            assert len(item["landmarks"]) == 3 * COUNTS[item["category_id"] - 1]
            assert len(item["bounding_box"]) == 4
            numbers = [*item["landmarks"], *item["bounding_box"], *chain(*item["segmentation"])]
            assert all(type(n) is int for n in numbers)
            assert annotation["source"] in ("shop", "user")
        total += len(items)
    assert total == metrics["train_garments"] + metrics["validation_garments"]


def test_layout_is_the_released_one(raw):
    folder, metrics = raw
    assert metrics["train_images"] == 30
    assert metrics["validation_images"] == 15
    for split, count in (("train", 30), ("validation", 15)):
        stems = [f"{i + 1:06d}" for i in range(count)]
        assert sorted(p.name for p in (folder / split / "image").iterdir()) == [
            f"{s}.jpg" for s in stems
        ]
        assert sorted(p.name for p in (folder / split / "annos").iterdir()) == [
            f"{s}.json" for s in stems
        ]
    image = cv2.imread(str(folder / "train" / "image" / "000001.jpg"))
    assert image is not None
    assert image.shape == (96, 96, 3)
    assert image.std() > 10
    manifest = json.loads((folder / "wardrobe.json").read_text())
    assert manifest["splits"]["train"] == {"images": 30, "garments": int(metrics["train_garments"])}
    assert (manifest["seed"], manifest["size"]) == (0, 96)


def test_workers_do_not_change_a_byte(raw, tmp_path):
    folder, _ = raw
    config = Synthesize(train=30, validation=15, size=96, imbalance=0.35)
    list(generate(config, tmp_path / "two", seed=0, workers=2))
    assert files(tmp_path / "two") == files(folder)


def test_another_seed_gives_other_images(raw, tmp_path):
    folder, _ = raw
    ws = Workspace(tmp_path)
    synthesize.run(params(2, 0, seed=1), ws)
    name = "train/image/000001.jpg"
    assert files(ws.raw)[name] != files(folder)[name]


def test_an_empty_wardrobe_is_valid(tmp_path):
    ws = Workspace(tmp_path)
    assert set(synthesize.run(params(0, 0), ws).values()) == {0.0}
    folders = ("train/image", "train/annos", "validation/image", "validation/annos")
    assert all((ws.raw / f).is_dir() for f in folders)
    assert json.loads((ws.raw / "wardrobe.json").read_text())["splits"]["train"]["images"] == 0


def test_the_first_edition_stays_what_it_was(raw):
    """Annotations to the byte; means of the pixels within half a level, as codecs may round."""
    folder, _ = raw
    annotations = b"".join(p.read_bytes() for p in sorted(folder.glob("*/annos/*.json")))
    assert hashlib.sha256(annotations).hexdigest()[:16] == "cd3d76b35e582846"
    levels = [cv2.imread(str(p)).mean() for p in sorted(folder.glob("train/image/*.jpg"))[:6]]
    np.testing.assert_allclose(levels, [154.45, 147.5, 164.87, 180.94, 142.23, 154.67], atol=0.5)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder with a red and a green photo."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    for name, channel in (("a.jpg", 2), ("more/b.PNG", 1)):
        image = np.full((60, 90, 3), 20, np.uint8)
        image[..., channel] = 230
        cv2.imwrite(str(folder / name), image)
    return folder


def second(folder: Path, workers: int = 1, **settings) -> dict[str, bytes]:
    config = Synthesize(train=44, validation=4, size=64, edition=2, **settings)
    list(generate(config, folder, seed=0, workers=workers))
    return files(folder)


def test_the_second_edition_is_the_same_from_any_number_of_workers(photos, tmp_path):
    """With the user's photos: the bytes depend on what they show, not on where they lie."""
    used = {"backgrounds": str(photos), "fabrics": str(photos)}
    one, two = second(tmp_path / "1", **used), second(tmp_path / "2", workers=2, **used)
    assert one == two
    manifest = json.loads(one["wardrobe.json"])
    assert manifest["edition"] == 2
    assert manifest["backgrounds"]["photos"] == manifest["fabrics"]["photos"] == 2
    counts = [
        sum(key.startswith("item") for key in json.loads(data))
        for name, data in one.items()
        if name.startswith("train/annos/")
    ]
    assert 0 in counts and sum(counts) == manifest["splits"]["train"]["garments"]
    shapes = {cv2.imdecode(np.frombuffer(data, np.uint8), 1).shape[:2] for name, data in one.items()
              if name.endswith(".jpg")}  # fmt: skip
    assert len(shapes) > 2 and {max(shape) for shape in shapes} == {64}


def test_backgrounds_and_cloth_are_cut_from_the_users_photos(photos):
    shots = [shot for shot in second_plan(0, "train", 40, 0.35) if shot.garments]
    paths = find_photos(photos, ".", "synthesize.backgrounds")

    def red_or_green(given: Photos, on_garment: bool) -> int:
        """Images with much of a photo's colour, where the garments are or where they are not."""
        count = 0
        for shot in shots:
            canvas = photograph(shot, 64, given).canvas
            where = (canvas.top[::OVERSAMPLING, ::OVERSAMPLING] > 0) == on_garment
            hue, saturation, _ = cv2.split(cv2.cvtColor(canvas.pixels, cv2.COLOR_BGR2HSV))
            colored = ((hue < 2) | (np.abs(hue.astype(int) - 60) < 2)) & (saturation > 180)
            count += colored[where].mean() > 0.3 if where.any() else 0
        return count

    plain, cloth, behind = Photos(), Photos(fabrics=paths), Photos(backgrounds=paths)
    assert red_or_green(behind, False) > red_or_green(plain, False) + 10
    assert red_or_green(cloth, True) > red_or_green(plain, True) + 5


def test_a_photo_that_cannot_be_read_is_named(photos, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no JPEG")
    with pytest.raises(ValueError, match=r"broken.jpg: is no photo .* remove it"):
        second(tmp_path / "raw", backgrounds=str(tmp_path / "photos"))
    with pytest.raises(ValueError, match="edition 1 uses no photos: fabrics must be null"):
        Synthesize(fabrics=str(photos))
