"""A stage as DVC has it: what it reads now, whether its outputs are the recorded ones, in what words.

Nothing here locks or writes; ``repository`` holds the lock while these look.
"""

from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.stage import PipelineStage

from fashion_ops.ledger.lockfile import LockEntry, Snapshot, plain


class LedgerError(RuntimeError):
    """A stage can't be recorded; the message says which and why."""


def snapshot_of(stage: PipelineStage, sources: list[Any]) -> Snapshot:
    """Hash these dependencies of a stage now."""
    params, deps = {}, {}
    for source in sources:
        try:
            source.save()
        except DvcException as error:
            raise LedgerError(f"{stage.name}: an input is missing: {error}") from error
        if isinstance(source, ParamsDependency):
            params |= plain(source.hash_info.value or {})
        else:
            deps[source.def_path] = str(source.hash_info.value)
    return Snapshot(str(stage.name), str(stage.cmd), deps, params)


def outputs_are(stage: PipelineStage, entry: LockEntry) -> bool:
    """Whether the outputs on disk are the recorded ones."""
    return all(
        out.exists and str(out.get_hash().value) == entry.outs.get(out.def_path) for out in stage.outs
    )


def name_of(stage: Any) -> str:
    """A stage's name; of a versioned input the path of its .dvc file."""
    return str(stage.name) if isinstance(stage, PipelineStage) else str(stage.addressing)


def reason_of(change: Any) -> str:
    """One entry of ``dvc status --json`` in words: 'changed deps: data/raw (modified)'."""
    if isinstance(change, str):
        return change
    return "; ".join(
        f"{kind}: " + ", ".join(f"{path} ({_what(what)})" for path, what in paths.items())
        for kind, paths in change.items()
    )


def _what(what: Any) -> str:
    return (
        ", ".join(f"{key} {value}" for key, value in what.items()) if isinstance(what, dict) else what
    )
