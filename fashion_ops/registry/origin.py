"""Where a version comes from: the stages that made its models, their lineage, and the code.

A version may be registered only if its models are those of ``dvc.lock``, made by the present code and
parameters, so that it can be restored.
"""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.ledger import Ledger, LedgerError, push
from fashion_ops.registry import client as registry
from fashion_ops.registry import snapshot
from fashion_ops.registry.restore import (
    CODE_BUNDLE,
    ENVIRONMENT,
    SNAPSHOT_TAG,
    write_environment,
)

log = logging.getLogger(__name__)


def check_lineage(ledger: Ledger, stages: Sequence[str]) -> str:
    """Check that these stages and those that they depend on are as recorded; push the data.

    Returns:
        The digest of their entries, see ``client.LINEAGE_TAG``.

    Raises:
        LedgerError: files differ from ``dvc.lock``, were made by code or parameters other than the
            present ones, or did not arrive at the remote.
        ServiceError: the remote does not answer.
    """
    for stage in stages:
        ledger.verify(stage)
        if changes := ledger.changes(stage):
            first = "; ".join(f"{stage}: {', '.join(why)}" for stage, why in list(changes.items())[:3])
            raise LedgerError(
                f"{ledger.lock_file}: `dvc status` is not clean, so this version could never be "
                f"restored as it is ({first}). Run `dvc repro` first"
            )
    push(ledger)
    digests = [ledger.digest(stage) for stage in stages]
    return digests[0] if len(digests) == 1 else hashlib.md5("".join(digests).encode()).hexdigest()


def take_snapshot(root: Path, message: str) -> str | None:
    """Commit the working tree as a snapshot, to restore the version from; returns the commit.

    If that fails, such as outside of git, logs a warning and returns None.
    """
    try:
        return snapshot.take(root, message)
    except snapshot.SnapshotError as error:
        log.warning("this version can't be restored: %s", error)
        return None


def origin_tags(ledger: Ledger, lineage: str, commit: str | None) -> dict[str, str]:
    """The tags of a version that say where it comes from."""
    return {
        registry.LINEAGE_TAG: lineage,
        "git_commit": snapshot.head(ledger.root),
        "dvc_lock_md5": registry.file_md5(ledger.lock_file),
        **({SNAPSHOT_TAG: commit} if commit else {}),
    }


def write_origin(root: Path, metrics: Path, folder: Path, commit: str | None) -> None:
    """Write what ``restore`` needs: dvc.lock, metrics.json, installed packages, code.

    Args:
        root: of the workspace.
        metrics: the metrics.json of the version.
        folder: new folder for the records.
        commit: the snapshot, which becomes a git bundle; None leaves the code out.
    """
    folder.mkdir()
    shutil.copy(root / "dvc.lock", folder / "dvc.lock")
    shutil.copy(metrics, folder / "metrics.json")
    write_environment(folder / ENVIRONMENT)
    if commit:
        snapshot.pack(root, commit, folder / CODE_BUNDLE)


def known_version(client: registry.MlflowClient, name: str, lineage: str) -> ModelVersion | None:
    """The version with this lineage, made challenger; None if there is none."""
    known = registry.with_lineage(client, name, lineage)
    if known is not None:
        client.set_registered_model_alias(name, registry.CHALLENGER, known.version)
    return known
