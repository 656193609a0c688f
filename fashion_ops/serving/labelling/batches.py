"""From finished drafts to a batch in the inbox, which ``batches`` takes.

A batch appears whole: the drafts first say which batch they will be in, and a batch that is not in the
inbox or among the accepted ones opens its photos again, so that a crash, a deleted and a refused batch
lose no label.
"""

import logging
import re
from functools import partial
from pathlib import Path

from fashion_ops.annotation.batch import BatchTotals, LabelError, write_batch
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
                there is no workspace, or its inbox cannot be written to.
        """
        if self.workspace is None:
            reason = "there is no inbox: start fashion-ops serve in a workspace to save batches"
            raise Refusal(409, "no_workspace", reason)
        with self.drafts.alone():
            drafts = [self.drafts.get(key) for key in dict.fromkeys(key for key, _ in chosen)]
            known = self.known()
            for draft, revision in zip(drafts, dict(chosen).values(), strict=True):
                check_revision(draft, revision)
                check_open(draft, known)
                check_labels(draft.garments, draft.name, draft.size)
            name = self._new_name(person, known)
            photos = [self._photo(draft) for draft in drafts]
            try:
                for draft in drafts:
                    self.drafts.write(draft.model_copy(update={"batch": name, "done": True}))
                totals = write_batch(checked(photos), self.workspace.inbox / name)
            except LabelError as error:
                raise Refusal(422, "labels", str(error)) from error
            except (OSError, OutputRefused) as error:
                log.exception("the batch %s cannot be written", name)
                reason = "the inbox cannot be written to; the log of the service says why"
                raise Refusal(503, "inbox", reason) from error
        if ready:
            self.mark(name)
        return name, totals

    def mark(self, name: str) -> None:
        """Mark a batch as ready.

        Raises:
            Refusal: there is no such batch.
        """
        workspace = self.workspace
        if workspace is None or not _NAME.fullmatch(name) or not (workspace.inbox / name).is_dir():
            raise Refusal(404, "no_batch", "no such batch waits in the inbox")
        write_whole(workspace.inbox / f"{name}{READY_SUFFIX}", b"")

    def _new_name(self, person: str, known: set[str]) -> str:
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
