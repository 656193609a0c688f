"""Reading a catalog back: bytes as they came in, whichever way they are kept."""

import io
import shutil

import cv2
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from raw_data import Data, item, jpeg

from fashion_ops.catalog.reader import Catalog, decode_rgb
from fashion_ops.catalog.shards import ShardWriter


@pytest.mark.parametrize("copy_images", [True, False])
def test_bytes_come_back_as_they_went_in(data, copy_images):
    for i in range(1, 6):
        data.add(f"{i:06d}", item(), data=jpeg(seed=i))
    catalog = data.ingest(copy_images=copy_images)
    for i in range(1, 6):
        assert catalog.image_bytes(i) == jpeg(seed=i)
    assert (catalog.images["shard"] >= 0).all() == copy_images
    assert (catalog.folder / "shards").exists() == copy_images


def test_references_move_with_the_workspace(tmp_path):
    data = Data(tmp_path / "here")
    data.add("000001", item())
    images = data.ingest(copy_images=False).images
    assert images["path"].tolist() == ["../raw/train/image/000001.jpg"]
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert Catalog(tmp_path / "there" / "data" / "catalog").image_bytes(1) == jpeg()


def test_an_absolute_root_is_kept_absolute(data, tmp_path):
    data.add("000001", item())
    images = data.ingest(root=str(data.root.absolute()), copy_images=False).images
    assert images["path"].tolist() == [f"{data.root.absolute()}/train/image/000001.jpg"]


def test_images_are_rgb_and_not_turned():
    blue = np.zeros((8, 16, 3), np.uint8)
    blue[:, :, 0] = 255  # OpenCV encodes BGR
    decoded = decode_rgb(cv2.imencode(".png", blue)[1].tobytes(), "x")
    assert decoded.shape == (8, 16, 3)
    assert decoded[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(ValueError, match="lost: not an image"):
        decode_rgb(b"nothing", "lost")


def test_every_mode_is_taken_and_read_as_rgb(data):
    """Alpha, palette, gray, CMYK, 16 bit: ingest keeps their bytes, the reader shows what one sees."""
    pixels = np.full((80, 60, 3), 255, np.uint8)
    pixels[20:50, 10:30] = (200, 10, 10)
    photo = Image.fromarray(pixels)
    there = (pixels[..., 1:2] < 50).astype(np.uint8)
    hidden = Image.fromarray(np.dstack([pixels * there, there * 255]))
    gray = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    kinds = [
        (photo, "PNG"),
        (hidden, "PNG"),  # transparent around, black stored there
        (hidden, "WEBP"),  # lossy
        (photo.quantize(4), "PNG"),
        (photo.convert("LA"), "PNG"),
        (gray, "PNG"),
        (photo.convert("CMYK"), "JPEG"),
    ]
    for i, (image_, kind) in enumerate(kinds, 1):
        target = io.BytesIO()
        image_.save(target, kind)
        data.add(f"{i:06d}", item(), data=target.getvalue())
    catalog = data.ingest()
    assert data.refusals == []
    for i in range(1, len(kinds) + 1):
        read = catalog.image(i)
        assert read.shape == (80, 60, 3)
        ys, xs = np.nonzero(read[..., 1] < 128)
        np.testing.assert_allclose([xs.min(), ys.min(), xs.max(), ys.max()], [10, 20, 29, 49], atol=1)


def test_shards_close_before_they_grow_too_large(tmp_path):
    images = [bytes([i]) * (400 << 10) for i in range(7)] + [b"x" * (3 << 20), b"y"]
    with ShardWriter(tmp_path / "shards", megabytes=1) as writer:
        first = writer.append(np.arange(4), images[:4])
        second = writer.append(np.arange(4, 9), images[4:])
    shards, rows = (np.concatenate(pair).tolist() for pair in zip(first, second, strict=True))
    assert shards == [0, 0, 1, 1, 2, 2, 3, 4, 5]
    assert rows == [0, 1, 0, 1, 0, 1, 0, 0, 0]
    for image_id, (shard, row) in enumerate(zip(shards, rows, strict=True)):
        path = tmp_path / "shards" / f"shard-{shard:05d}.arrow"
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        assert table["image_id"][row].as_py() == image_id
        assert table["bytes"][row].as_py() == images[image_id]
