"""Reading a catalog: its tables as DataFrames, its images by id.

Images come from memory-mapped Arrow shards or, where images were left in place, from the files that
the catalog names, relative to its folder. OpenCV decodes them, or Pillow where they are transparent;
images are RGB uint8.
"""

import warnings
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image, ImageOps

from fashion_ops.catalog.stderr import decoder_messages
from fashion_ops.errors.reading import read_table, readable

SHARD_NAME = "shard-{:05d}.arrow"
LAYOUT = pa.schema({"image_id": pa.int64(), "bytes": pa.binary()})  # of encoded images
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def decode_rgb(
    data: bytes | memoryview, name: str, *, upright: bool = False, shrink: int = 1
) -> np.ndarray:
    """Decode image bytes to RGB uint8 (H, W, 3).

    Gray, palette, CMYK and 16-bit images become RGB too; transparent pixels become white, whatever
    colour is stored there.

    Args:
        data: the encoded image.
        name: what to call it in an error.
        upright: rotate it by its EXIF orientation. Labels are made for images as they are stored, so
            images of a catalog are not rotated.
        shrink: 1, 2, 4 or 8: the factor by which to decode the image smaller, its sides rounded up; of
            a JPEG only the needed part is decoded. Transparent images keep their size.

    Raises:
        ValueError: the bytes are no image that can be decoded.
    """
    try:
        if _transparent(data):
            return _on_white(data, upright)
        flags = _REDUCED[shrink] if upright else _REDUCED[shrink] | cv2.IMREAD_IGNORE_ORIENTATION
        image = imdecode(data, flags, name)
    except (cv2.error, OSError, SyntaxError) as error:  # also of no bytes, or of too many pixels
        raise ValueError(f"{name}: not an image that can be decoded: {error}") from error
    if image is None:
        raise ValueError(f"{name}: not an image that can be decoded")
    return image


def imdecode(data: bytes | memoryview, flags: int, name: str) -> np.ndarray | None:
    """``cv2.imdecode`` to RGB; what the decoder prints becomes a warning that names the image.

    Libjpeg reads over damage, and prints ``Corrupt JPEG data`` on stderr without saying of which file.
    It writes red first by itself, which saves a pass over the pixels.
    """
    red_first = bytes(data[:3]) == b"\xff\xd8\xff"
    with decoder_messages() as messages:
        flags = flags & ~cv2.IMREAD_COLOR_BGR | cv2.IMREAD_COLOR_RGB if red_first else flags
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    for line in messages:
        text = f"{name}: {line}; a part of it may be missing: copy it again, or save it anew"
        warnings.warn(text, stacklevel=2)
    return image if image is None or red_first else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _transparent(data: bytes | memoryview) -> bool:
    """Whether the header of a PNG, WebP, TIFF or AVIF announces transparency."""
    head = bytes(data[:32])
    if head[:4] in (b"II*\0", b"MM\0*") or head[4:12] in (b"ftypavif", b"ftypavis"):
        with Image.open(BytesIO(data)) as image:
            return image.mode in ("RGBA", "RGBa", "LA", "La", "PA")
    if head[:4] == b"\x89PNG" and len(head) > 25:
        return head[25] in (4, 6) or b"tRNS" in bytes(data).partition(b"IDAT")[0]
    if head[8:15] == b"WEBPVP8" and len(head) > 24:
        extended, lossless = head[15:16] == b"X", head[15:16] == b"L"
        return (extended and bool(head[20] & 0x10)) or (lossless and bool(head[24] & 0x10))
    return False


def _on_white(data: bytes | memoryview, upright: bool) -> np.ndarray:
    with Image.open(BytesIO(data)) as image:
        rgba = (ImageOps.exif_transpose(image) if upright else image).convert("RGBA")
    page = Image.new("RGBA", rgba.size, "white")
    page.alpha_composite(rgba)
    return np.array(page.convert("RGB"))


class Catalog:
    """Reads one data set written by the ``ingest`` step from its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: dict[int, pa.Table] = {}

    @cached_property
    def images(self) -> pd.DataFrame:
        """``images.parquet`` indexed by image_id."""
        table = read_table(self.folder / "images.parquet", needs=("image_id", "split"))
        return table.set_index("image_id", drop=False)

    @cached_property
    def garments(self) -> pd.DataFrame:
        """``garments.parquet`` indexed by garment_id."""
        table = read_table(self.folder / "garments.parquet", needs=("garment_id", "image_id", "split"))
        return table.set_index("garment_id", drop=False)

    @cached_property
    def quarantine(self) -> pd.DataFrame:
        """``quarantine.parquet``."""
        return read_table(self.folder / "quarantine.parquet")

    def image_bytes(self, image_id: int) -> bytes:
        """The encoded bytes of an image, as in the source."""
        shard, row, path = self._places[image_id]
        if shard < 0:
            file = self.folder / path
            with readable(file, "an image"):
                return file.read_bytes()
        return self._shard(shard)["bytes"][row].as_py()

    def image(self, image_id: int, shrink: int = 1) -> np.ndarray:
        """An image as RGB uint8 (H, W, 3), smaller by the factor ``shrink`` (see ``decode_rgb``)."""
        return decode_rgb(self.image_bytes(image_id), f"image {image_id}", shrink=shrink)

    @cached_property
    def _places(self) -> dict[int, tuple[int, int, str]]:
        """Shard, row and path by image id; a DataFrame look-up is as slow as decoding a small JPEG."""
        table = self.images
        places = zip(table["shard"].tolist(), table["row"].tolist(), table["path"], strict=True)
        return dict(zip(table["image_id"].tolist(), places, strict=True))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": {}}  # another process maps the shards itself

    def _shard(self, number: int) -> pa.Table:
        if number not in self._shards:
            path = self.folder / "shards" / SHARD_NAME.format(number)
            with readable(path, "a shard of images"):
                self._shards[number] = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return self._shards[number]


def draw_subset(images: pd.DataFrame, split: str, number: int, seed: int) -> pd.DataFrame:
    """Draw ``number`` images of a split at random, or all if there are fewer.

    Args:
        images: ``schemas.IMAGES``.
        split: name of the split.
        number: how many rows to draw.
        seed: of the draw.

    Returns:
        The rows, in the order of the catalog.
    """
    rows = images[images["split"] == split]
    drawn = np.random.default_rng(seed).permutation(len(rows))[:number]
    return rows.iloc[np.sort(drawn)]
