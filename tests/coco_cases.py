"""Random COCO ground truth and results, and what tools and accidents make of them."""

import copy
import json
import math
from typing import Any

import numpy as np

from fashion_ops.taxonomy import CATEGORIES, category

SIZES = (12, 40, 90, 97, 150, 400)


def random_case(seed: int, num_images: int = 9) -> tuple[dict, list]:
    """A small data set with everything that makes scoring hard."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice([1, 3, 8, 9, 13], rng.integers(1, 4), replace=False)
    images = [
        {"id": int(i), "file_name": f"{i}.jpg", "width": 500, "height": 500}
        for i in rng.permutation(num_images)
    ]
    annotations, results = [], []
    for image in images:
        for _ in range(rng.integers(0, 5)):
            add_garment(rng, int(rng.choice(kinds)), image["id"], annotations, results)
    data = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": c.id} for c in CATEGORIES],
    }
    rng.shuffle(results)
    missing = rng.integers(0, num_images)
    return data, [r for r in results if r["image_id"] != missing]


def add_garment(rng, kind: int, image: int, annotations: list, results: list) -> None:
    w, h = rng.choice(SIZES, 2)
    x, y = rng.integers(0, 200, 2)
    slots, n = category(kind).slots, category(kind).num_landmarks
    keypoints = np.zeros((294, 3))
    points = rng.uniform(0, 1, (n, 2)) * (w, h) + (x, y)
    visibility = rng.choice([0, 1, 2], n) * (rng.random() > 0.15)
    keypoints[slots] = np.column_stack((points, visibility)) * (visibility > 0)[:, None]
    annotation = {
        "id": len(annotations) + 1,
        "image_id": image,
        "category_id": kind,
        "bbox": [float(v) for v in (x, y, w, h)],
        "area": float(w * h),
        "iscrowd": int(rng.random() < 0.1),
        "num_keypoints": int((visibility > 0).sum()),
        "keypoints": keypoints.ravel().tolist(),
    }
    annotations.append(annotation)
    if rng.random() < 0.2:  # the same garment labelled twice
        annotations.append({**annotation, "id": len(annotations) + 1})
    for _ in range(rng.choice([0, 1, 2, 15])):
        filler = rng.choice([0.0, 1.0, 9.0])
        keypoints = np.full((294, 3), filler) * (x + w / 2, y + h / 2, 1)
        noise = rng.choice([0.0, 0.03, 0.1]) * np.sqrt(w * h)
        keypoints[slots, :2] = points + rng.normal(0, 1, (n, 2)) * noise
        record = {
            "image_id": image,
            "category_id": kind if rng.random() < 0.9 else int(rng.integers(1, 14)),
            "score": float(rng.choice([0.1, 0.5, 0.5, 0.9, rng.random()])),
            "keypoints": keypoints.ravel().tolist(),
        }
        results += [record] * int(rng.choice([1, 1, 1, 3]))


IDS = (
    0,
    1,
    2,
    -1,
    1.0,
    1.5,
    "1",
    "a",
    "",
    None,
    True,
    [1],
    {},
    2**53,
    2**63,
    2**64 + 1,
    1e30,
    math.nan,
)
NUMBERS = (
    *(0, 0.0, -0.0, 1, -1, 0.5, -7.5, 31.9, 1024, 1e-300, 1e9, 3_000_000_000, 10**19, 1e200, -1e200),
    *(math.nan, math.inf, -math.inf, "3", "x", None, True, [], 10**400),
)
FLAGS = (0, 1, 2, -1, 0.0, 1.0, True, False, None, "0", "1", "", [], math.nan)


def odd_case(seed: int) -> tuple[Any, Any]:
    """A random case with up to four things changed that tools or people get wrong."""
    data, results = random_case(seed, num_images=int(np.random.default_rng(seed).integers(1, 5)))
    data, results = json.loads(json.dumps([data, results]))
    rng = np.random.default_rng((seed, 1))
    for _ in range(rng.integers(0, 5)):
        change = CHANGES[rng.integers(len(CHANGES))]
        changed = change(rng, data, results)
        data, results = (data, results) if changed is None else changed
    return copy.deepcopy(data), copy.deepcopy(results)  # no object twice


def pick(rng, rows):
    """One of ``rows``, or an empty object that nobody misses."""
    return rows[rng.integers(len(rows))] if len(rows) else {}


def odd(rng, values):
    """One of ``values``."""
    return values[rng.integers(len(values))]


def lists(rng, data):
    return data.get(odd(rng, ("images", "annotations", "categories")), [])


def drop_field(rng, data, results):
    row = pick(rng, results if rng.random() < 0.4 else lists(rng, data))
    if row:
        row.pop(odd(rng, sorted(row)), None)


def drop_field_everywhere(rng, data, results):
    rows = results if rng.random() < 0.3 else lists(rng, data)
    name = odd(rng, sorted(pick(rng, rows)) or ["id"])
    for row in rows:
        row.pop(name, None)


def odd_id(rng, data, results):
    rows = results if rng.random() < 0.3 else lists(rng, data)
    pick(rng, rows)[odd(rng, ("id", "image_id", "category_id"))] = odd(rng, IDS)


def ids_as(rng, data, results):
    """All ids of a kind as floats, as texts, shifted, or huge."""
    name = odd(rng, ("image", "category"))
    turn = odd(
        rng, (float, str, lambda i: i + 2**53, lambda i: i + 2**64, lambda i: -i, lambda i: i - 1)
    )
    rows = [(row, "id") for row in data.get("images" if name == "image" else "categories", [])]
    rows += [(r, f"{name}_id") for r in (*data["annotations"], *results) if rng.random() < 0.95]
    for row, key in rows:
        if isinstance(row.get(key), int | float) and math.isfinite(row[key]):
            row[key] = turn(row[key])


def same_id(rng, data, results):
    rows = lists(rng, data)
    pick(rng, rows)["id"] = pick(rng, rows).get("id")


def listed_twice(rng, data, results):
    rows = results if rng.random() < 0.3 else lists(rng, data)
    if rows:
        rows.insert(int(rng.integers(len(rows) + 1)), copy.deepcopy(pick(rng, rows)))


def empty(rng, data, results):
    (results if rng.random() < 0.2 else lists(rng, data)).clear()


def odd_crowd(rng, data, results):
    pick(rng, data["annotations"])["iscrowd"] = odd(rng, FLAGS)


def odd_count(rng, data, results):
    pick(rng, data["annotations"])["num_keypoints"] = odd(rng, (*FLAGS, 5, 0))


def odd_area(rng, data, results):
    pick(rng, data["annotations"])["area"] = odd(rng, NUMBERS)


def odd_score(rng, data, results):
    scores = (*NUMBERS, 1e308, -1e308, 5e-324, 2**62 + 1, 2**62, 0.5, 0.5)
    for _ in range(rng.integers(1, 4)):
        pick(rng, results)["score"] = odd(rng, scores)


def tied_scores(rng, data, results):
    for row in results:
        row["score"] = 1 if rng.random() < 0.5 else 1.0


def odd_box(rng, data, results):
    boxes = ([5, 5, -9, -9], [0, 0, 0, 0], [1, 2, 3], [1, 2, 3, 4, 5], [], None, ["1", 2, 3, 4], 7)
    row = pick(rng, data["annotations"] if rng.random() < 0.6 else results)
    row["bbox"] = odd(rng, (*boxes, [odd(rng, NUMBERS) for _ in range(4)]))


def results_with_boxes(rng, data, results):
    for row in results:
        if rng.random() < 0.97:
            row["bbox"] = [1, 2, float(odd(rng, (3, 40, 200))), odd(rng, (3, 40, 200, -5))]
    if rng.random() < 0.3 and results:
        results[0]["bbox"] = odd(rng, ([], None, 0, [1, 2, 3]))


def results_with_more(rng, data, results):
    if results:
        results[0][odd(rng, ("segmentation", "caption", "id", "area", "iscrowd"))] = odd(rng, NUMBERS)


def odd_keypoint(rng, data, results):
    row = pick(rng, data["annotations"] if rng.random() < 0.5 else results)
    keypoints = row.get("keypoints")
    if isinstance(keypoints, list) and keypoints:
        for _ in range(rng.integers(1, 5)):
            keypoints[rng.integers(len(keypoints))] = odd(rng, NUMBERS)


def odd_keypoints(rng, data, results):
    row = pick(rng, data["annotations"] if rng.random() < 0.5 else results)
    whole = row.get("keypoints") or []
    row["keypoints"] = odd(
        rng, ([], None, [0] * 51, [0] * 882, whole[:-1], whole[:-3], whole * 2, "x", {})
    )


def odd_visibility(rng, data, results):
    row = pick(rng, data["annotations"])
    keypoints = row.get("keypoints")
    if isinstance(keypoints, list) and len(keypoints) == 882:
        row["keypoints"][2::3] = [odd(rng, (0, 1, 2, 3, -1, 0.5)) for _ in range(294)]


def nothing_labelled(rng, data, results):
    row = pick(rng, data["annotations"])
    row |= {"keypoints": odd(rng, ([], [0] * 882)), "num_keypoints": odd(rng, (0, 0, 3))}


def unknown_category(rng, data, results):
    pick(rng, results if rng.random() < 0.6 else data["annotations"])["category_id"] = 99


def unknown_image(rng, data, results):
    pick(rng, results if rng.random() < 0.5 else data["annotations"])["image_id"] = 99


def other_categories(rng, data, results):
    rows = [{"id": 0}, {"id": 70, "name": "x"}, {"id": 2.0}, {"id": "3"}, {"id": 5}, {"name": "y"}]
    data["categories"] = [*data.get("categories", []), odd(rng, rows)]


def few_categories(rng, data, results):
    data["categories"] = data.get("categories", [])[: int(rng.integers(0, 10))]


def many_results(rng, data, results):
    results += [copy.deepcopy(pick(rng, results)) for _ in range(60) if results]


def no_field_of_file(rng, data, results):
    data.pop(odd(rng, ("images", "annotations", "categories")), None)
    data |= {"images": data.get("images", []), "annotations": data.get("annotations", [])}
    if rng.random() < 0.5:
        data.setdefault("categories", [])


def other_top(rng, data, results):
    tops = ([], {}, None, 7, "x", [1], [{}])
    return (odd(rng, tops), results) if rng.random() < 0.5 else (data, odd(rng, tops))


def shuffled(rng, data, results):
    for rows in (*data.values(), results):
        rng.shuffle(rows)


# Each changes the data and results it gets, or returns others; what breaks the top level comes seldom.
CHANGES: list[Any] = [
    *(drop_field, drop_field_everywhere, odd_id, odd_id, ids_as, same_id, same_id, listed_twice, empty),
    *(odd_crowd, odd_count, odd_area, odd_score, odd_score, tied_scores, odd_box, results_with_boxes),
    *(results_with_more, odd_keypoint, odd_keypoint, odd_keypoints, odd_visibility, nothing_labelled),
    *(unknown_category, unknown_image, other_categories, few_categories, many_results, shuffled),
    no_field_of_file,
]
