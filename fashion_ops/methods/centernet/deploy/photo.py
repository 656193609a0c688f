"""Decoding a photo no larger than a network's input needs.

A JPEG decoder can return an image at 1/2, 1/4 or 1/8 of its size in a fraction of the time, averaging
pixels rather than skipping them. Pixel i of such an image covers pixels f*i to f*i + f-1 of the photo.
"""

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import ExifTags, Image

from fashion_ops.catalog.images import probe_bytes
from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.reader import decode_rgb

REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
# EXIF orientations that put the last stored column (first tuple) or row (second) first
MIRRORED = ((2, 3, 6, 7), (3, 4, 7, 8))
SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True)
class Photo:
    """An upright photo, possibly decoded at a reduced size.

    Attributes:
        pixels: RGB uint8 (h, w, 3).
        size: width and height of the whole photo.
        factor: a point p of ``pixels`` is at ``factor * p + shift`` of the whole photo.
        shift: see ``factor``.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    factor: int = 1
    shift: tuple[float, float] = (0.0, 0.0)

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Convert points (..., 2) from ``pixels`` to the whole photo."""
        return points * self.factor + np.array(self.shift, points.dtype)


def decode_reduced(data: bytes, name: str, side: int) -> Photo:
    """Decode a photo; a JPEG at the smallest reduced size whose longer side is not below ``side``.

    Args:
        data: bytes of an image file; turned upright by its EXIF orientation.
        name: used in error messages.
        side: of the network's input, pixels.

    Raises:
        ValueError: the bytes are no image, or a truncated or too large one; the message starts with
            ``name``.
    """
    try:
        stored = probe_bytes(data)
    except Refused as refused:
        raise ValueError(f"{name}: {refused.reason.value}: {refused.value}") from refused
    factor = next((f for f in REDUCED if max(stored) >= f * side), 1)
    bgr = None
    if factor > 1 and data.startswith(b"\xff\xd8\xff"):
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[factor])
    if bgr is None:
        pixels = decode_rgb(data, name, upright=True)
        return Photo(pixels, (pixels.shape[1], pixels.shape[0]))
    with Image.open(BytesIO(data)) as header:
        orientation = header.getexif().get(ExifTags.Base.Orientation, 1)
    width, height = stored[::-1] if orientation in SIDEWAYS else stored
    # The last pixel of a row may cover fewer than f pixels; where the row is mirrored it comes first.
    x, y = (
        (factor - 1) / 2 + (whole - factor * small if orientation in mirrored else 0)
        for whole, small, mirrored in zip((width, height), bgr.shape[1::-1], MIRRORED, strict=True)
    )
    return Photo(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), (width, height), factor, (x, y))
