"""Predicts one block of photos after the other with models that are loaded once.

While the network computes, a thread fetches the next photos. Several photos go through the network at
once; which ones depends only on the block, so a block that is computed again has the same bytes.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fashion_ops.catalog.images import MAX_PIXELS
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.errors.failures import failure_line
from fashion_ops.inference.bulk.listing import Listed
from fashion_ops.inference.bulk.reading import Fetch, Fetched
from fashion_ops.inference.bulk.results import PhotoResult, part_bytes
from fashion_ops.methods.centernet.deploy.photo import Photo, refused_photo

if TYPE_CHECKING:
    from fashion_ops.inference.predictor import Garment

FETCHED = 16  # photos whose bytes are fetched at a time
FAILED = "prediction failed"  # a reason of its own: the photo was read, the models raised


class PhotoPredictor(Protocol):
    """A ``Predictor`` or an ``EdgePredictor``."""

    def decode(self, data: bytes, name: str) -> Photo:
        """Decode a photo; raises ValueError."""
        ...

    def predict_many(self, photos: Sequence[Photo], min_score: float) -> "list[list[Garment]]":
        """Find the garments of photos, best first."""
        ...


@dataclass(frozen=True)
class Block:
    """Photos that are computed together: consecutive rows of the listing.

    Attributes:
        first_id: ``image_id`` of the first.
        photos: the photos.
    """

    first_id: int
    photos: list[Listed]


@dataclass(frozen=True)
class BlockPredictor:
    """Maps a block to the bytes of its part of the table.

    Attributes:
        predictor: the models.
        fetch: returns the bytes of photos.
        min_score: garments with a lower score are left out.
        batch: most photos that go through the network at once.
    """

    predictor: PhotoPredictor
    fetch: Fetch
    min_score: float
    batch: int

    def __call__(self, block: Block) -> bytes:
        """Predict a block.

        Raises:
            RuntimeError: the models raised for every photo that could be read.
            ConnectionError, TimeoutError: a service does not answer.
        """
        results: dict[int, PhotoResult] = {}
        batch: list[tuple[int, Photo]] = []
        for number, fetched in enumerate(self._fetched(block.photos)):
            photo = self._decoded(block.photos[number], fetched)
            if isinstance(photo, PhotoResult):
                results[number] = photo
                continue
            if batch and self._is_full([*(p for _, p in batch), photo]):
                results |= self._predicted(batch, block)
                batch = []
            batch.append((number, photo))
        if batch:
            results |= self._predicted(batch, block)
        ordered = [results[number] for number in range(len(block.photos))]
        failed = [r for r in ordered if r.reason == FAILED]
        if len(failed) > 1 and not any(r.reason == "" for r in ordered):
            raise RuntimeError(
                f"{len(failed)} photos of {len(ordered)} failed alike: {failed[0].error}"
            )
        return part_bytes(block.first_id, [photo.uri for photo in block.photos], ordered)

    def _fetched(self, photos: Sequence[Listed]) -> Iterator[Fetched]:
        """Yield the bytes of the photos; the next ones are fetched meanwhile."""
        groups = [photos[at : at + FETCHED] for at in range(0, len(photos), FETCHED)]
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(self.fetch, groups[0])
            for after in [*groups[1:], None]:
                fetched = coming.result()
                if after is not None:
                    coming = thread.submit(self.fetch, after)
                yield from fetched

    def _decoded(self, listed: Listed, fetched: Fetched) -> Photo | PhotoResult:
        """Decode a photo, or say what is wrong with it."""
        try:
            if isinstance(fetched, Refused):
                raise refused_photo(listed.uri, fetched) from fetched
            return self.predictor.decode(fetched, listed.uri)
        except ValueError as error:
            cause = error.__cause__
            reason = cause.reason if isinstance(cause, Refused) else Reason.UNDECODABLE
            return PhotoResult([], reason=reason.value, error=failure_line(error))

    def _is_full(self, photos: list[Photo]) -> bool:
        """Whether these photos are too many, or have too many pixels, to be predicted at once."""
        pixels = sum(int(np.prod(photo.pixels.shape[:2])) for photo in photos)
        return len(photos) > self.batch or pixels > MAX_PIXELS

    def _predicted(self, batch: list[tuple[int, Photo]], block: Block) -> dict[int, PhotoResult]:
        """Predict photos at once or, where the models raise, one by one to find which one it is."""
        photos = [photo for _, photo in batch]
        try:
            garments = self.predictor.predict_many(photos, self.min_score)
        except Exception as error:
            if len(batch) > 1:
                return {n: r for item in batch for n, r in self._predicted([item], block).items()}
            (number, photo) = batch[0]
            line = f"{block.photos[number].uri}: {failure_line(error)}"
            return {number: PhotoResult([], photo.size, FAILED, line)}
        return {
            number: PhotoResult(found, photo.size)
            for (number, photo), found in zip(batch, garments, strict=True)
        }
