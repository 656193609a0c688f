"""The state behind the page: photos in work, the inbox, the ranking; and what each request does.

Files are read and written in threads of the page, so that no request waits for the disk of another,
and ``/v1/garments`` for none of them.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from fashion_ops.annotation.batch import BatchTotals
from fashion_ops.inference.measuring import measure_photo
from fashion_ops.inference.predictor import Garment, photo_bytes
from fashion_ops.measurement.references import Scaling
from fashion_ops.methods.centernet.deploy.photo import decode_reduced
from fashion_ops.serving.labelling.batches import Inbox, check_open
from fashion_ops.serving.labelling.drafts import NO_PHOTO, Draft, Drafts, check_revision, key_of, now
from fashion_ops.serving.labelling.labels import (
    MOST_GARMENTS,
    GarmentLabel,
    check_labels,
    found_labels,
    measured_garments,
)
from fashion_ops.serving.labelling.photos import kept_photo, plain_name
from fashion_ops.serving.labelling.queue import Ranking, listed
from fashion_ops.serving.limits import Refusal
from fashion_ops.serving.service import Service
from fashion_ops.workspace import Workspace

log = logging.getLogger(__name__)

T = TypeVar("T")
MOST_PHOTOS = 1000  # in work
_THREADS = 4  # that read and write files
_FOR_GOOD = {NO_PHOTO, "photo", "photo_too_large", "saved", "unreadable"}  # codes, of a photo


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Changes(_Body):
    """The labels of a photo by a person who saw ``revision``."""

    revision: int
    garments: list[GarmentLabel] = Field(max_length=MOST_GARMENTS)
    done: bool = False


class Measure(_Body):
    """Labels whose sizes are to be measured."""

    garments: list[GarmentLabel] = Field(max_length=MOST_GARMENTS)


class Chosen(_Body):
    """A photo of a batch, as the person saw it."""

    photo: str
    revision: int


class SaveBatch(_Body):
    """Photos that become a batch; ``ready`` hands it to the training."""

    photos: list[Chosen] = Field(min_length=1, max_length=1000)
    ready: bool = False


class Desk:
    """Photos in work of one service.

    Args:
        service: whose champion finds garments, within its limits.
        folder: for the photos in work.
        workspace: whose inbox takes batches; None where there is none.
        ranking: of photos that nobody has opened.
    """

    def __init__(
        self, service: Service, folder: Path, workspace: Workspace | None, ranking: Ranking
    ) -> None:
        self.service, self.ranking = service, ranking
        self.drafts = Drafts(folder)
        self.inbox = Inbox(workspace, self.drafts)
        self._files = ThreadPoolExecutor(_THREADS, "labels")
        self._batches = ThreadPoolExecutor(1, "label batches")  # a batch may be copied for minutes

    def close(self) -> None:
        """Finish what is being written."""
        for threads in (self._files, self._batches):
            threads.shutdown(cancel_futures=True)

    async def within(self, work: Callable[[], T]) -> T:
        """Do work that reads or writes files, in a thread.

        Raises:
            Refusal: a file cannot be read or written, as on a full disk.
        """
        return await self._in(self._files, work)

    async def save(self, chosen: SaveBatch, person: str) -> tuple[str, BatchTotals]:
        """Save a batch as ``Inbox.save`` does, one after another.

        Raises:
            Refusal: as ``Inbox.save`` does, or a file cannot be read or written.
        """
        pairs = [(photo.photo, photo.revision) for photo in chosen.photos]
        return await self._in(self._batches, lambda: self.inbox.save(pairs, person, ready=chosen.ready))

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except OSError as error:
            log.exception("a file of the page cannot be read or written")
            reason = "the service cannot read or write its files; its log says why"
            raise Refusal(503, "files", reason) from error

    def listing(self) -> dict[str, Any]:
        """The list of photos, and the batches that are not marked as ready."""
        drafts, known = self.drafts.every(), self.inbox.known()
        return {
            "photos": listed(drafts, known),
            "offered": self.ranking.offered(drafts),
            "batches": self.inbox.waiting(),
        }

    async def add(self, data: bytes, name: str, person: str, ranked: str = "") -> Draft:
        """Take a photo into work, with what the champion finds in it.

        Raises:
            Refusal: it is no photo, too large, or saved already.
        """
        limits = self.service.limits
        kept, kind, size = await self.within(lambda: kept_photo(data, limits))
        key = key_of(kept)
        try:
            draft = await self.within(lambda: self.drafts.get(key))
        except Refusal as refusal:
            if refusal.code != NO_PHOTO:
                raise
            await self.within(self._check_room)
            answer = await self.service.look(kept)
            photo, model = answer["photos"][0], answer["model"]
            if "error" in photo:
                code, reason = photo["error"]["code"], photo["error"]["reason"]
                raise Refusal(422, code, reason.removeprefix("photo 0: ")) from None
            found = found_labels(photo["garments"], size)
            called = (
                f"{model['name']} version {model['version']}" if model["version"] else model["name"]
            )
            new = Draft(
                photo=key,
                name=plain_name(name, kind),
                kind=kind,
                width=size[0],
                height=size[1],
                person=person,
                changed=now(),
                model=called,
                found=found,
                garments=found,
                ranked=ranked,
            )
            draft = await self.within(lambda: self.drafts.add(new, kept))
        check_open(draft, await self.within(self.inbox.known))
        return draft

    def _check_room(self) -> None:
        """Check that another photo may be in work.

        Raises:
            Refusal: too many are.
        """
        known = self.inbox.known()
        if sum(draft.batch not in known for draft in self.drafts.every()) >= MOST_PHOTOS:
            reason = f"{MOST_PHOTOS} photos are in work; save or remove some first"
            raise Refusal(409, "too_many_photos", reason)

    async def open_ranked(self, number: int, person: str) -> Draft:
        """Take a photo of the ranking into work.

        Raises:
            Refusal: there is none of this number, or as ``add`` does.
        """
        path = self.ranking.path(number)
        try:
            draft = await self._open_file(path, person)
        except Refusal as refusal:
            if refusal.code in _FOR_GOOD:
                self.ranking.refused.add(number)
            raise
        self.ranking.keys[number] = draft.photo
        return draft

    async def _open_file(self, path: Path, person: str) -> Draft:
        try:
            data = await self.within(lambda: photo_bytes(path))
        except ValueError as error:
            reason = f"{path.name} cannot be read; rank the photos again by fashion-ops select"
            raise Refusal(404, NO_PHOTO, reason) from error
        return await self.add(data, path.name, person, str(path))

    def change(self, key: str, changes: Changes, person: str) -> Draft:
        """Write a person's labels of a photo.

        Raises:
            Refusal: somebody else was faster, it is saved already, or a label of a finished photo is
                invalid.
        """
        with self.drafts.alone():
            draft = self.drafts.get(key)
            check_open(draft, self.inbox.known())
            check_revision(draft, changes.revision)
            if changes.done:
                check_labels(changes.garments, draft.name, draft.size)
            update = {"garments": changes.garments, "done": changes.done}
            who = {"person": person, "changed": now()}
            return self.drafts.write(draft.model_copy(update={**update, **who}))

    def remove(self, key: str, revision: int) -> None:
        """Take a photo out of work.

        Raises:
            Refusal: somebody else was faster, or it is saved already.
        """
        with self.drafts.alone():
            check_open(self.drafts.get(key), self.inbox.known())
            self.drafts.remove(key, revision)

    def sizes(self, key: str, garments: list[GarmentLabel]) -> dict[str, Any]:
        """The sizes of labelled garments, as ``/v1/sizes`` answers them.

        Raises:
            Refusal: there is no such photo.
        """
        photo = decode_reduced(self.drafts.photo(key), "photo")
        measured: list[Garment] = measured_garments(garments)
        return measure_photo(photo, measured, Scaling()).to_json(measured)
