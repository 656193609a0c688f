"""Dynamic batches: all requests that wait when the networks become free run together.

One thread runs the networks. Nobody waits for a batch to fill: while one runs, the next gathers. The
photos of a request stay together, so that one version of the models answers all of them. A request that
is cancelled leaves the queue at once, with its photos.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from fashion_ops.inference.predictor import Garment
from fashion_ops.inference.second_look import Find, first_look, first_score
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.serving.champion import Served
from fashion_ops.serving.limits import Refusal

log = logging.getLogger(__name__)

_LEAVE = 30.0  # seconds that the networks have to end at a stop


@dataclass(frozen=True)
class Answer:
    """What one version found in the photos of a request; None for a photo that failed."""

    served: Served
    garments: list[list[Garment] | None]


@dataclass(frozen=True, eq=False)
class _Request:
    photos: Sequence[Photo]
    min_score: float | None
    boxes: bool
    answer: "Future[Answer]" = field(default_factory=Future)

    def least(self, served: Served) -> float:
        """The least score of its garments in one look of these models."""
        score = served.predictor.min_score if self.min_score is None else self.min_score
        return first_score(score) if self.boxes else score


class Batcher:
    """Runs the photos of waiting requests through the networks together.

    Args:
        current: returns the models to use, None while there are none; asked before every batch.
        most: photos of a batch, at least as many as a request may have.
        observe: is told the number of photos of every batch.
    """

    def __init__(
        self, current: Callable[[], Served | None], most: int, observe: Callable[[int], None]
    ) -> None:
        self._current, self._most, self._observe = current, most, observe
        self._waiting: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="networks", daemon=True)
        self._thread.start()

    def submit(
        self, photos: Sequence[Photo], min_score: float | None, *, boxes: bool = False
    ) -> "Future[Answer]":
        """Queue the photos of a request, until its future is cancelled.

        Args:
            photos: decoded.
            min_score: garments with a lower score are left out; None takes that of the models.
            boxes: whether this is a first look, see ``second_look``.

        Raises:
            Refusal: the service is stopping.
        """
        request = _Request(photos, min_score, boxes)
        with self._changed:
            if self._closed:
                raise Refusal(503, "stopping", "the service is stopping; ask another replica")
            self._waiting.append(request)
            self._changed.notify()
        request.answer.add_done_callback(self._leave)  # holds no request, so photos are freed at once
        return request.answer

    def _leave(self, answer: "Future[Answer]") -> None:
        """Take a request that is cancelled out of the queue."""
        if answer.cancelled():
            with self._changed:
                self._waiting = deque(r for r in self._waiting if r.answer is not answer)

    def close(self) -> None:
        """Answer what waits, then stop the thread; networks that hang are left to the process's end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(_LEAVE)
        if self._thread.is_alive():
            log.warning("the networks have not ended in %g seconds; stopping without them", _LEAVE)

    def _run(self) -> None:
        while batch := self._take():
            self._observe(sum(len(r.photos) for r in batch))
            try:
                self._answer(batch)
            except BaseException as error:  # whatever it is, no request waits for ever
                log.exception("a batch failed")
                for request in batch:
                    if not request.answer.done():
                        request.answer.set_exception(error)

    def _take(self) -> list[_Request]:
        """Wait for requests and take as many as fit in a batch; none after ``close``."""
        with self._changed:
            while True:
                batch, photos = [], 0
                while self._waiting and photos + len(self._waiting[0].photos) <= self._most:
                    request = self._waiting.popleft()
                    if request.answer.set_running_or_notify_cancel():
                        batch.append(request)
                        photos += len(request.photos)
                if batch or (self._closed and not self._waiting):
                    return batch
                self._changed.wait()

    def _answer(self, batch: list[_Request]) -> None:
        served = self._current()
        if served is None:
            raise Refusal(503, "no_model", "no version of the models is loaded yet; try again later")
        for boxes in (True, False):
            if of_kind := [request for request in batch if request.boxes is boxes]:
                find = first_look(served.predictor) if boxes else served.predictor.predict_many
                _find(served, find, of_kind)


def _find(served: Served, find: Find, batch: list[_Request]) -> None:
    """Answer requests of one kind together, each with the garments of its own least score."""
    lowest = min(request.least(served) for request in batch)
    photos = [photo for request in batch for photo in request.photos]
    try:
        found: list[list[Garment] | None] = list(find(photos, lowest))
    except Exception:
        log.exception("a batch of %d photos failed; each runs alone", len(photos))
        found = [_alone(find, photo, lowest) for photo in photos]
    rest = iter(found)
    for request in batch:
        own = [next(rest) for _ in request.photos]
        kept = [
            None if garments is None else [g for g in garments if g.score >= request.least(served)]
            for garments in own
        ]
        request.answer.set_result(Answer(served, kept))


def _alone(find: Find, photo: Photo, min_score: float) -> list[Garment] | None:
    """The garments of one photo; None if it fails."""
    try:
        return find([photo], min_score)[0]
    except Exception:
        log.exception("a photo failed")
        return None
