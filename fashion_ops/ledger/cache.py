"""The data behind ``dvc.lock``: DVC's cache and its default remote.

The cache names an object by the md5 of its content; the object of a folder is a JSON list of the files
in it. DVC does not check the content of its cache; the functions here do.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

from dvc.exceptions import CheckoutError, DvcException

from fashion_ops.ledger.repository import LedgerError, Repository, name_of, outputs_match
from fashion_ops.services import ServiceError

log = logging.getLogger(__name__)


def damaged_outputs(ledger: Repository, remove: bool = False) -> dict[str, list[str]]:
    """Compare the cached objects of all recorded outputs with their md5.

    Args:
        ledger: the repository.
        remove: delete damaged objects from the cache.

    Returns:
        Paths of damaged files by stage. An object that is not in the cache does not count as damaged.
    """
    damaged: dict[str, list[str]] = {}
    for entry in ledger.entries().values():
        files = [file for out, md5 in entry.outs.items() for file in _damaged(ledger, out, md5, remove)]
        if files:
            damaged[entry.stage] = files
    return damaged


def _damaged(ledger: Repository, path: str, md5: str, remove: bool) -> Iterator[str]:
    """Yield the damaged files of an output: those whose cached content differs from their md5.

    Args:
        ledger: the repository.
        path: of a file or folder.
        md5: its recorded md5, with ``.dir`` for a folder.
        remove: delete damaged objects from the cache.
    """
    cached = ledger.cached(md5)
    if not cached.is_file():
        return
    with cached.open("rb") as file:
        intact = hashlib.file_digest(file, "md5").hexdigest() == md5.removesuffix(".dir")
    if not intact:
        if remove:
            cached.unlink()
        yield path
    elif md5.endswith(".dir"):
        for item in json.loads(cached.read_text(encoding="utf-8")):
            yield from _damaged(ledger, f"{path}/{item['relpath']}", item["md5"], remove)


def repair_cache(ledger: Repository) -> dict[str, list[str]]:
    """Replace damaged cached files by those of the workspace or of the default remote.

    A remote that does not answer is left out, with a warning. A damaged file that neither has is
    removed from the cache, so that its stage is stale and the next run makes it again.

    Returns:
        The files that were damaged, by stage.
    """
    entries = ledger.entries()
    if not (damaged := damaged_outputs(ledger, remove=True)):
        return damaged
    remote = ledger.has_remote and _answers(ledger)
    with ledger.locked(read_lock=True):
        for name in damaged:
            if outputs_match(ledger.load(name), entries[name]):
                ledger.load(name).commit()
            elif remote:
                with suppress(Exception), chdir(ledger.root):  # what can't be fetched is made again
                    ledger.dvc.fetch(name)
    return damaged


def _answers(ledger: Repository) -> bool:
    """Whether the default remote answers; a warning says why if it does not."""
    try:
        ledger.await_remote()
    except ServiceError as error:
        log.warning("%s", error)
        return False
    return True


def push(ledger: Repository) -> int:
    """Copy what ``dvc.lock`` names to DVC's default remote, if there is one.

    Returns:
        Number of files copied.

    Raises:
        LedgerError: a cached file is damaged, or not all files arrived.
        ServiceError: the remote does not answer.
    """
    if not ledger.has_remote:
        return 0
    ledger.await_remote()
    if damaged := damaged_outputs(ledger):
        files = "; ".join(f"{stage}: {', '.join(paths)}" for stage, paths in damaged.items())
        raise LedgerError(
            f"{ledger.root}: damaged in DVC's cache: {files}. Run `fashion-ops check-cache`"
        )
    with ledger.locked(read_lock=True):
        try:
            return ledger.dvc.push()
        except Exception as error:  # each kind of remote raises its own errors
            raise LedgerError(
                f"{ledger.root}: not all data arrived at the default remote: {error}. "
                "The files that arrived stay there; run the step again"
            ) from error


def checkout_from(ledger: Repository, source: Repository) -> None:
    """Put the outputs that ``dvc.lock`` names into place, out of another repository's cache.

    Outputs that this cache lacks are fetched from the default remote of ``source``. From now on
    ``ledger`` uses the cache and remotes of ``source``, by local settings that git ignores. Stages
    without an entry in ``dvc.lock`` are skipped.

    Args:
        ledger: the repository whose outputs are put into place.
        source: the repository whose cache and remotes have the data.

    Raises:
        LedgerError: an output is neither in the cache nor in the remote; the message names it.
        ServiceError: the remote is needed and does not answer.
    """
    config: Any
    with ledger.dvc.config.edit("local") as config:  # DVC has made the paths of source absolute
        cache = str(source.dvc.cache.local_cache_dir)
        config["cache"] = {**source.dvc.config["cache"], "dir": cache}
        config["remote"] = {name: dict(remote) for name, remote in source.dvc.config["remote"].items()}
        config["core"] = dict(source.dvc.config["core"])
    ledger.open()
    try:
        with ledger.locked(read_lock=True), chdir(ledger.root):
            unrecorded = ledger.defined.keys() - ledger.entries().keys()
            targets = [n for n in map(name_of, ledger.dvc.index.stages) if n not in unrecorded]
            try:
                ledger.dvc.checkout(targets, force=True)
            except CheckoutError:
                if not ledger.has_remote:
                    raise
                source.await_remote()
                ledger.dvc.fetch(targets)
                ledger.dvc.checkout(targets, force=True)
    except DvcException as error:
        raise LedgerError(
            f"{ledger.root}: not all data could be restored: {error}. They are neither in the cache "
            f"{cache} nor in a default remote (`dvc remote default`)"
        ) from error


def remove_leftovers(cache: Path, since: float) -> None:
    """Delete the partial copies that DVC left in ``cache`` when a copy failed, such as on a full disk.

    Args:
        cache: folder of DVC's cache.
        since: delete copies that are not older than this, in seconds since the epoch.
    """
    for copy in cache.rglob(".*.tmp"):
        if copy.stat().st_mtime >= since - 1:  # file systems round
            copy.unlink()
