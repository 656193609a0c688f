"""Images on their way to a worker: the same ones, a chunk of them in memory at a time."""

import pickle
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.shards import LAYOUT as SHARDS
from fashion_ops.catalog.shards import ShardWriter
from fashion_ops.catalog.training_data import LAYOUT, ImageChunks, ImageReader


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Nine images of noise with ids 100, 102, ... in two shards."""
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (200, 300, 3), np.uint8) for _ in range(9)]
    images = [bytes(cv2.imencode(".png", image)[1]) for image in noise]
    ids = np.arange(100, 118, 2)
    with ShardWriter(tmp_path / "shards", 1) as writer:
        shards, rows = writer.append(ids, images)
    table = {"image_id": ids, "split": "train", "shard": shards, "row": rows, "path": [""] * 9}
    pd.DataFrame(table).to_parquet(tmp_path / "images.parquet")
    return Catalog(tmp_path)


def test_every_image_arrives_once_and_as_it_was(catalog: Catalog, tmp_path: Path) -> None:
    assert LAYOUT == SHARDS
    ids = np.array([116, 100, 104, 100, 108, 110, 112])
    chunks = pickle.loads(pickle.dumps(ImageChunks(catalog, ids, size=4)))  # to the job store
    assert [chunk["image_id"].to_pylist() for chunk in chunks] == [[100, 104, 108, 110], [112, 116]]
    reader = ImageReader(chunks, tmp_path)
    for image_id in ids:
        np.testing.assert_array_equal(reader(image_id), catalog.image(image_id))
    again = pickle.loads(pickle.dumps(reader))  # to a process that shares the work
    np.testing.assert_array_equal(again(116), catalog.image(116))
    with pytest.raises(KeyError):
        reader(102)  # not asked for


def test_no_image_is_no_chunk(catalog: Catalog, tmp_path: Path) -> None:
    chunks = ImageChunks(catalog, np.array([], np.int64))
    assert len(chunks) == 0 and list(chunks) == []
    ImageReader(chunks, tmp_path)


def test_one_chunk_is_in_memory_and_none_afterwards(tmp_path: Path) -> None:
    alive: list[Any] = []
    most = 0

    def chunks() -> Any:
        nonlocal most
        for i in range(20):
            chunk = pa.table([[i], [bytes(1 << 20)]], schema=LAYOUT)
            alive.append(weakref.ref(chunk))
            most = max(most, sum(ref() is not None for ref in alive))
            yield chunk

    before = pa.total_allocated_bytes()
    reader = ImageReader(chunks(), tmp_path)
    assert most <= 2
    assert pa.total_allocated_bytes() - before < 2 << 20  # 20 MB are mapped from the file
    assert (tmp_path / "images.arrow").stat().st_size > 20 << 20
    assert reader is not None
