"""One service: champion, batches, limits and metrics; what a request becomes.

A request holds a place in the service, then bytes, then pixels; one that finds none is refused. It ends
after ``Limits.seconds``, whatever it waits for.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from fashion_ops.inference.alignment_predictor import AlignmentPredictor
from fashion_ops.inference.measuring import find_reference, measure_garments
from fashion_ops.inference.predictor import Garment
from fashion_ops.inference.second_look import crops_of, gathered
from fashion_ops.measurement.scale import Reference
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.serving.batching import Answer, Batcher
from fashion_ops.serving.champion import FixedFolder, Follower, Served
from fashion_ops.serving.limits import Budget, Limits, Refusal
from fashion_ops.serving.observing import Metrics
from fashion_ops.serving.requests import (
    Photos,
    PhotosRequest,
    SizesRequest,
    decode_all,
    pixels_of,
    read_photos,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
_DECODERS = 2  # threads, which also measure
_BODIES = 8  # largest bodies in memory at once
_PIXELS = 4  # largest photos decoded at once
_LOOK = 0.1  # seconds between looks for the first version


@dataclass
class Service:
    """The state behind the application.

    Attributes:
        source: of the models.
        limits: of requests.
        token: bearer token that requests must carry; empty for none.
        webhook_secret: that MLflow signs its messages with; empty where there is no webhook.
        start_seconds: that a start waits for the first version; 0 does not wait.
    """

    source: Follower | FixedFolder
    limits: Limits = field(default_factory=Limits)
    token: str = field(default="", repr=False)
    webhook_secret: str = field(default="", repr=False)
    start_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.places = Budget(self.limits.queue, "too many requests wait")
        self.bytes = Budget(_BODIES * self.limits.body_bytes, "too many large bodies")
        self.pixels = Budget(_PIXELS * self.limits.pixels, "too many large photos")
        self.decoders = ThreadPoolExecutor(_DECODERS, "decode")

    def start(self) -> None:
        """Start the thread of the networks, and load or follow the models."""
        self.batcher = Batcher(
            lambda: self.source.champion.served, self.limits.photos, self.metrics.batch.observe
        )
        self.source.start()

    async def loaded(self) -> None:
        """Wait for the first version, if ``start_seconds`` says so.

        Raises:
            TimeoutError: there is none after that time; says why.
        """
        deadline = time.monotonic() + self.start_seconds
        while self.start_seconds and self.source.champion.served is None:
            if time.monotonic() > deadline:
                why = self.source.champion.failure or "it is still loading"
                raise TimeoutError(f"no version within {self.start_seconds:g} seconds: {why}")
            await asyncio.sleep(_LOOK)

    def stop(self) -> None:
        """Answer what waits, then stop."""
        self.source.stop()
        self.batcher.close()
        self.decoders.shutdown(cancel_futures=True)

    async def garments(self, request: Request) -> dict[str, Any]:
        """Answer ``POST /v1/garments``.

        Raises:
            Refusal: the request is refused as a whole.
        """
        return await self.limited(lambda: self._predict(request, PhotosRequest))

    async def sizes(self, request: Request) -> dict[str, Any]:
        """Answer ``POST /v1/sizes``.

        Raises:
            Refusal: the request is refused as a whole.
        """
        _need_categories(self.source.champion.served, "no_sizes")
        return await self.limited(lambda: self._predict(request, SizesRequest, "no_sizes"))

    async def look(self, data: bytes) -> dict[str, Any]:
        """What ``garments`` answers for one photo that was read already; within ``limited``.

        Raises:
            Refusal: too many pixels are in work, or the models predict other landmarks.
        """
        _need_categories(self.source.champion.served, "no_labels")
        with self.pixels.hold(pixels_of(data)):
            return await self._answer(Photos([data], PhotosRequest(photos=["-"])), "no_labels")

    async def limited(self, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Do the work of a request in a place of the service and within the time limit.

        Raises:
            Refusal: no models are loaded, no place is free, or the time is over.
        """
        if self.source.champion.served is None:
            raise Refusal(503, "no_model", "no version of the models is loaded yet; try again later")
        with self.places.hold(1), self.metrics.working.track_inprogress():
            try:
                async with asyncio.timeout(self.limits.seconds):
                    return await work()
            except TimeoutError as error:
                reason = f"no answer within {self.limits.seconds:g} seconds; try again later"
                raise Refusal(503, "too_slow", reason) from error

    async def _predict(
        self, request: Request, schema: type[PhotosRequest], code: str = ""
    ) -> dict[str, Any]:
        length = request.headers.get("content-length", "")
        known = int(length) if length.isdecimal() else self.limits.body_bytes
        with self.bytes.hold(min(known, self.limits.body_bytes)):
            photos = await read_photos(request, self.limits, schema)
            pixels = [pixels_of(data) for data in photos.data]
            total = sum(p for p in pixels if p <= self.limits.pixels)
            if total > self.pixels.total:
                most = _PIXELS * self.limits.megapixels
                reason = f"the photos have more than {most:g} megapixels together"
                raise Refusal(413, "too_many_pixels", reason)
            with self.pixels.hold(total):
                return await self._answer(photos, code)

    async def _answer(self, photos: Photos[Any], code: str) -> dict[str, Any]:
        """The answer for encoded photos.

        Args:
            photos: encoded, with the options of the request.
            code: of the refusal where the models predict other landmarks than those of the 13
                categories; empty if these will do.

        Raises:
            Refusal: they do, or no models are loaded.
        """
        start = time.perf_counter()
        decoded = await decode_all(photos.data, self.limits, self.decoders)
        good = [photo for photo in decoded if isinstance(photo, Photo)]
        answer: Answer | None = None
        references: list[asyncio.Future[Reference | None]] = []
        try:
            if good:
                if isinstance(photos.options, SizesRequest):  # beside the networks
                    references = [self._run(find_reference, p, photos.options.scaling) for p in good]
                    answer = await self._find_twice(good, photos.options.min_score)
                else:
                    answer = await self._find(good, photos.options.min_score)
                if code:
                    _need_categories(answer.served, code)
            results = await self._results(decoded, answer, references, photos.options)
        finally:
            for reference in references:  # what has not begun is never needed
                reference.cancel()
        failed = sum("error" in result for result in results)
        self.metrics.photos.labels("answered").inc(len(results) - failed)
        self.metrics.photos.labels("failed").inc(failed)
        served = answer.served if answer else self.source.champion.served
        assert served is not None
        return {
            "model": {"name": served.name, "version": served.version, "engine": served.engine},
            "photos": results,
            "seconds": round(time.perf_counter() - start, 4),
        }

    async def _results(
        self,
        decoded: list[Photo | Refusal],
        answer: Answer | None,
        references: "list[asyncio.Future[Reference | None]]",
        options: PhotosRequest,
    ) -> list[dict[str, Any]]:
        """What the answer says of each photo; garments and references are those of decoded photos."""
        of_good = iter(references)
        found = iter(answer.garments if answer else [])
        results = []
        for number, photo in enumerate(decoded):
            garments = reference = None
            if isinstance(photo, Photo):
                garments, reference = next(found), next(of_good, None)
            if isinstance(photo, Photo) and garments is not None:
                photo_answer = await self._of_photo(photo, garments, options, reference)
                if photo_answer is not None:
                    size = {"width": photo.size[0], "height": photo.size[1]}
                    results.append({"photo": number, **size, **photo_answer})
                    continue
            refused = photo if isinstance(photo, Refusal) else Refusal(500, "photo", "it failed here")
            error = {"code": refused.code, "reason": refused.reason}
            results.append({"photo": number, "error": error})
        return results

    async def _find(
        self, photos: list[Photo], min_score: float | None, *, boxes: bool = False
    ) -> Answer:
        """The garments of photos, all found by one version, in turns of as many as a batch has."""
        while True:
            most = self.limits.photos
            turns = [photos[at : at + most] for at in range(0, len(photos), most)]
            futures: list[Future[Answer]] = []
            try:
                for turn in turns:
                    futures.append(self.batcher.submit(turn, min_score, boxes=boxes))
                answers = [await asyncio.wrap_future(future) for future in futures]
            finally:
                for future in futures:  # those that still wait are never needed
                    future.cancel()
            if all(answer.served is answers[0].served for answer in answers):
                return Answer(answers[0].served, [g for answer in answers for g in answer.garments])

    async def _find_twice(self, photos: list[Photo], min_score: float | None) -> Answer:
        """The garments of photos, found again in crops around them, see ``second_look``.

        One version takes both looks. A photo fails if one of its crops does.
        """
        while True:
            first = await self._find(photos, min_score, boxes=True)
            crops = crops_of(photos, first.garments)
            if not crops:
                return first
            second = await self._find([crop for _, crop in crops], min_score)
            if second.served is first.served:
                break
        failed = {number for number, few in enumerate(first.garments) if few is None}
        of_crops = zip(crops, second.garments, strict=True)
        failed |= {number for (number, _), few in of_crops if few is None}
        garments = gathered(len(photos), crops, [few or [] for few in second.garments])
        kept = [None if number in failed else few for number, few in enumerate(garments)]
        return Answer(second.served, kept)

    async def _of_photo(
        self,
        photo: Photo,
        garments: list[Garment],
        options: PhotosRequest,
        reference: "asyncio.Future[Reference | None] | None",
    ) -> dict[str, Any] | None:
        """What the answer says of a photo: its garments, or their sizes; None if it failed."""
        if not isinstance(options, SizesRequest) or reference is None:
            return {"garments": [garment.to_json() for garment in garments]}
        try:
            known = await reference
            measured = await self._run(measure_garments, photo, garments, options.scaling, known)
            return measured.to_json(garments)
        except Exception:
            log.exception("a photo cannot be measured")
            return None

    def _run(self, work: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
        """Do a part of the work in a thread."""
        return asyncio.get_running_loop().run_in_executor(self.decoders, work, *arguments)


def _need_categories(served: Served | None, code: str) -> None:
    """Check that models predict the landmarks of the 13 categories.

    Raises:
        Refusal: they predict those of FLD; it has this code.
    """
    if served is not None and isinstance(served.predictor, AlignmentPredictor):
        reason = "the models in use predict FLD's landmarks, not those of the 13 categories"
        raise Refusal(501, code, reason)
