"""Reading a catalog back: bytes as they came in, whichever way they are kept."""

import shutil

import cv2
import numpy as np
import pyarrow as pa
import pytest
from raw_data import Data, item, picture

from fashion_ops.catalog.reader import Catalog, decode_rgb
from fashion_ops.catalog.shards import ShardWriter


@pytest.mark.parametrize("copy_images", [True, False])
def test_bytes_come_back_as_they_went_in(data, copy_images):
    for i in range(1, 6):
        data.add(f"{i:06d}", item(), data=picture(seed=i))
    catalog = data.ingest(copy_images=copy_images)
    for i in range(1, 6):
        assert catalog.image_bytes(i) == picture(seed=i)
    assert (catalog.images["shard"] >= 0).all() == copy_images
    assert (catalog.folder / "shards").exists() == copy_images


def test_references_move_with_the_workspace(tmp_path):
    data = Data(tmp_path / "here")
    data.add("000001", item())
    images = data.ingest(copy_images=False).images
    assert images["path"].tolist() == ["../raw/train/image/000001.jpg"]
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert Catalog(tmp_path / "there" / "data" / "catalog").image_bytes(1) == picture()


def test_an_absolute_root_is_kept_absolute(data, tmp_path):
    data.add("000001", item())
    images = data.ingest(root=str(data.root.absolute()), copy_images=False).images
    assert images["path"].tolist() == [f"{data.root.absolute()}/train/image/000001.jpg"]


def test_pictures_are_rgb_and_not_turned():
    blue = np.zeros((8, 16, 3), np.uint8)
    blue[:, :, 0] = 255  # OpenCV encodes BGR
    decoded = decode_rgb(cv2.imencode(".png", blue)[1].tobytes(), "x")
    assert decoded.shape == (8, 16, 3)
    assert decoded[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(ValueError, match="lost: not a picture"):
        decode_rgb(b"nothing", "lost")


def test_shards_close_before_they_grow_too_large(tmp_path):
    pictures = [bytes([i]) * (400 << 10) for i in range(7)] + [b"x" * (3 << 20), b"y"]
    with ShardWriter(tmp_path / "shards", megabytes=1) as writer:
        first = writer.append(np.arange(4), pictures[:4])
        second = writer.append(np.arange(4, 9), pictures[4:])
    shards, rows = (np.concatenate(pair).tolist() for pair in zip(first, second, strict=True))
    assert shards == [0, 0, 1, 1, 2, 2, 3, 4, 5]
    assert rows == [0, 1, 0, 1, 0, 1, 0, 0, 0]
    for image_id, (shard, row) in enumerate(zip(shards, rows, strict=True)):
        path = tmp_path / "shards" / f"shard-{shard:05d}.arrow"
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        assert table["image_id"][row].as_py() == image_id
        assert table["bytes"][row].as_py() == pictures[image_id]
