"""From the body of a request to decoded photos, within the limits.

A body is multipart/form-data with files ``photos`` and the other fields as texts, or JSON with base64.
No URL is fetched, and the names of files are not used.
"""

import asyncio
import base64
import binascii
import logging
import warnings
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from dataclasses import dataclass
from io import BytesIO
from typing import Generic, TypeVar

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from fashion_ops.errors.failures import one_line
from fashion_ops.measurement.references import ReferenceKind, Scaling
from fashion_ops.methods.centernet.deploy.photo import Photo, decode_reduced
from fashion_ops.serving.limits import Limits, Refusal

log = logging.getLogger(__name__)


class PhotosRequest(BaseModel):
    """The JSON body: photos in base64.

    Attributes:
        photos: of the encoded bytes of a JPEG, PNG or other image, each in base64.
        min_score: garments with a lower score are left out; None takes the one stored with the models.
    """

    model_config = ConfigDict(extra="forbid")

    photos: list[str] = Field(min_length=1)
    min_score: float | None = Field(default=None, ge=0, le=1)


class SizesRequest(PhotosRequest):
    """The JSON body for sizes.

    Attributes:
        reference: what gives the scale, see ``Scaling``.
        pixels_per_cm: the scale by hand, in place of a reference.
    """

    reference: ReferenceKind = "auto"
    pixels_per_cm: float | None = Field(default=None, ge=0.1, le=1e4, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_scale(self) -> "SizesRequest":
        if self.pixels_per_cm is not None and self.reference != "auto":
            raise ValueError("pixels_per_cm is a scale by hand; leave out reference")
        return self

    @property
    def scaling(self) -> Scaling:
        """How the scale of its photos is found."""
        return Scaling(self.reference, self.pixels_per_cm)


R = TypeVar("R", bound=PhotosRequest)


@dataclass(frozen=True)
class Photos(Generic[R]):
    """The encoded photos of a request, None for one that is no base64, and its other fields."""

    data: list[bytes | None]
    options: R


async def read_photos(request: Request, limits: Limits, schema: type[R]) -> Photos[R]:
    """Read the body of a request.

    Args:
        request: with its body unread.
        limits: of the body.
        schema: of the body.

    Raises:
        Refusal: it is too large, no such body, or has no photo.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            photos = await _read_form(request, limits, schema)
        elif kind == "application/json":
            body = b"".join([chunk async for chunk in _limited(request, limits)])
            photos = _read_json(body, schema)
        else:
            reason = "the body must be multipart/form-data or application/json"
            raise Refusal(415, "media_type", reason)
    except ClientDisconnect as error:
        raise Refusal(400, "disconnected", "the body ended before its end") from error
    if len(photos.data) > limits.photos:
        reason = f"{len(photos.data)} photos, at most {limits.photos} in a request"
        raise Refusal(413, "too_many_photos", reason)
    return photos


async def read_body(request: Request, limits: Limits) -> bytes:
    """The whole body of a request.

    Raises:
        Refusal: it is too large, or ended early.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    try:
        return b"".join([chunk async for chunk in _limited(request, limits)])
    except ClientDisconnect as error:
        raise Refusal(400, "disconnected", "the body ended before its end") from error


async def _limited(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    """The chunks of a body.

    Raises:
        Refusal: they are more than the limit.
    """
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limits.body_bytes:
            raise _too_large(limits)
        yield chunk


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, "body_too_large", f"the body is larger than {limits.body_mb:g} megabytes")


async def _read_form(request: Request, limits: Limits, schema: type[R]) -> Photos[R]:
    """Read a multipart body: files ``photos``, and the other fields of the schema as texts."""
    parser = MultiPartParser(
        request.headers, _limited(request, limits), max_files=limits.photos + 1, max_fields=8
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            reason = f"more than {limits.photos} photos in a request"
            raise Refusal(413, "too_many_photos", reason) from error
        raise Refusal(400, "body", f"no valid multipart body: {one_line(error.message)}") from error
    except Refusal:
        raise
    except Exception as error:  # the parser has several ways to fail at bytes of an enemy
        raise Refusal(400, "body", "no valid multipart body") from error
    try:
        if any(key not in schema.model_fields for key in form):
            reason = f"unknown field; there are {', '.join(schema.model_fields)}"
            raise Refusal(400, "body", reason)
        files = form.getlist("photos")
        data = [await file.read() for file in files if isinstance(file, UploadFile)]
        if len(data) < len(files) or not data:
            raise Refusal(400, "body", "photos must be one or more files")
        texts = {key: str(form[key]) for key in form if key != "photos"}
    finally:
        await form.close()
    try:
        options = schema.model_validate({"photos": ["-"], **texts})
    except ValidationError as error:
        raise invalid(error) from error
    return Photos([*data], options)


def _read_json(body: bytes, schema: type[R]) -> Photos[R]:
    """Read a JSON body."""
    try:
        parsed = schema.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from error
    return Photos([_base64(text) for text in parsed.photos], parsed)


def invalid(error: ValidationError) -> Refusal:
    """The refusal of a body that does not fit its schema: the first field that does not, and why."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return Refusal(400, "body", one_line(f"{where}: {first['msg']}".removeprefix(": "))[:200])


def _base64(text: str) -> bytes | None:
    """The bytes of base64, without or with a ``data:`` prefix; None if it is none."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


async def decode_all(
    data: list[bytes | None], limits: Limits, executor: Executor
) -> list[Photo | Refusal]:
    """Decode photos in threads; a photo that fails is its refusal.

    Args:
        data: the encoded photos.
        limits: of the pixels.
        executor: threads that decode.
    """
    loop = asyncio.get_running_loop()
    jobs = [
        loop.run_in_executor(executor, _decode, item, number, limits)
        for number, item in enumerate(data)
    ]
    return list(await asyncio.gather(*jobs))


def _decode(data: bytes | None, number: int, limits: Limits) -> Photo | Refusal:
    name = f"photo {number}"
    if data is None:
        return Refusal(422, "photo", f"{name}: is not base64")
    try:
        if pixels_of(data) > limits.pixels:
            reason = f"{name}: more than {limits.megapixels:g} megapixels; send it smaller"
            return Refusal(413, "photo_too_large", reason)
        return decode_reduced(data, name)
    except ValueError as error:
        return Refusal(422, "photo", one_line(str(error))[:300])
    except Exception:
        log.exception("%s cannot be decoded", name)
        return Refusal(422, "photo", f"{name}: cannot be decoded; save it as JPEG or PNG")


def pixels_of(data: bytes | None) -> int:
    """The number of pixels that the header of a photo promises; 0 if it has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data or b"")) as image:
                return image.width * image.height
    except Image.DecompressionBombError:
        return 1 << 40
    except Exception:
        return 0
