"""From finished drafts to a batch in the inbox, which ``batches`` takes.

A batch appears whole. Its photos are copied while people go on; then the drafts say which batch they
will be in, and it gets its name. A batch that is not in the inbox or among the accepted ones opens its
photos again, so that a crash, a deleted and a refused batch lose no label.
"""

import logging
import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from fashion_ops.annotation.batch import BatchTotals, LabelError, batch_published
from fashion_ops.annotation.photos import AnnotatedPhoto, checked
from fashion_ops.catalog.inbox import READY_SUFFIX
from fashion_ops.catalog.sources.base import Labels
from fashion_ops.catalog.sources.batches import folders
from fashion_ops.files.outputs import OutputRefused
from fashion_ops.files.publishing import write_whole
from fashion_ops.serving.labelling.drafts import Draft, Drafts, check_revision, now
from fashion_ops.serving.labelling.labels import check_labels, items_of, provenance
from fashion_ops.serving.limits import Refusal
from fashion_ops.workspace import Workspace

log = logging.getLogger(__name__)

_PREFIX = "page-"
_NAME = re.compile(rf"{_PREFIX}[\w-]{{1,120}}")


class Inbox:
    """The inbox of a workspace, as the page writes to it.

    Args:
        workspace: None where the service runs outside of any; then nothing can be saved.
        drafts: the photos in work.
    """

    def __init__(self, workspace: Workspace | None, drafts: Drafts) -> None:
        self.workspace, self.drafts = workspace, drafts

    def known(self) -> set[str]:
        """The names of the batches that are in the inbox or accepted."""
        if self.workspace is None:
            return set()
        accepted = {f.name.partition("-")[2] for f in folders(self.workspace.batches)}
        return accepted | {folder.name for folder in self._own()}

    def waiting(self) -> list[str]:
        """The batches of the page that are not marked as ready, the oldest first."""
        return [f.name for f in self._own() if not f.with_name(f"{f.name}{READY_SUFFIX}").is_file()]

    def _own(self) -> list[Path]:
        inbox = self.workspace and self.workspace.inbox
        found = inbox.glob(f"{_PREFIX}*") if inbox and inbox.is_dir() else ()
        return sorted(f for f in found if f.is_dir() and _NAME.fullmatch(f.name))

    def save(
        self, chosen: list[tuple[str, int]], person: str, *, ready: bool
    ) -> tuple[str, BatchTotals]:
        """Write the labels of photos as a new batch.

        Args:
            chosen: key of each photo, and the revision of it that the person saw.
            person: who saves.
            ready: mark the batch, so that ``batches`` takes it.

        Returns:
            The name of the batch, and what is in it.

        Raises:
            Refusal: a photo was changed by somebody else or is in a batch already, a label is invalid,
                there is no workspace, or its inbox cannot be written to; then the photos stay as they
                are. Or the batch is saved and cannot be marked.
        """
        if self.workspace is None:
            reason = "there is no inbox: start fashion-ops serve in a workspace to save batches"
            raise Refusal(409, "no_workspace", reason)
        revisions = dict(chosen)
        drafts = self._open_drafts(revisions)
        for draft in drafts:
            check_labels(draft.garments, draft.name, draft.size)
        name = self._new_name(person)
        photos = [self._photo(draft) for draft in drafts]
        try:
            with (
                ExitStack() as until_published,
                batch_published(checked(photos), self.workspace.inbox / name) as totals,
            ):
                until_published.enter_context(self.drafts.alone())
                for draft in self._open_drafts(revisions):  # what nobody changed while it was copied
                    self.drafts.name_batch(draft, name)
        except LabelError as error:
            raise Refusal(422, "labels", str(error)) from error
        except (OSError, OutputRefused) as error:
            log.exception("the batch %s cannot be written", name)
            reason = "the inbox cannot be written to; the log of the service says why"
            raise Refusal(503, "inbox", reason) from error
        if ready:
            try:
                self.mark(name)
            except OSError as error:
                log.exception("the batch %s cannot be marked as ready", name)
                reason = f"saved as {name}, but it cannot be marked as ready; mark it in the list"
                raise Refusal(503, "inbox", reason) from error
        return name, totals

    def _open_drafts(self, revisions: dict[str, int]) -> list[Draft]:
        """The drafts of photos by key, each in the revision that the person saw.

        Raises:
            Refusal: a photo is gone, in a batch, or changed by somebody else.
        """
        drafts, known = [self.drafts.get(key) for key in revisions], self.known()
        for draft in drafts:
            check_open(draft, known)
            check_revision(draft, revisions[draft.photo])
        return drafts

    def mark(self, name: str) -> None:
        """Mark a batch as ready.

        Raises:
            Refusal: there is no such batch.
        """
        workspace = self.workspace
        if workspace is None or not _NAME.fullmatch(name) or not (workspace.inbox / name).is_dir():
            raise Refusal(404, "no_batch", "no such batch waits in the inbox")
        write_whole(workspace.inbox / f"{name}{READY_SUFFIX}", b"")

    def _new_name(self, person: str) -> str:
        known = self.known()
        who = re.sub(r"[^\w-]+", "-", person).strip("-")[:40] or "somebody"
        base = f"{_PREFIX}{re.sub('[^0-9T]', '', now()).replace('T', '-')}-{who}"
        names = (base, *(f"{base}-{number}" for number in range(2, 1000)))
        return next(name for name in names if name not in known)

    def _photo(self, draft: Draft) -> AnnotatedPhoto:
        person = draft.person, draft.changed
        photo, items = provenance(draft.garments, draft.found, draft.model, *person)
        return AnnotatedPhoto(
            draft.name,
            partial(self.drafts.photo, draft.photo),
            draft.size,
            Labels(items_of(draft.garments)),
            place=draft.name,
            provenance=photo,
            item_provenance=items,
        )


def check_open(draft: Draft, known: set[str]) -> None:
    """Check that a photo is not saved.

    Args:
        draft: of the photo.
        known: the batches that are in the inbox or accepted.

    Raises:
        Refusal: it is in a batch.
    """
    if draft.batch in known:
        reason = f"{draft.name} is saved in the batch {draft.batch} already"
        raise Refusal(409, "saved", reason)
