"""COCO keypoints: one JSON file a split, each category with its own keypoints and skeleton.

Reading is that of ``ingest`` (``catalog.sources.coco``). On top of it, the landmarks of a category
whose keypoints have our names in another order are put into ours. Writing follows the format's page on
cocodataset.org and, for ``style``, ``pair_id`` and ``source``, DeepFashion2's converter. Keypoints are
those of the category alone, not the converter's 294 slots, because tools show a skeleton per category.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from fashion_ops.annotation.exported import entry_photos
from fashion_ops.annotation.files import Export, file_names
from fashion_ops.annotation.losses import Feature
from fashion_ops.annotation.photos import AnnotatedPhoto, Read, category_of, points_of, write_photo
from fashion_ops.catalog.quarantine import Refusal, Refused
from fashion_ops.catalog.sources.base import Item, parse_json
from fashion_ops.catalog.sources.coco import CocoEntry, entries
from fashion_ops.catalog.sources.coco_fields import find_category
from fashion_ops.catalog.sources.json_index import elements, mapped
from fashion_ops.taxonomy import CATEGORIES

LOST = frozenset(
    (
        Feature.SCALE,
        Feature.OCCLUSION,
        Feature.ZOOM_IN,
        Feature.VIEWPOINT,
        Feature.PAIR_OF_NEGATIVE,
        Feature.SOURCE_OF_NEGATIVE,
        Feature.SCORE,
        Feature.LANDMARK_SCORE,
    )
)
Orders = dict[int, list[int]]  # category id -> the position in the file of each of our landmarks


def read(export: Export) -> Read:
    """Yield the photos of a COCO data set.

    Raises:
        ValueError: its label files cannot be told; see ``catalog.sources.layouts``.
    """
    orders: dict[str, Orders] = {}
    for entry in entries(export.root):
        if not isinstance(entry, CocoEntry):
            assert isinstance(entry, Refusal)
            yield entry
            continue
        try:
            if entry.file not in orders:
                orders[entry.file] = _orders(export.folder / entry.file)
            path = export.photo(entry.image, "")
            for photo in entry_photos(export.folder, entry, path):
                yield photo if isinstance(photo, Refusal) else _ordered(photo, orders[entry.file])
        except Refused as refused:
            yield refused.row(entry.split, entry.file, f"image {entry.coco_id}")


def _orders(file: Path) -> Orders:
    """The order of landmarks in each category that lists our names in an order of its own."""
    orders: Orders = {}
    data = mapped(file)
    for section, start, end in elements(data):
        if section != "categories":
            continue
        row = parse_json(data[start:end])
        name, listed = row.get("name"), row.get("keypoints")
        category_id = find_category(name) if isinstance(name, str) else None
        if category_id is None or not isinstance(listed, list):
            continue
        names = CATEGORIES[category_id - 1].landmark_names
        if len(listed) == len(names) and set(map(str, listed)) == set(names):
            orders[category_id] = [listed.index(name) for name in names]
    return orders


def _ordered(photo: AnnotatedPhoto, orders: Orders) -> AnnotatedPhoto:
    """The photo with landmarks in our order."""
    for position, item in enumerate(photo.labels.items):
        order = orders.get(item.category) if isinstance(item.category, int) else None
        if order and isinstance(item.landmarks, list) and len(item.landmarks) == 3 * len(order):
            moved = [item.landmarks[3 * at + k] for at in order for k in range(3)]
            photo.labels.items[position] = item._replace(landmarks=moved)
    return photo


def write(photos: Sequence[AnnotatedPhoto], folder: Path) -> None:
    """Write annotations/person_keypoints_SPLIT.json and images/SPLIT."""
    for split in dict.fromkeys(photo.split for photo in photos):
        of_split = [photo for photo in photos if photo.split == split]
        names = file_names((photo.name for photo in of_split), flat=False)
        for photo, name in zip(of_split, names, strict=True):
            write_photo(folder / "images" / split / name, photo)
        path = folder / "annotations" / f"person_keypoints_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(orjson.dumps(_content(of_split, names)))


def _content(photos: Sequence[AnnotatedPhoto], names: Iterable[str]) -> dict[str, Any]:
    images, annotations = [], []
    for image_id, (photo, name) in enumerate(zip(photos, names, strict=True), 1):
        width, height = photo.size
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for item in photo.labels.items:
            number = {"id": len(annotations) + 1, "image_id": image_id}
            of_photo = {"pair_id": photo.labels.pair_id, "source": photo.labels.source}
            annotations.append(number | _annotation(item) | of_photo)
    return {
        "info": {"description": "fashion-ops"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {
                "id": c.id,
                "name": c.name,
                "supercategory": "clothes",
                "keypoints": list(c.landmark_names),
                "skeleton": [[a + 1, b + 1] for a, b in c.links],
            }
            for c in CATEGORIES
        ],
    }


def _annotation(item: Item) -> dict[str, Any]:
    x1, y1, x2, y2 = item.box
    points = points_of(item)
    return {
        "category_id": category_of(item).id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "keypoints": [v for x, y, visible in points.tolist() for v in (x, y, int(visible))],
        "segmentation": list(item.polygons),
        "style": item.style,
    }
