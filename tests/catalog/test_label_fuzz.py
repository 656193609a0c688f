"""Label JSON changed at random: one-line refusals only, and every record is a garment or a refusal.

FASHION_OPS_LONG=1 tries 2,000 changes instead of 120. A failure names its seed.
"""

import gzip
import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from raw_data import HEIGHT, WIDTH, item, jpeg
from test_ingest_coco import annotation, image

from fashion_ops.catalog.ingest import DataSet, ingest
from fashion_ops.taxonomy import CATEGORIES

CHANGES = 2000 if "FASHION_OPS_LONG" in os.environ else 120
VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1.0,
        1.5,
        2**63,
        2**64 + 1,
        10**30,
        1e300,
        -0.0,
        "",
        "1",
        "x",
        "\ud800",
    ),
    *(float("nan"), float("inf"), [], {}, [[]], [1], [[1, 2]], {"counts": [1], "size": [2, 2]}, "../x"),
    *("images\\000001.jpg", "/etc/passwd", "a\0b", "x" * 5000, [0] * 882, [[1, 2], [3, 4]], "vest"),
)


def coco():
    """Three images; garments, a crowd, one polygon without its list."""
    names = [{"id": c.id, "name": c.coco_name} for c in CATEGORIES]
    annotations = [
        annotation(1, 1),
        annotation(2, 1, "vest", segmentation=None),
        annotation(3, 2, iscrowd=1),
        annotation(4, 2, segmentation=[10, 20, 55, 20, 55, 70]),
        annotation(5, 2, "shorts", keypoints=[], num_keypoints=0),
    ]
    return {"images": [image(1), image(2), image(3)], "annotations": annotations, "categories": names}


def deepfashion2():
    """One image's labels."""
    return {"source": "shop", "pair_id": 1, "item1": item(), "item2": item("vest")}


def places(node, at=()):
    """The place of each value in a tree of JSON; one of the numbers in each list."""
    yield at
    if not isinstance(node, dict | list):
        return
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(node, dict) or isinstance(child, dict | list) or key == len(node) - 1:
            yield from places(child, (*at, key))


def change_tree(rng, tree):
    """One value replaced, removed, repeated or exchanged."""
    everywhere = list(places(tree))
    *path, last = everywhere[rng.integers(1, len(everywhere))]
    parent = tree
    for key in path:
        parent = parent[key]
    kind = rng.integers(5)
    if kind == 0:
        del parent[last]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(int(rng.integers(len(parent) + 1)), parent[last])
    elif kind == 2 and isinstance(parent[last], int | float):
        parent[last] = [float, str, lambda v: v + 2**63, lambda v: -v][rng.integers(4)](parent[last])
    else:
        parent[last] = VALUES[rng.integers(len(VALUES))]


def change_bytes(rng, data):
    """The file cut, with other bytes in it, repeated, packed, or in another encoding."""
    at, end = np.sort(rng.integers(0, len(data), 2)).tolist()
    changed = [
        data[:at],
        data[:at] + bytes([rng.integers(256)]) + data[at + 1 :],
        data[:at] + data[end:],
        data[:end] + data[at:],
        data[:at]
        + [b"[" * 100_000, b'{"a":' * 100_000, b"\0", b"]", b'"', b"NaN"][rng.integers(6)]
        + data[at:],
        b"\xef\xbb\xbf" + data,
        data.decode("utf-8", "replace").encode("utf-16"),
        data.decode("utf-8", "replace").encode("utf-16")[:end],
        gzip.compress(data),
        data + b" {}",
    ]
    return changed[rng.integers(len(changed))]


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory):
    """A data set of each layout, with valid images; their label files are written by the tests."""
    root = tmp_path_factory.mktemp("fuzz")
    for folder, names in (("coco/images", "123"), ("deepfashion2/train/image", "12")):
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / f"00000{name}.jpg").write_bytes(jpeg(width=WIDTH, height=HEIGHT))
    (root / "deepfashion2/train/annos").mkdir()
    (root / "deepfashion2/train/annos/000002.json").write_text(json.dumps(deepfashion2()))
    return {
        "coco": (root / "coco", root / "coco/labels.json", coco),
        "deepfashion2": (
            root / "deepfashion2",
            root / "deepfashion2/train/annos/000001.json",
            deepfashion2,
        ),
    }


def read(source, root, folder, copy):
    """Ingest; None if it is refused in one line, else the number of records, rows and refusals."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        totals = ingest(
            [DataSet(source, root, None if copy else "../raw")], folder, shard_mb=1, workers=1
        )
    except ValueError as error:
        assert len(str(error).splitlines()) == 1 and str(root) in str(error)
        return None
    garments = pq.read_table(folder / "garments.parquet").num_rows
    refused = pq.read_table(folder / "quarantine.parquet").to_pylist()
    assert totals.records == garments + sum(row["num_records"] for row in refused)
    assert totals.crowds.total() == sum(row["reason"] == "crowd region" for row in refused)
    return totals.records, garments, refused


def num_labels(data):
    """How many labels a file holds, as the standard library reads it; 0 where it can't."""
    try:
        content = json.loads(data)
        return sum(isinstance(a, dict) for a in content["annotations"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0


@pytest.mark.parametrize("source", ["coco", "deepfashion2"])
def test_changed_labels_end_in_the_tables_and_lose_nothing(data_sets, tmp_path, source):
    root, path, make = data_sets[source]
    counts = {"garments": 0, "refused rows": 0, "refused whole": 0}
    for seed in range(CHANGES // 2):
        rng = np.random.default_rng(seed)
        tree = make()
        for _ in range(rng.integers(1, 4)):
            change_tree(rng, tree)
        data = json.dumps(tree).encode()
        if rng.random() < 0.4:
            data = change_bytes(rng, data)
        path.write_bytes(data)
        try:
            result = read(source, root, tmp_path / "catalog", copy=seed % 2 == 0)
            if result is None:
                counts["refused whole"] += 1
                continue
            records, garments, refused = result
            whole = any(r["item"] == "" and r["file"] == path.name for r in refused)
            assert whole or records >= num_labels(data), "labels lost"
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {data[:300]!r}") from error
        counts["garments"] += garments
        counts["refused rows"] += len(refused)
    print(f"{source}, seeds 0..{CHANGES // 2 - 1}: {counts}")
    assert counts["garments"] > CHANGES / 4 and counts["refused rows"] > CHANGES / 8
