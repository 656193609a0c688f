"""Predicts one block of photos after the other with models that are loaded once.

While the network computes, a thread fetches the next photos. Several photos go through the network at
once; which ones depends only on the block, so a block that is computed again has the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fashion_ops.catalog.images import MAX_PIXELS
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.errors.failures import failure_line
from fashion_ops.inference.bulk.listing import Listed
from fashion_ops.inference.bulk.reading import Fetch, Fetched
from fashion_ops.inference.bulk.results import PhotoResult, join_parts, part_bytes
from fashion_ops.inference.measuring import measure_photo
from fashion_ops.inference.second_look import find_twice, first_look
from fashion_ops.measurement.references import Scaling
from fashion_ops.methods.centernet.deploy.photo import Photo, refused_photo

if TYPE_CHECKING:
    from fashion_ops.inference.predictor import Garment

FETCHED = 16  # photos whose bytes are fetched at a time
FAILED = "prediction failed"  # a reason of its own: the photo was read, the models raised
KILLED = "killed its process"  # likewise: the process that predicted it by itself was gone
MOST_LOST = 2  # blocks at the start of a run; when more are lost, the models kill their process


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
        scaling: how sizes get their scale; None measures nothing.
    """

    predictor: PhotoPredictor
    fetch: Fetch
    min_score: float
    batch: int
    scaling: Scaling | None = None

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
        uris = [photo.uri for photo in block.photos]
        return part_bytes(block.first_id, uris, ordered, sized=self.scaling is not None)

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
            if self.scaling is None:
                garments = self.predictor.predict_many(photos, self.min_score)
            else:
                find, look = self.predictor.predict_many, first_look(self.predictor)
                garments = find_twice(find, photos, self.min_score, look)
            measured = [
                self.scaling and measure_photo(photo, found, self.scaling)
                for photo, found in zip(photos, garments, strict=True)
            ]
        except Exception as error:
            if len(batch) > 1:
                return {n: r for item in batch for n, r in self._predicted([item], block).items()}
            (number, photo) = batch[0]
            line = f"{block.photos[number].uri}: {failure_line(error)}"
            return {number: PhotoResult([], photo.size, FAILED, line)}
        return {
            number: PhotoResult(found, photo.size, measured=sizes)
            for (number, photo), found, sizes in zip(batch, garments, measured, strict=True)
        }


Blocks = Iterator[tuple[str, Block]]
Run = Callable[[Blocks], Iterator[tuple[str, bytes | Exception]]]


def spare(blocks: Blocks, run: Run, *, sized: bool = False) -> Iterator[tuple[str, bytes]]:
    """Compute blocks, and the photos of those that kill their process one by one to find which do.

    Args:
        blocks: (name, block).
        run: maps them to (name, bytes of the part), in any order; to (name, error) where a block has
            killed its process too often.
        sized: whether the parts have columns of sizes.

    Yields:
        (name, bytes of the part) of every block once. A photo that kills has a row that says so.

    Raises:
        Exception: the error of a block, where the models kill whatever the photo is: it is the third
            block before any is done, or all of its photos kill.
    """
    given: dict[str, Block] = {}
    lost: dict[str, Block] = {}
    some_done = False

    def giving(items: Blocks) -> Blocks:
        for name, block in items:
            given[name] = block
            yield name, block

    for name, result in run(giving(blocks)):
        block = given.pop(name)
        if isinstance(result, bytes):
            some_done = True
            yield name, result
            continue
        lost[name] = block
        if len(lost) > MOST_LOST and not some_done:
            raise result
    if not lost:
        return
    done: dict[str, bytes | Exception] = {}  # by the name of a photo's block
    for single, result in run(_singles(lost)):
        done[single] = result
        name = single.partition("/")[0]
        names = [f"{name}/{number}" for number in range(len(lost[name].photos))]
        if all(n in done for n in names):
            yield name, _joined(lost[name], [done.pop(n) for n in names], sized)


def _singles(blocks: dict[str, Block]) -> Blocks:
    """Yield each photo of blocks as a block ``NAME/NUMBER``."""
    for name, block in blocks.items():
        for number, photo in enumerate(block.photos):
            yield f"{name}/{number}", Block(block.first_id + number, [photo])


def _joined(block: Block, results: list[bytes | Exception], sized: bool) -> bytes:
    """The part of a block from those of its photos; raises as ``spare``."""
    errors = [result for result in results if isinstance(result, Exception)]
    if len(errors) == len(results) > 1:
        raise errors[0]
    parts = []
    for number, (photo, result) in enumerate(zip(block.photos, results, strict=True)):
        if isinstance(result, Exception):
            line = f"{photo.uri}: its process died each time; see Ray's log of the worker"
            killed = PhotoResult([], reason=KILLED, error=line)
            result = part_bytes(block.first_id + number, [photo.uri], [killed], sized=sized)
        parts.append(result)
    return join_parts(parts)
