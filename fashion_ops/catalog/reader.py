"""Reading a catalog: its tables as DataFrames, its pictures by id.

Pictures come from memory-mapped Arrow shards (columns: image_id int64, bytes binary) or, where the
catalog was made by reference, from the files it names, seen from the catalog's folder. Decoding is
OpenCV, or Pillow where something shows through; pictures are RGB uint8.
"""

from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image, ImageOps

SHARD_NAME = "shard-{:05d}.arrow"


def decode_rgb(data: bytes | memoryview, name: str, *, upright: bool = False) -> np.ndarray:
    """Decode picture bytes to RGB uint8 (H, W, 3).

    Gray, palette, CMYK and 16-bit pictures come out as RGB too; what is transparent shows white, not
    the colour that happens to be stored there.

    Args:
        data: the encoded picture.
        name: what to call it in an error.
        upright: turn it by its EXIF orientation. Labels are made for pictures as they are stored, so
            a catalog's are not turned.

    Raises:
        ValueError: the bytes are no picture that can be decoded.
    """
    try:
        if _transparent(data):
            return _on_white(data, upright)
        flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except (cv2.error, OSError, SyntaxError) as error:  # also of no bytes, or of too many pixels
        raise ValueError(f"{name}: not a picture that can be decoded: {error}") from error
    if bgr is None:
        raise ValueError(f"{name}: not a picture that can be decoded")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _transparent(data: bytes | memoryview) -> bool:
    """Whether the header of a PNG or WebP announces transparency."""
    head = bytes(data[:32])
    if head[:4] == b"\x89PNG" and len(head) > 25:
        return head[25] in (4, 6) or b"tRNS" in bytes(data).partition(b"IDAT")[0]
    if head[8:15] == b"WEBPVP8" and len(head) > 24:
        extended, lossless = head[15:16] == b"X", head[15:16] == b"L"
        return (extended and bool(head[20] & 0x10)) or (lossless and bool(head[24] & 0x10))
    return False


def _on_white(data: bytes | memoryview, upright: bool) -> np.ndarray:
    with Image.open(BytesIO(data)) as picture:
        rgba = (ImageOps.exif_transpose(picture) if upright else picture).convert("RGBA")
    page = Image.new("RGBA", rgba.size, "white")
    page.alpha_composite(rgba)
    return np.array(page.convert("RGB"))


class Catalog:
    """One data set as written by the ``ingest`` step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards: dict[int, pa.Table] = {}

    @cached_property
    def images(self) -> pd.DataFrame:
        """``images.parquet`` indexed by image_id."""
        return pd.read_parquet(self.folder / "images.parquet").set_index("image_id", drop=False)

    @cached_property
    def garments(self) -> pd.DataFrame:
        """``garments.parquet`` indexed by garment_id."""
        return pd.read_parquet(self.folder / "garments.parquet").set_index("garment_id", drop=False)

    @cached_property
    def quarantine(self) -> pd.DataFrame:
        """``quarantine.parquet``."""
        return pd.read_parquet(self.folder / "quarantine.parquet")

    def image_bytes(self, image_id: int) -> bytes:
        """The encoded bytes of a picture, as they came in."""
        row: Any = self.images.loc[image_id]
        if row["shard"] < 0:
            return (self.folder / row["path"]).read_bytes()
        return self._shard(int(row["shard"]))["bytes"][int(row["row"])].as_py()

    def image(self, image_id: int) -> np.ndarray:
        """A picture as RGB uint8 (H, W, 3)."""
        return decode_rgb(self.image_bytes(image_id), f"image {image_id}")

    def _shard(self, number: int) -> pa.Table:
        if number not in self._shards:
            source = pa.memory_map(str(self.folder / "shards" / SHARD_NAME.format(number)))
            self._shards[number] = pa.ipc.open_file(source).read_all()
        return self._shards[number]
