"""What of DVC's cache nothing needs: neither the workspace, nor a branch or tag, nor a worktree.

``dvc gc`` keeps what some revisions need, and so does this module, by the same rule: the outputs in the
``dvc.lock`` and .dvc files of a revision. ``dvc gc`` can't leave tags out that are about to go, can't
say what it would free, and must parse every revision's ``dvc.yaml`` with its parameters, so that one
broken revision stops it. Reading the recorded outputs needs none of that.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fashion_ops.ledger import objects
from fashion_ops.ledger.lockfile import LedgerError, entries_of, parse_yaml
from fashion_ops.ledger.repository import Repository


@dataclass(frozen=True)
class Garbage:
    """What of the cache goes and what stays; files that are not objects stay uncounted."""

    unneeded: list[Path]  # objects that go
    unneeded_bytes: int
    needed: int  # number of objects that stay
    needed_bytes: int


def recorded_objects(name: str, text: bytes) -> set[str]:
    """The md5s that a ``dvc.lock`` or a .dvc file records.

    Args:
        name: its path; the suffix tells which of the two it is.
        text: its content.

    Raises:
        LedgerError: it can't be read.
    """
    if Path(name).name == "dvc.lock":
        return {md5 for entry in entries_of(text, Path(name)).values() for md5 in entry.outs.values()}
    try:
        return {str(out["md5"]) for out in parse_yaml(text)["outs"]}
    except Exception as error:  # YAML's own errors, and whatever a wrong structure leads to
        raise LedgerError(f"{name}: not a .dvc file: {type(error).__name__}") from error


def find_garbage(ledger: Repository, roots: Iterable[str]) -> Garbage:
    """Divide the objects of the cache into needed and unneeded ones.

    Args:
        ledger: the repository; what its workspace records is needed.
        roots: md5s of files and folders that are needed besides.

    Raises:
        LedgerError: the object of a needed folder is missing or damaged, so that nobody knows which
            files belong to it. Nothing may go then; `fashion-ops check-cache` repairs it.
    """
    needed = {md5 for outs in ledger.recorded().values() for md5 in outs.values()} | set(roots)
    for md5 in sorted(m for m in needed if m.endswith(objects.FOLDER)):
        try:
            needed |= set(objects.read_folder(ledger.store, md5).values())
        except FileNotFoundError as error:
            raise LedgerError(
                f"{ledger.store}: lacks the needed folder {md5}, so nothing of the cache may go; "
                "`dvc fetch --all-tags --all-branches` or `fashion-ops check-cache` gets it back"
            ) from error
        except ValueError as error:
            raise LedgerError(f"{error}; run `fashion-ops check-cache` first") from error
    unneeded, sizes = [], {True: 0, False: 0}
    count = 0
    for path, md5 in _objects(ledger.store):
        sizes[md5 in needed] += path.stat().st_size
        if md5 in needed:
            count += 1
        else:
            unneeded.append(path)
    return Garbage(unneeded, sizes[False], count, sizes[True])


def _objects(store: Path) -> Iterator[tuple[Path, str]]:
    """Path and md5 of each object in the cache."""
    for parent in sorted(store.iterdir()) if store.is_dir() else ():
        for path in sorted(parent.iterdir()) if len(parent.name) == 2 and parent.is_dir() else ():
            if path.is_file() and len(path.name.removesuffix(objects.FOLDER)) == 30:
                yield path, f"{parent.name}{path.name}"


def remove(garbage: Garbage) -> None:
    """Delete the unneeded objects; one that is gone already is no error."""
    for path in garbage.unneeded:
        path.unlink(missing_ok=True)


def is_shared(ledger: Repository, folders: Iterable[Path]) -> bool:
    """Whether the cache lies outside of these folders, so that other repositories may need it."""
    store = ledger.store.resolve()
    return not any(store.is_relative_to(Path(os.path.realpath(folder))) for folder in folders)
