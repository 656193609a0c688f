"""Care of the data behind ``dvc.lock``: DVC's cache and its default remote."""

from contextlib import chdir, suppress
from typing import Any

from dvc.exceptions import CheckoutError, DvcException

from fashion_ops.ledger.cache import damaged_objects
from fashion_ops.ledger.repository import Repository
from fashion_ops.ledger.stages import LedgerError, name_of, outputs_are


def damaged(ledger: Repository) -> dict[str, list[str]]:
    """Files of recorded outputs whose cached copy is not what its name says, by stage.

    DVC trusts its cache; here every byte of it is read. What is not in the cache is no damage.
    """
    return damaged_objects(ledger.entries().values(), ledger.cached)


def mend(ledger: Repository) -> dict[str, list[str]]:
    """Replace damaged cached files from the workspace or the default remote; returns which.

    What neither has is removed: its stage is stale where the output is not in place, and is made
    again by the next run.
    """
    entries = ledger.entries()
    if not (found := damaged_objects(entries.values(), ledger.cached, remove=True)):
        return found
    with ledger.locked(read_lock=True):
        for name in found:
            if outputs_are(ledger.load(name), entries[name]):
                ledger.load(name).commit()
            elif ledger.dvc.config["core"].get("remote"):
                with suppress(Exception), chdir(ledger.root):  # what does not come is made again
                    ledger.dvc.fetch(name)
    return found


def push(ledger: Repository) -> int:
    """Copy what ``dvc.lock`` names to DVC's default remote, where there is one; returns how much.

    Raises:
        LedgerError: a cached file is damaged, or not all of them arrived.
    """
    if not ledger.dvc.config["core"].get("remote"):
        return 0
    if bad := damaged(ledger):
        named = "; ".join(f"{stage}: {', '.join(files)}" for stage, files in bad.items())
        raise LedgerError(
            f"{ledger.root}: damaged in DVC's cache: {named}. Run `fashion-ops check-cache`"
        )
    with ledger.locked(read_lock=True):
        try:
            return ledger.dvc.push()
        except Exception as error:  # whatever a store may answer
            raise LedgerError(
                f"{ledger.root}: not all data arrived at the default remote: {error}. "
                "What did stays; run the step again"
            ) from error


def fill_from(ledger: Repository, other: Repository) -> None:
    """Put the outputs that ``dvc.lock`` names into place, by the cache and remotes of another.

    Stages that were never run are left alone. What that cache lacks is fetched from the default
    remote, where there is one. Cache and remotes of the other are set here from now on, as local
    settings that git ignores.

    Raises:
        LedgerError: an output is in neither; names it.
    """
    theirs = other.dvc
    config: Any
    with ledger.dvc.config.edit("local") as config:  # paths in theirs are absolute by now
        config["cache"] = {**theirs.config["cache"], "dir": str(theirs.cache.local_cache_dir)}
        config["remote"] = {name: dict(remote) for name, remote in theirs.config["remote"].items()}
        config["core"] = dict(theirs.config["core"])
    ledger.open()
    try:
        with ledger.locked(read_lock=True), chdir(ledger.root):
            never = ledger.defined.keys() - ledger.entries().keys()
            targets = [n for n in map(name_of, ledger.dvc.index.stages) if n not in never]
            try:
                ledger.dvc.checkout(targets, force=True)
            except CheckoutError:
                if not ledger.dvc.config["core"].get("remote"):
                    raise
                ledger.dvc.fetch(targets)
                ledger.dvc.checkout(targets, force=True)
    except DvcException as error:
        raise LedgerError(
            f"{ledger.root}: not all data could be brought back: {error}. They are neither in the "
            f"cache {theirs.cache.local_cache_dir} nor in a default remote (`dvc remote default`)"
        ) from error
