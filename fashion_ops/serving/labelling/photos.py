"""The bytes of a photo that a person drops on the page, as they are kept, shown and saved."""

import re
from io import BytesIO
from pathlib import PurePosixPath

import cv2
from PIL import Image

from fashion_ops.annotation.upright import orientation, upright
from fashion_ops.catalog.images import probe_bytes
from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.serving.limits import Limits, Refusal
from fashion_ops.serving.requests import pixels_of

MEDIA = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_KINDS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp"}  # that browsers show
_LONGEST = 80  # characters of a name
_THUMBNAIL = 160  # pixels of the longer side


def kept_photo(data: bytes, limits: Limits) -> tuple[bytes, str, tuple[int, int]]:
    """A photo turned upright in a format that browsers show, its suffix, and its width and height.

    A photo that is upright and in such a format keeps its bytes.

    Raises:
        Refusal: it is too large, or ``ingest`` would not take it.
    """
    if pixels_of(data) > limits.pixels:
        reason = f"more than {limits.megapixels:g} megapixels; drop it smaller"
        raise Refusal(413, "photo_too_large", reason)
    try:
        probe_bytes(data)
        with Image.open(BytesIO(data)) as image:
            kind = _KINDS.get(image.format or "", "")
        if not kind:
            data, kind = _png(data), ".png"
        elif orientation(BytesIO(data)) != 1:
            data = upright(BytesIO(data))
        width, height = probe_bytes(data)
    except Refused as refused:
        reason = f"{refused.reason}: {refused.value}; drop a photo in JPEG or PNG"
        raise Refusal(422, "photo", reason) from refused
    except (OSError, ValueError, SyntaxError) as error:
        raise Refusal(422, "photo", "cannot be decoded; drop a photo in JPEG or PNG") from error
    return data, kind, (width, height)


def _png(data: bytes) -> bytes:
    pixels = decode_rgb(data, "the photo", upright=True)
    return cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()


def thumbnail(data: bytes) -> bytes:
    """A small JPEG of a photo."""
    with Image.open(BytesIO(data)) as image:
        image.draft("RGB", (_THUMBNAIL, _THUMBNAIL))
        small = image.convert("RGB")
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        buffer = BytesIO()
        small.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def plain_name(name: str, kind: str) -> str:
    """What a photo is called: the last part of the person's name for it, with its true suffix."""
    stem = PurePosixPath(name.replace("\\", "/")).name.rpartition(".")[0] or name
    plain = re.sub(r"[^\w.-]+", "-", PurePosixPath(stem.replace("\\", "/")).name).strip(".-")
    return f"{plain[:_LONGEST] or 'photo'}{kind}"
