"""The FastAPI application: routes, request ids, authorization, errors and OpenAPI.

Every answer carries ``X-Request-ID``: the client's, if it is a short word, else a new one. An error is
``{"error": {"code", "reason"}, "request_id"}`` and never holds a path or a traceback.
"""

import hmac
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fashion_ops import __version__
from fashion_ops.errors.failures import one_line
from fashion_ops.registry.followed import is_signed
from fashion_ops.reports.card_page import POLICY, card_page
from fashion_ops.serving.examples import GARMENTS_DOC, SIZES_DOC
from fashion_ops.serving.labelling.desk import Desk
from fashion_ops.serving.labelling.routes import add_page
from fashion_ops.serving.limits import Refusal
from fashion_ops.serving.observing import Metrics
from fashion_ops.serving.service import Service

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LARGEST_MESSAGE = 100_000  # bytes of a webhook
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def create_app(service: Service, desk: Desk | None = None) -> FastAPI:
    """Make the application of a service, which starts and stops with it; ``desk`` adds the page."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            await service.loaded()
            yield
        finally:
            service.stop()
            if desk is not None:
                desk.close()

    app = FastAPI(title="fashion-ops", version=__version__, lifespan=lifespan)

    def authorize(request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""
        if service.token and not hmac.compare_digest(given, service.token.encode()):
            raise Refusal(401, "unauthorized", "send the header Authorization: Bearer TOKEN")

    protected = [Depends(authorize)]

    @app.post("/v1/garments", dependencies=protected, **GARMENTS_DOC)
    async def garments(request: Request) -> JSONResponse:
        """Find the garments of one or more photos, with named landmarks, in pixels of each photo."""
        return JSONResponse(await service.garments(request))

    @app.post("/v1/sizes", dependencies=protected, **SIZES_DOC)
    async def sizes(request: Request) -> JSONResponse:
        """Measure the garments of one or more photos: cm with 95 % intervals, by a reference.

        Where a photo shows no reference, its sizes are pixels (``unit``), and ``note`` says so.
        """
        return JSONResponse(await service.sizes(request))

    @app.post("/v1/champion", status_code=202, include_in_schema=False)
    async def champion(request: Request) -> Response:
        """MLflow's webhook: an alias moved, so ask the registry now."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_MESSAGE:
                raise Refusal(413, "body_too_large", "a message of MLflow is smaller")
        secret = service.webhook_secret
        if not secret or not is_signed(secret, request.headers, body):
            raise Refusal(401, "unauthorized", "the message is not signed with the webhook's secret")
        service.source.wake()
        return Response(status_code=202)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @app.get("/ready", responses={503: {"description": "No version is loaded."}})
    async def ready() -> JSONResponse:
        """Whether a version is in use, which one, and why the registry's champion is not."""
        now = service.source.champion
        answer: dict[str, Any] = {"ready": now.served is not None}
        if now.served is not None:
            answer["model"] = {
                "name": now.served.name,
                "version": now.served.version,
                "engine": now.served.engine,
            }
        if now.rejected:
            answer["rejected"] = {
                "version": now.rejected,
                "reason": "it failed on the example or could not be loaded; the log says why",
            }
        elif now.failure and now.registry_answers:
            answer["champion"] = "is not in use; it is tried again, and the log says why"
        if not now.registry_answers:
            answer["registry"] = "does not answer; the log says why"
        return JSONResponse(answer, 200 if now.served is not None else 503)

    @app.get("/metrics", dependencies=protected, response_class=Response)
    async def metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(service.metrics.text(service.source.champion), media_type=_CONTENT_TYPE)

    @app.get("/model", dependencies=protected, response_class=HTMLResponse)
    async def model() -> HTMLResponse:
        """The model card and the data card of the version in use, as a page."""
        served = service.source.champion.served
        if served is None:
            raise Refusal(503, "no_model", "no version of the models is loaded yet; try again later")
        page = card_page(served.name, served.version, served.engine, list(served.cards))
        headers = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        return HTMLResponse(page, 200 if served.cards else 404, headers)

    if desk is not None:
        add_page(app, desk, protected)

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return _error(request, error.status, error.code, error.reason)

    @app.exception_handler(RequestValidationError)
    async def no_value(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _error(request, 400, "request", one_line(f"{where}: {first['msg']}")[:200])

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> JSONResponse:
        return _error(request, error.status_code, "http", str(error.detail))

    app.add_middleware(_Observed, metrics=service.metrics)
    return app


def _error(request: Request, status: int, code: str, reason: str) -> JSONResponse:
    headers = {429: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(status, {})
    content = {"error": {"code": code, "reason": reason}, "request_id": request.state.request_id}
    return JSONResponse(content, status, headers)


class _Observed:
    """Gives every request an id, logs and counts it, and answers what fails without a word of it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        given = request.headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        request.state.request_id = request_id
        status, start = 0, time.perf_counter()

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except Exception:
            log.exception("request %s failed", request_id)
            if status:  # a part of the answer is on its way
                raise
            failed = _error(
                request, 500, "internal", "the service failed; its log holds this request id"
            )
            await failed(scope, receive, observed)
        finally:
            self._record(request, status or 499, time.perf_counter() - start, request_id)

    def _record(self, request: Request, status: int, seconds: float, request_id: str) -> None:
        route = request.scope.get("route")
        path = getattr(route, "path", "unknown")  # a client chooses the path, so only ours are labels
        self.metrics.requests.labels(path, status).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        fields = {
            "request_id": request_id,
            "method": request.method,
            "path": path,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        log.info("request", extra={"fields": fields})
