"""The endpoints of the page: its files at ``/label``, its data at ``/v1/labels``.

A request for data names the person in the header ``X-Person``. Browsers send such a header to another
site only if that site allows it, so no other page can write here. The files hold nothing of anybody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import unquote

from fastapi import APIRouter, FastAPI, Request
from fastapi.params import Depends
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError

from fashion_ops.serving.labelling.batches import check_open
from fashion_ops.serving.labelling.desk import Changes, Desk, Measure, SaveBatch
from fashion_ops.serving.labelling.drafts import Draft
from fashion_ops.serving.labelling.photos import MEDIA, thumbnail
from fashion_ops.serving.labelling.setup import page_setup
from fashion_ops.serving.limits import Limits, Refusal
from fashion_ops.serving.requests import invalid, read_body

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_LONGEST_NAME = 40
_JSON_MB = 2.0  # of labels

T = TypeVar("T")
B = TypeVar("B", bound=BaseModel)


def add_page(app: FastAPI, desk: Desk, protected: Sequence[Depends]) -> None:
    """Add the page's endpoints to an application; ``protected`` is what requests for data need."""
    files = _files()
    data = APIRouter(prefix="/v1/labels", dependencies=list(protected), include_in_schema=False)
    service = desk.service

    @app.get("/label", include_in_schema=False)
    async def page() -> Response:
        return files["label.html"]

    @app.get("/label/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in files:
            raise Refusal(404, "no_file", "the page has no such file")
        return files[name]

    async def limited(work: Callable[[], Awaitable[T]]) -> T:
        """Do the work of a request that needs no model in a place of the service, within its time."""
        with service.places.hold(1):
            try:
                async with asyncio.timeout(service.limits.seconds):
                    return await work()
            except TimeoutError as error:
                reason = f"no answer within {service.limits.seconds:g} seconds; try again later"
                raise Refusal(503, "too_slow", reason) from error

    async def in_thread(work: Callable[[], T]) -> T:
        return await limited(lambda: desk.within(work))

    @data.get("/setup")
    async def setup(request: Request) -> JSONResponse:
        _person(request)
        saves = desk.inbox.workspace is not None
        return _json(await in_thread(lambda: page_setup(service.limits, saves=saves)))

    @data.get("/photos")
    async def photos(request: Request) -> JSONResponse:
        _person(request)
        return _json(await in_thread(desk.listing))

    @data.post("/photos")
    async def add(request: Request, name: str = "") -> JSONResponse:
        person = _person(request)

        async def work() -> dict[str, Any]:
            length = request.headers.get("content-length", "")
            limit = service.limits.body_bytes
            with service.bytes.hold(min(int(length) if length.isdecimal() else limit, limit)):
                body = await read_body(request, service.limits)
                return _draft(await desk.add(body, name, person))

        return _json(await service.limited(work), 201)

    @data.post("/ranked/{number}")
    async def ranked(request: Request, number: int) -> JSONResponse:
        person = _person(request)

        async def work() -> dict[str, Any]:
            return _draft(await desk.open_ranked(number, person))

        return _json(await service.limited(work), 201)

    @data.get("/photos/{key}")
    async def photo(request: Request, key: str) -> JSONResponse:
        _person(request)

        def read() -> dict[str, Any]:
            draft = desk.drafts.get(key)
            check_open(draft, desk.inbox.known())
            return _draft(draft)

        return _json(await in_thread(read))

    @data.get("/photos/{key}/image")
    async def image(request: Request, key: str, small: bool = False) -> Response:
        _person(request)
        content = await in_thread(lambda: desk.drafts.photo(key))
        if small:
            content = await in_thread(lambda: thumbnail(content))
        kind = ".jpg" if small else (await in_thread(lambda: desk.drafts.get(key))).kind
        return Response(content, media_type=MEDIA[kind], headers=_PRIVATE)

    @data.put("/photos/{key}")
    async def change(request: Request, key: str) -> JSONResponse:
        person, changes = _person(request), await _read(request, Changes)
        draft = await in_thread(lambda: desk.change(key, changes, person))
        return _json({"revision": draft.revision})

    @data.delete("/photos/{key}")
    async def remove(request: Request, key: str, revision: int) -> JSONResponse:
        _person(request)
        await in_thread(lambda: desk.remove(key, revision))
        return _json({"removed": key})

    @data.post("/photos/{key}/sizes")
    async def sizes(request: Request, key: str) -> JSONResponse:
        _person(request)
        labels = await _read(request, Measure)
        draft = await in_thread(lambda: desk.drafts.get(key))
        with service.pixels.hold(draft.width * draft.height):
            return _json(await in_thread(lambda: desk.sizes(key, labels.garments)))

    @data.post("/batches")
    async def save(request: Request) -> JSONResponse:
        person, chosen = _person(request), await _read(request, SaveBatch)
        with service.places.hold(1):  # without a time limit, as a batch that began is written
            name, totals = await desk.save(chosen, person)
        photos = sum(totals.photos.values())
        return _json({"batch": name, "photos": photos, "garments": totals.garments}, 201)

    @data.post("/batches/{name}/ready")
    async def ready(request: Request, name: str) -> JSONResponse:
        _person(request)
        await in_thread(lambda: desk.inbox.mark(name))
        return _json({"batch": name})

    app.include_router(data)


def _files() -> dict[str, Response]:
    """The files of the page by name, as answers."""
    folder = resources.files("fashion_ops.serving.labelling").joinpath("page")
    kinds = {f.name: _TYPES.get(f".{f.name.rpartition('.')[2]}") for f in folder.iterdir()}
    return {
        name: Response(folder.joinpath(name).read_bytes(), media_type=kind, headers=HEADERS)
        for name, kind in kinds.items()
        if kind is not None
    }


def _person(request: Request) -> str:
    """Who asks.

    Raises:
        Refusal: the request does not say.
    """
    person = unquote(request.headers.get("x-person", "")).strip()
    if not person or not person.isprintable() or len(person) > _LONGEST_NAME:
        reason = f"send the header X-Person: a name of at most {_LONGEST_NAME} characters"
        raise Refusal(400, "person", reason)
    return person


async def _read(request: Request, schema: type[B]) -> B:
    """The JSON body of a request.

    Raises:
        Refusal: it is too large or does not fit the schema.
    """
    body = await read_body(request, Limits(body_mb=_JSON_MB))
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from error


def _draft(draft: Draft) -> dict[str, Any]:
    """A draft as the page gets it: without paths of this machine."""
    return draft.model_dump(mode="json", exclude={"ranked", "kind"})


def _json(content: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(content, status, _PRIVATE)
