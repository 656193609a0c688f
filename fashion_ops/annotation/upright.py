"""Photos that EXIF turns: labelling tools show them turned, ``ingest`` reads them as they are stored.

So a photo that was labelled as it is shown is saved turned, and one whose labels are of the stored
pixels is written without its orientation.
"""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

from fashion_ops.catalog.images import probe_file
from fashion_ops.catalog.quarantine import Reason, Refused

_TAG = 0x0112  # of the orientation
_QUALITY = 95  # of a JPEG that is saved turned
_QUARTER_TURN = 5  # orientations from here on swap width and height
_EXIF, _SCAN = 0xE1, 0xDA  # markers of a JPEG
Load = Callable[[], bytes]
Said = tuple[float | None, float | None]


def as_labelled(
    path: Path, said: Said = (None, None), *, shown: bool = True
) -> tuple[Load, tuple[int, int]]:
    """What reads a photo in the pixels that its labels mean, and its width and height.

    Args:
        path: of the photo.
        said: width and height by the labels, which tell a quarter turn; each None where they say none.
        shown: whether labels are of the photo as it is shown, where the sizes do not tell.

    Raises:
        Refused: the labels say another size, or as ``probe_file`` does.
    """
    stored = probe_file(path)
    number = orientation(path)
    turned = (stored[1], stored[0]) if number >= _QUARTER_TURN else stored
    ways: list[tuple[Load, tuple[int, int]]] = [(path.read_bytes, stored)]
    if number != 1:
        ways.insert(0 if shown else 1, (partial(upright, path), turned))
    for load, size in ways:
        if all(s is None or s == t for s, t in zip(said, size, strict=True)):
            return load, size
    size = f"the photo is {stored[0]}x{stored[1]}, its labels say {said[0]}x{said[1]}"
    raise Refused(Reason.SIZE, f"{size}; take the photo that was labelled")


def orientation(photo: Path | BytesIO) -> int:
    """EXIF's orientation of a photo, 1..8; 1 where it says none."""
    try:
        with Image.open(photo) as image:
            value = image.getexif().get(_TAG, 1)
    except (OSError, ValueError, SyntaxError):
        return 1
    return value if value in range(1, 9) else 1


def upright(photo: Path | BytesIO) -> bytes:
    """The photo turned by its EXIF orientation, in its own format and without EXIF."""
    with Image.open(photo) as image:
        return _saved(ImageOps.exif_transpose(image), image.format)


def as_stored(data: bytes) -> bytes:
    """The same photo without EXIF's orientation, so that every tool shows the stored pixels."""
    if orientation(BytesIO(data)) == 1:
        return data
    if data.startswith(b"\xff\xd8"):
        return _without_exif(data)
    with Image.open(BytesIO(data)) as image:
        return _saved(image, image.format)


def _saved(image: Image.Image, kind: str | None) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, quality=_QUALITY, exif=Image.Exif())
    return buffer.getvalue()


def _without_exif(jpeg: bytes) -> bytes:
    """The bytes of a JPEG without its EXIF segments."""
    kept, at = [jpeg[:2]], 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _SCAN:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4])
        if jpeg[at + 1] != _EXIF or not jpeg.startswith(b"Exif", at + 4):
            kept.append(jpeg[at:end])
        at = end
    return b"".join((*kept, jpeg[at:]))
