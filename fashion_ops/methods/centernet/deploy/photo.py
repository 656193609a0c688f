"""Decoding a photo no larger than a network's input needs.

A JPEG decoder can return an image at 1/2, 1/4 or 1/8 of its size in a fraction of the time, averaging
pixels rather than skipping them. Pixel i of such an image covers pixels f*i to f*i + f-1 of the photo.
"""

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import ExifTags, JpegImagePlugin

from fashion_ops.catalog.images import MAX_BYTES, MAX_PIXELS, PROGRESSIVE, jpeg_frame, probe_bytes
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.reader import decode_rgb, imdecode

REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
# EXIF orientations that put the last stored column (first tuple) or row (second) first
MIRRORED = ((2, 3, 6, 7), (3, 4, 7, 8))
SIDEWAYS = (5, 6, 7, 8)
_JPEG = b"\xff\xd8\xff"
_MENDS = {
    Reason.MISSING: "name a photo that exists",
    Reason.PERMISSION: "make it readable for this user",
    Reason.UNDECODABLE: "save it as JPEG or PNG",
    Reason.TRUNCATED: "copy it again",
    Reason.BOMB: "save it as JPEG, which may be larger, or with fewer pixels",
    Reason.BYTES: "save it with fewer pixels or more compression",
}


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

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Convert points (..., 2) from the whole photo to ``pixels``."""
        return (points - np.array(self.shift, points.dtype)) / self.factor

    def inside(self, box: np.ndarray) -> np.ndarray:
        """Convert a box (4,) x1, y1, x2, y2 from ``pixels`` to the whole photo, clipped to it."""
        limit = np.array(self.size, np.float32) - 1
        return self.to_photo(box.reshape(2, 2)).clip(0, limit).reshape(4)


def decode_reduced(data: bytes, name: str, side: int | None = None) -> Photo:
    """Decode a photo; a JPEG no larger than needed.

    A JPEG may have up to 64 times ``MAX_PIXELS``, a progressive one up to 4 times, which is what its
    decoder keeps in memory. Other formats are decoded whole and may have ``MAX_PIXELS``.

    Args:
        data: bytes of an image file; turned upright by its EXIF orientation.
        name: used in error messages.
        side: of the network's input, pixels: a JPEG is decoded at the smallest reduced size whose
            longer side is not below it. None decodes whole, up to ``MAX_PIXELS``.

    Raises:
        ValueError: the bytes are no image, or a truncated or too large one; the message starts with
            ``name``.
    """
    try:
        stored, least = _probe(data)
    except Refused as refused:
        raise refused_photo(name, refused) from refused
    factor = 1 if side is None else next((f for f in REDUCED if max(stored) >= f * side), 1)
    factor, rgb = max(factor, least), None
    if factor > 1 and data.startswith(_JPEG):
        rgb = imdecode(data, REDUCED[factor], name)
        if rgb is None and least > 1:
            raise ValueError(f"{name}: {Reason.UNDECODABLE.value}; {_MENDS[Reason.UNDECODABLE]}")
    if rgb is None:
        pixels = decode_rgb(data, name, upright=True)
        return Photo(pixels, (pixels.shape[1], pixels.shape[0]))
    orientation = _orientation(data)
    width, height = stored[::-1] if orientation in SIDEWAYS else stored
    # The last pixel of a row may cover fewer than f pixels; where the row is mirrored it comes first.
    x, y = (
        (factor - 1) / 2 + (whole - factor * small if orientation in mirrored else 0)
        for whole, small, mirrored in zip((width, height), rgb.shape[1::-1], MIRRORED, strict=True)
    )
    return Photo(rgb, (width, height), factor, (x, y))


def refused_photo(name: str, refused: Refused) -> ValueError:
    """The error of a photo that is refused: what it is, and what would be read."""
    why = "cannot be read" if refused.reason is Reason.MISSING else refused.reason.value
    return ValueError(f"{name}: {why}: {refused.value}; {_MENDS.get(refused.reason, 'take another')}")


def _probe(data: bytes) -> tuple[tuple[int, int], int]:
    """Stored (width, height) of a photo, and the least factor by which it must be reduced.

    Raises:
        Refused: as ``images.probe_bytes``.
    """
    frame = jpeg_frame(data) if data.startswith(_JPEG) and len(data) <= MAX_BYTES else None
    if frame is None or frame[1] * frame[2] <= MAX_PIXELS:
        return probe_bytes(data), 1
    marker, width, height = frame
    limit = MAX_PIXELS * (4 if marker == PROGRESSIVE else 64)
    if width * height > limit:
        kind = "progressive JPEG" if marker == PROGRESSIVE else "JPEG"
        raise Refused(Reason.BOMB, f"{width}x{height} pixels, limit of a {kind} {limit}")
    if not data.endswith(b"\xff\xd9"):  # cut off, or with a trailer, as some cameras write
        try:
            with JpegImagePlugin.JpegImageFile(BytesIO(data)) as image:
                image.draft("RGB", (width // 8, height // 8))
                image.load()
        except (OSError, SyntaxError) as error:
            raise Refused(Reason.TRUNCATED, f"{len(data)} bytes: {error}") from None
    least = next(f for f in (2, 4, 8) if width * height <= f * f * MAX_PIXELS)
    return (width, height), least


def _orientation(data: bytes) -> int:
    """EXIF orientation of a JPEG, whose size does not matter here."""
    with JpegImagePlugin.JpegImageFile(BytesIO(data)) as header:
        return header.getexif().get(ExifTags.Base.Orientation, 1)
