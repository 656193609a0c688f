"""Checks that a file is a whole image, and reads its size, from a few hundred bytes of it.

In the ordinary case, JPEG or PNG, the header and the closing marker are read, nothing is decoded.
Unusual files (other formats, bytes after the closing marker, rare kinds of JPEG) are decoded. Limits
are checked first: bytes before a file is read, pixels (from the header) before it is decoded. Damage
in the middle of a JPEG is not searched for: decoders read over it.
"""

import hashlib
import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from fashion_ops.catalog.quarantine import Reason, Refused, is_utf8
from fashion_ops.catalog.sources.base import IMAGE_SUFFIXES

MAX_PIXELS = 1 << 26
MAX_BYTES = 1 << 26
_HEAD = 2048
_TAIL = 12
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
PROGRESSIVE = 0xC2
_ORDINARY_FRAMES = frozenset((0xC0, 0xC1, PROGRESSIVE))  # baseline, extended, progressive
_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)  # orientations that swap width and height
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD8)))


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """A valid image, as in images.parquet. ``data`` and ``sha256`` are empty if it stays in place."""

    split: str
    file_name: str
    coco_id: int
    width: int
    height: int
    source: str
    pair_id: int
    data: bytes
    sha256: str


def check_image(
    root: Path, file_name: str, copy: bool, *, split: str, coco_id: int, source: str, pair_id: int = -1
) -> CheckedImage:
    """Check the image ``root / file_name`` and, if ``copy``, read its bytes.

    Raises:
        Refused: as ``probe_file`` does; or the file's suffix is not one that is read, and nor is it.
    """
    path, data, digest = f"{root}/{file_name}", b"", ""  # a path object per image is slow
    if not is_utf8(file_name):
        raise Refused(Reason.MISSING, "its name is no UTF-8; rename it")
    try:
        if copy:
            data = read_image(path)
            width, height = probe_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
        else:
            width, height = probe_file(path)
    except Refused as refused:
        suffix = os.path.splitext(file_name)[1]  # noqa: PTH122
        if refused.reason is Reason.UNDECODABLE and suffix.lower() not in IMAGE_SUFFIXES:
            said = f"{suffix or 'no suffix'}; convert it to .jpg or .png"
            raise Refused(Reason.SUFFIX, said) from None
        raise
    return CheckedImage(split, file_name, coco_id, width, height, source, pair_id, data, digest)


def turned_by(path: str | Path) -> str:
    """Say which EXIF orientation turns the image at ``path`` by a quarter; "" if none does."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            orientation = image.getexif().get(_ORIENTATION)
    except (OSError, ValueError, SyntaxError):
        return ""
    return f"EXIF orientation {orientation} turns it" if orientation in _QUARTER_TURNS else ""


def probe_file(path: str | Path) -> tuple[int, int]:
    """(width, height) of the image at ``path``.

    Raises:
        Refused: there is no such file, it cannot be decoded, is truncated, or has more than
            ``MAX_BYTES`` or ``MAX_PIXELS``.
    """
    handle, length = _open(path)
    try:
        head = os.pread(handle, _HEAD, 0)
        tail = head[-_TAIL:] if length <= _HEAD else os.pread(handle, _TAIL, length - _TAIL)
        return _probe(head, tail, lambda: _read_all(handle, length))
    except OSError as error:
        raise Refused(Reason.UNDECODABLE, error.strerror or "cannot be read") from None
    finally:
        os.close(handle)


def probe_bytes(data: bytes) -> tuple[int, int]:
    """(width, height) of the image in ``data``; raises Refused as ``probe_file`` does."""
    _check_bytes(len(data))
    return _probe(data, data[-_TAIL:], lambda: data)


def read_image(path: str | Path) -> bytes:
    """The bytes of an image file; nothing is read if there are too many.

    Raises:
        Refused: there is no such file, or it has more than ``MAX_BYTES``.
    """
    handle, length = _open(path)
    try:
        return _read_all(handle, length)
    except OSError as error:
        raise Refused(Reason.UNDECODABLE, error.strerror or "cannot be read") from None
    finally:
        os.close(handle)


def _open(path: str | Path) -> tuple[int, int]:
    """Handle and length of a regular file. Not of a pipe: reading would wait for a writer."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except PermissionError as error:
        raise Refused(Reason.PERMISSION, error.strerror or "access denied") from None
    except OSError as error:
        raise Refused(Reason.MISSING, error.strerror or "cannot be opened") from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Refused(Reason.MISSING, "is no regular file")
        _check_bytes(status.st_size)
    except Refused:
        os.close(handle)
        raise
    return handle, status.st_size


def _check_bytes(length: int) -> None:
    if length > MAX_BYTES:
        raise Refused(Reason.BYTES, f"{length} bytes, limit {MAX_BYTES}")


def _read_all(handle: int, length: int) -> bytes:
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        return file.read(length)


def _probe(head: bytes, tail: bytes, read_whole: Callable[[], bytes]) -> tuple[int, int]:
    if not head:
        raise Refused(Reason.UNDECODABLE, "empty file")
    size, complete = None, False
    if head.startswith(b"\xff\xd8\xff"):
        size = _jpeg_size(head) or _jpeg_size(read_whole())
        complete = tail.endswith(_JPEG_END)
    elif head.startswith(_PNG_START):
        size = (int.from_bytes(head[16:20]), int.from_bytes(head[20:24]))
        complete = tail == _PNG_END
    if size is None or 0 in size:
        return _decode(read_whole())
    _check_pixels(size)
    return size if complete else _decode(read_whole())


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Size in the frame header; None where the header lies beyond ``data`` or is of a rare kind."""
    frame = jpeg_frame(data)
    return frame[1:] if frame else None


def jpeg_frame(data: bytes) -> tuple[int, int, int] | None:
    """Marker (``PROGRESSIVE`` or another), width and height of a JPEG; None as ``_jpeg_size``."""
    at, end = 2, len(data) - 9
    while at <= end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _ORDINARY_FRAMES:
            width, height = data[at + 7 : at + 9], data[at + 5 : at + 7]
            return marker, int.from_bytes(width), int.from_bytes(height)
        if marker == 0xFF:
            at += 1
        elif marker in _BARE_MARKERS:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _check_pixels(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise Refused(Reason.BOMB, f"{size[0]}x{size[1]} pixels, limit {MAX_PIXELS}")


def _decode(data: bytes) -> tuple[int, int]:
    # Imported here so that workers which meet only ordinary images start faster.
    import cv2
    from PIL import Image, UnidentifiedImageError

    from fashion_ops.catalog.reader import decode_rgb

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data)) as image:
            _check_pixels(image.size)
            image.load()  # unlike OpenCV, fails on a file that ends too early
        height, width = decode_rgb(data, "image").shape[:2]
    except Image.DecompressionBombError as error:
        raise Refused(Reason.BOMB, str(error)) from None
    except UnidentifiedImageError:
        raise Refused(Reason.UNDECODABLE, f"starts with {data[:8]!r}") from None
    except (OSError, SyntaxError, EOFError) as error:
        reason = Reason.TRUNCATED if "truncated" in str(error).lower() else Reason.UNDECODABLE
        raise Refused(reason, f"{len(data)} bytes: {error}") from None
    except (ValueError, cv2.error) as error:
        raise Refused(Reason.UNDECODABLE, str(error)) from None
    return width, height
