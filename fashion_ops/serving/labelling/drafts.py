"""Photos in work: a folder each, with the photo and its draft, in the state folder of the service.

A draft has a revision. Who writes must name the one that they saw; if somebody else was faster, nothing
is written. Files are written whole, so a closed browser or a killed service leaves the last revision.
"""

import hashlib
import logging
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from fashion_ops.files.publishing import publish, sweep, temporary, write_whole
from fashion_ops.serving.labelling.labels import GarmentLabel
from fashion_ops.serving.limits import Refusal

log = logging.getLogger(__name__)

NO_PHOTO = "no_photo"  # code of the refusal of a photo that is not in work
_KEY = re.compile(r"[0-9a-f]{32}")
_DRAFT, _PHOTO = "draft.json", "photo"
_SECONDS = 20.0  # that a request waits for others that write


class Draft(BaseModel):
    """A photo and its labels so far.

    Attributes:
        photo: key of the photo, from its content.
        name: what the person's file was called.
        kind: suffix of the photo, such as ``.jpg``.
        width: of the photo, pixels.
        height: of the photo, pixels.
        revision: number of the labels, from 0.
        person: who wrote them last.
        changed: when, UTC.
        model: name and version of the model that found ``found``.
        found: what the model found.
        garments: the labels.
        done: a person has said that they are right.
        batch: name of the batch that they were saved in; it may be gone.
        ranked: path in the ranking that the photo was opened from; never sent to a page.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    photo: str
    name: str
    kind: str
    width: int
    height: int
    revision: int = 0
    person: str
    changed: str
    model: str
    found: list[GarmentLabel]
    garments: list[GarmentLabel]
    done: bool = False
    batch: str = ""
    ranked: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.width, self.height


def key_of(data: bytes) -> str:
    """The key of a photo, from its content."""
    return hashlib.sha256(data).hexdigest()[:32]


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Drafts:
    """The photos in work below a folder, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._threads, self._processes = threading.RLock(), FileLock(folder / ".lock")
        self._listed: dict[str, tuple[tuple[int, int], Draft | None]] = {}  # which file, its content

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one, of all threads and processes, that writes drafts.

        Raises:
            Refusal: another request or another process writes for too long.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        end = time.monotonic() + _SECONDS
        if not self._threads.acquire(timeout=_SECONDS):
            raise self._busy("another request")
        try:
            try:
                self._processes.acquire(timeout=max(end - time.monotonic(), 0.0))
            except Timeout as error:
                raise self._busy("another process") from error
            try:
                sweep(self.folder)
                yield
            finally:
                self._processes.release()
        finally:
            self._threads.release()

    def _busy(self, who: str) -> Refusal:
        log.warning("%s: %s has written drafts for %g s", self.folder, who, _SECONDS)
        return Refusal(503, "busy", f"{who} writes labels at the moment; try again")

    def get(self, key: str) -> Draft:
        """The draft of a photo.

        Raises:
            Refusal: there is no such photo, or its draft is damaged or of a newer version, so that
                nothing may take its place.
        """
        path = self.folder / key / _DRAFT
        try:
            if not _KEY.fullmatch(key):
                raise FileNotFoundError
            return Draft.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Refusal(404, NO_PHOTO, "no such photo is in work; it may be removed") from error
        except ValidationError as error:
            log.warning("%s: no draft that this version reads; correct it, or move it away", path)
            reason = "the labels of this photo cannot be read; the log of the service names their file"
            raise Refusal(409, "unreadable", reason) from error

    def photo(self, key: str) -> bytes:
        """The bytes of a photo.

        Raises:
            Refusal: there is no such photo.
        """
        draft = self.get(key)
        try:
            return (self.folder / key / f"{_PHOTO}{draft.kind}").read_bytes()
        except FileNotFoundError as error:
            raise Refusal(404, NO_PHOTO, "the file of this photo is gone; remove it") from error

    def every(self) -> list[Draft]:
        """All drafts, in the order of their keys; a file that was listed before is not read again."""
        listed = {}
        for folder in sorted(self.folder.glob("[0-9a-f]*")):
            try:
                status = (folder / _DRAFT).stat()
            except OSError:  # removed meanwhile, or of another program
                continue
            file = (status.st_ino, status.st_mtime_ns)
            before = self._listed.get(folder.name)
            if before is None or before[0] != file:
                before = file, self._read(folder.name)
            listed[folder.name] = before
        self._listed = listed
        return [draft for _, draft in listed.values() if draft is not None]

    def _read(self, key: str) -> Draft | None:
        """The draft of a photo; None where there is none that can be read."""
        try:
            return self.get(key)
        except (OSError, Refusal):
            return None

    def add(self, draft: Draft, data: bytes) -> Draft:
        """Keep a new photo; one that is in work already stays as it is."""
        with self.alone():
            try:
                return self.get(draft.photo)
            except Refusal as refusal:
                if refusal.code != NO_PHOTO:
                    raise
            with publish(self.folder / draft.photo) as fresh:
                (fresh / f"{_PHOTO}{draft.kind}").write_bytes(data)
                (fresh / _DRAFT).write_text(draft.model_dump_json(), encoding="utf-8")
            return draft

    def write(self, draft: Draft) -> Draft:
        """Write a draft whose ``revision`` is the one that it replaces.

        Returns:
            The draft with its new revision.

        Raises:
            Refusal: the photo has another revision, or is gone.
        """
        with self.alone():
            check_revision(self.get(draft.photo), draft.revision)
            written = draft.model_copy(update={"revision": draft.revision + 1})
            self._write(written)
            return written

    def name_batch(self, draft: Draft, batch: str) -> None:
        """Write which batch a draft will be in; its labels, and so its revision, stay.

        Raises:
            Refusal: the photo has another revision, or is gone.
        """
        with self.alone():
            check_revision(self.get(draft.photo), draft.revision)
            self._write(draft.model_copy(update={"batch": batch, "done": True}))

    def _write(self, draft: Draft) -> None:
        write_whole(self.folder / draft.photo / _DRAFT, draft.model_dump_json().encode("utf-8"))

    def remove(self, key: str, revision: int) -> None:
        """Take a photo out of work.

        Raises:
            Refusal: the photo has another revision, or is gone.
        """
        with self.alone():
            check_revision(self.get(key), revision)
            removed = temporary(self.folder / key)  # ``sweep`` ends what a killed service began
            (self.folder / key).rename(removed)
            shutil.rmtree(removed, ignore_errors=True)


def check_revision(draft: Draft, revision: int) -> None:
    """Check that somebody saw this revision of a draft.

    Raises:
        Refusal: they saw another one.
    """
    if draft.revision != revision:
        when = draft.changed.replace("T", " ").replace("Z", " UTC")
        reason = f"{draft.person} changed {draft.name} at {when}; load it again, or replace it by yours"
        raise Refusal(409, "changed", reason)
