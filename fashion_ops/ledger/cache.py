"""The data behind ``dvc.lock`` and the .dvc files: DVC's cache and its default remote.

The cache names an object by the md5 of its content; the object of a folder is a JSON list of the files
in it (``objects``). DVC does not check the content of its cache; the functions here do.
"""

import logging
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

from dvc.exceptions import CheckoutError, DvcException
from dvc.stage import PipelineStage

from fashion_ops.ledger import objects
from fashion_ops.ledger.lockfile import LockEntry
from fashion_ops.ledger.repository import LedgerError, Repository, name_of
from fashion_ops.services import ServiceError

log = logging.getLogger(__name__)


def damaged_outputs(ledger: Repository, remove: bool = False) -> dict[str, list[str]]:
    """Compare the cached objects of all recorded outputs and versioned inputs with their md5.

    Args:
        ledger: the repository.
        remove: delete damaged objects from the cache.

    Returns:
        Paths of damaged files by stage or .dvc file. An object that is not in the cache does not count
        as damaged.
    """
    damaged: dict[str, list[str]] = {}
    for name, outs in ledger.recorded().items():
        for path, md5 in outs.items():
            for file, part in _wrong(ledger, path, md5):
                if ledger.cached(part).is_file():
                    damaged.setdefault(name, []).append(file)
                    if remove:
                        ledger.cached(part).unlink()
    return damaged


def _wrong(ledger: Repository, path: str, md5: str) -> Iterator[tuple[str, str]]:
    """Yield path and md5 of each file of an output whose cached object is missing or damaged.

    Args:
        ledger: the repository.
        path: of a file or folder.
        md5: its recorded md5, with ``.dir`` for a folder.
    """
    if not objects.is_intact(ledger.store, md5):
        yield path, md5
        return
    for name, part in objects.read_folder(ledger.store, md5).items():
        if not objects.is_intact(ledger.store, part):
            yield f"{path}/{name}", part


def repair_cache(ledger: Repository) -> dict[str, list[str]]:
    """Replace damaged and missing cached files by those of the workspace or of the default remote.

    A remote that does not answer is left out, with a warning. A damaged file that neither has is
    removed from the cache, so that its stage is stale and the next run makes it again;
    ``lost_outputs`` names it.

    Returns:
        The files that were damaged or missing, by stage or .dvc file.
    """
    wrong: dict[str, list[str]] = {}
    remote: bool | None = None  # asked once, and only if something is wrong
    for name, outs in ledger.recorded().items():
        files = [file for path, md5 in outs.items() for file in _repair(ledger, path, md5)]
        if files and name in lost_outputs(ledger):
            remote = ledger.has_remote and _answers(ledger) if remote is None else remote
        if files and remote and name in lost_outputs(ledger):
            with ledger.locked(read_lock=True), suppress(Exception), chdir(ledger.root):
                ledger.dvc.fetch(name)  # what can't be fetched is made again
            files += [file for path, md5 in outs.items() for file in _repair(ledger, path, md5)]
        if files:
            wrong[name] = sorted(dict.fromkeys(files))
    return wrong


def _repair(ledger: Repository, path: str, md5: str) -> list[str]:
    """Take what is wrong with an output in the cache from the workspace, file by file.

    What is damaged and can't be had is removed.

    Returns:
        The files that were wrong.
    """
    files: list[str] = []
    while wrong := [(file, part) for file, part in _wrong(ledger, path, md5) if file not in files]:
        for file, part in wrong:  # once the object of a folder is there, it names the others
            files.append(file)
            ledger.cached(part).unlink(missing_ok=True)
            objects.add(ledger.store, part, ledger.root / file, ledger.root)
    return files


def keep_in_cache(ledger: Repository, path: str, md5: str) -> bool:
    """Put what the cache lacks of an output back from the workspace, which has all of it.

    An object is missing if it is not there or has another size; only these are read.

    Args:
        ledger: the repository.
        path: of a file or folder whose content in the workspace has this md5.
        md5: its recorded md5, with ``.dir`` for a folder.

    Returns:
        Whether the cache has all of the output now. It has not if the workspace was damaged unnoticed.

    Raises:
        LedgerError: the cache can't be written.
    """
    if objects.looks_whole(ledger.store, md5, ledger.root / path):
        return True
    try:
        _repair(ledger, path, md5)
    except OSError as error:
        raise LedgerError(f"{path}: can't be put back into {ledger.store}: {error}") from error
    return objects.looks_whole(ledger.store, md5, ledger.root / path)


def check_out(ledger: Repository, stage: PipelineStage, entry: LockEntry) -> bool:
    """Put the recorded outputs of a stage into the workspace, from the cache or the default remote.

    Call it within ``ledger.locked(read_lock=True)``.

    Returns:
        Whether they are there. If not, the workspace is as before.
    """
    if not _is_complete(ledger, entry) and ledger.has_remote:
        with suppress(Exception), chdir(ledger.root):  # what can't be fetched is made again
            ledger.dvc.fetch(entry.stage)
    if not _is_complete(ledger, entry):
        return False
    with suppress(DvcException), chdir(ledger.root):
        stage.checkout(force=True)
        return True
    return False


def _is_complete(ledger: Repository, entry: LockEntry) -> bool:
    """Whether the cache has all outputs of an entry, undamaged; removes what is damaged."""
    wrong = [part for path, md5 in entry.outs.items() for _, part in _wrong(ledger, path, md5)]
    for part in wrong:
        ledger.cached(part).unlink(missing_ok=True)
    return not wrong


def lost_outputs(ledger: Repository) -> dict[str, list[str]]:
    """The recorded files that the cache lacks, by stage or .dvc file; call ``repair_cache`` before."""
    lost: dict[str, list[str]] = {}
    for name, outs in ledger.recorded().items():
        for path, md5 in outs.items():
            parts = {path: md5}
            if ledger.cached(md5).is_file():
                folder = objects.read_folder(ledger.store, md5)
                parts |= {f"{path}/{part}": part_md5 for part, part_md5 in folder.items()}
            if gone := [file for file, part in parts.items() if not ledger.cached(part).is_file()]:
                lost.setdefault(name, []).extend(gone)
    return lost


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
    _drop_damaged(ledger)
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


def _drop_damaged(ledger: Repository) -> None:
    """Remove damaged objects of the outputs from the cache, so that they come from the remote.

    Raises:
        LedgerError: there is no remote, and therefore no other copy; the message names the files.
    """
    damaged = damaged_outputs(ledger, remove=ledger.has_remote)
    if damaged and not ledger.has_remote:
        files = "; ".join(f"{name}: {', '.join(paths)}" for name, paths in damaged.items())
        raise LedgerError(f"{ledger.store}: damaged, and there is no default remote: {files}")


def remove_leftovers(cache: Path, since: float) -> None:
    """Delete the partial copies that DVC left in ``cache`` when a copy failed, such as on a full disk.

    Args:
        cache: folder of DVC's cache.
        since: delete copies that are not older than this, in seconds since the epoch.
    """
    for copy in cache.rglob(".*.tmp"):
        if copy.stat().st_mtime >= since - 1:  # file systems round
            copy.unlink()
