"""What the fields of a COCO file mean: ids, crowds, keypoints, polygons, categories.

``ingest`` and ``score`` read a file by these rules, which are those of pycocotools where it has any.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.base import identity
from fashion_ops.taxonomy import CATEGORIES, NUM_LANDMARKS

_NUMBERS = (int, float)


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation is a region to ignore.

    Raises:
        Refused: ``iscrowd`` is neither 0 nor 1; missing or null, it is 0.
    """
    value = annotation.get("iscrowd")
    if value is None:
        return False
    if type(value) not in (bool, *_NUMBERS) or value not in (0, 1):
        raise Refused(Reason.SHAPE, f"iscrowd {value!r}; expected 0 or 1")
    return bool(value)


def without_keypoints(annotation: Mapping[str, Any]) -> bool:
    """Whether the list of keypoints is empty, as tools write it where nothing is labelled.

    Raises:
        Refused: the list is empty, but ``num_keypoints`` counts labelled ones.
    """
    if annotation.get("keypoints") != []:
        return False
    if annotation.get("num_keypoints"):
        count = annotation["num_keypoints"]
        raise Refused(Reason.COUNT, f"keypoints is empty, but num_keypoints is {count!r}")
    return True


def category_slots(keypoints: Any, category_id: Any) -> Any:
    """The category's slots of 294, if no other slot is labelled; anything else unchanged."""
    full = isinstance(keypoints, list) and len(keypoints) == 3 * NUM_LANDMARKS
    if not full or type(category_id) is not int or not 1 <= category_id <= len(CATEGORIES):
        return keypoints
    slots = CATEGORIES[category_id - 1].slots
    start, stop = 3 * slots.start, 3 * slots.stop
    if any(keypoints[2:start:3]) or any(keypoints[stop + 2 :: 3]):
        return keypoints
    return keypoints[start:stop]


def polygons(segmentation: Any) -> Any:
    """A list of flat x, y lists, from any of the shapes that tools write.

    Null and run-length masks have no polygons. One polygon may stand without its outer list, and points
    may be pairs. Anything else is returned unchanged.
    """
    if segmentation is None or isinstance(segmentation, dict):
        return []
    if not isinstance(segmentation, list) or not segmentation:
        return segmentation
    if all(type(v) in _NUMBERS for v in segmentation) or _pairs(segmentation):
        segmentation = [segmentation]
    flat = [[v for p in s for v in p] if _pairs(s) else s for s in segmentation]
    return [s for s in flat if s != []]


def _pairs(points: Any) -> bool:
    """Whether ``points`` is a list of x, y pairs."""
    return (
        isinstance(points, list)
        and len(points) > 0
        and all(isinstance(p, list) and len(p) == 2 for p in points)
        and all(type(v) in _NUMBERS for p in points for v in p)
    )


def category_names(listed: Iterable[Mapping[str, Any]]) -> dict[int | str, str]:
    """Category id -> its name in the file, "" where it has none; rows without an id are left out."""
    rows = ((identity(row.get("id")), row.get("name")) for row in listed)
    return {i: n if isinstance(n, str) else "" for i, n in rows if i is not None}


def category_ids(listed: list[dict[str, Any]]) -> dict[int | str, int | str]:
    """Category id in the file -> our id, or a text that says why there is none.

    Categories are matched by name if any is named, else by id; a file that lists none has our ids.
    """
    names = category_names(listed)
    if not any(names.values()):
        if 0 in names:
            return dict.fromkeys(names, "0 is a category and has no name; name the categories")
        return {c.id: c.id for c in CATEGORIES if not names or c.id in names}
    ids: dict[int | str, int | str] = {
        i: find_category(name) or f"{i} {name}; rename it to one of the 13 categories"
        for i, name in names.items()
    }
    for row in listed:
        key, name = identity(row.get("id")), row.get("name")
        if key is not None and isinstance(name, str) and _plain(name) != _plain(names[key]):
            ids[key] = f"{key} is the id of {name} and of {names[key]}"
    return ids


def find_category(name: str) -> int | None:
    """Our id of a category by its name, label or COCO name, however it is spaced; None if unknown."""
    return _BY_NAME.get(_plain(name))


def _plain(name: str) -> str:
    """A name without case, and with spaces between its words."""
    return " ".join(re.findall(r"\w+", name.lower().replace("_", " ")))


_BY_NAME = {_plain(n): c.id for c in CATEGORIES for n in (c.name, c.label, c.coco_name)}
