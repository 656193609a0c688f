"""Restoring a registered version: its code, parameters, ``dvc.lock`` and data in a new git worktree.

Code, parameters and ``dvc.lock`` come from the snapshot that every version carries (``snapshot``), data
from the DVC cache or a remote. ``verify`` then compares the models with those in the registry and
evaluates them again, which must give the recorded evaluation byte for byte.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.ledger import Ledger, checkout_from
from fashion_ops.registry import client as registry
from fashion_ops.registry import snapshot
from fashion_ops.workspace import Workspace

SNAPSHOT_TAG = "snapshot"  # of a version: the commit to restore from
STAGES_TAG = "stages"  # of a version: the stages that it consists of, with those that they depend on
EVALUATED = "evaluate"  # the stage of a version without such a tag
CODE_BUNDLE, ENVIRONMENT = "code.bundle", "environment.json"


class RestoreError(RuntimeError):
    """A version can't be restored as it was; the message says what is missing."""


@dataclass(frozen=True)
class Restored:
    """A restored version."""

    version: ModelVersion
    folder: Path  # the git worktree
    ws: Workspace  # the workspace in it
    other_packages: list[str]  # packages that differ from those of ``register``, with both versions


def restore(root: Path, name: str, version_or_alias: str, into: Path | None = None) -> Restored:
    """Restore a version into a new git worktree.

    Args:
        root: a repository that has the commit which the version was made on.
        name: name of the registered model.
        version_or_alias: number or alias of the version.
        into: the new folder, which must not exist. Default: a folder beside ``root``.

    Returns:
        The new worktree, with its data in place.

    Raises:
        ValueError: there is no such version, or the folder exists.
        RestoreError: the version has no snapshot, or the restored data differ from the registered ones.
        SnapshotError: git lacks the commit that the version was made on.
        LedgerError: data are neither in the cache nor in the remote.
        ServiceError: the registry or the remote does not answer.
    """
    root = root.resolve()
    version = registry.find_version(registry.connect(root, artifacts=True), name, version_or_alias)
    commit = version.tags.get(SNAPSHOT_TAG)
    if commit is None:
        raise RestoreError(
            f"{name} version {version.version}: has no snapshot: it was registered outside of git "
            f"(git_commit {version.tags.get('git_commit', 'none')})"
        )
    folder = (into or root.parent / f"{root.name}-{name}-{version.version}").resolve()
    if folder.exists():
        raise ValueError(f"{folder}: exists; name a new folder by --into, or `git worktree remove` it")
    if not snapshot.has(root, commit):
        snapshot.unpack(root, commit, registry.fetch_record(version, CODE_BUNDLE))
    ws = Workspace(snapshot.open_worktree(root, commit, folder))
    try:
        ledger = Ledger(ws.root)
        checkout_from(ledger, Ledger(root))
        for stage in stages_of(version):
            if changes := ledger.changes(stage):
                raise RestoreError(f"{folder}: `dvc status` is not clean: {changes}")
    except BaseException:
        snapshot.close_worktree(root, folder)
        raise
    return Restored(version, folder, ws, _other_packages(version))


def stages_of(version: ModelVersion) -> list[str]:
    """The stages that a version consists of, with those that they depend on."""
    return version.tags.get(STAGES_TAG, EVALUATED).split()


def verify(restored: Restored) -> list[str]:
    """Compare a restored version with its record, byte for byte.

    The models must equal those in the registry, and the restored code must write the recorded
    ``reports/evaluation`` again, including report and images. This runs the restored code: only use it
    with registries that you trust. A version of an alignment model has no such report; only its models
    are compared.

    Returns:
        Files that differ, each with ``missing``, ``new`` or ``differs``; empty if all are equal.

    Raises:
        RestoreError: the evaluation fails.
    """
    ws = restored.ws
    bundle = registry.fetch_bundle(f"models:/{restored.version.name}/{restored.version.version}")
    wrong = []
    for part in sorted(path for path in bundle.iterdir() if path.is_dir()):
        wrong += [f"models/{part.name}/{x}" for x in _compare(part, ws.detector.parent / part.name)]
    for name in ("params.yaml", "dvc.lock"):
        if (bundle / name).read_bytes() != (ws.root / name).read_bytes():
            wrong.append(f"{name}: differs")
    if stages_of(restored.version) != [EVALUATED]:
        return [line for line in wrong if not line.endswith(": new")]  # files that predict nothing
    with tempfile.TemporaryDirectory() as scratch:
        recorded = Path(scratch) / "recorded"
        shutil.copytree(ws.evaluation, recorded)
        try:
            _evaluate(ws)
            wrong += [f"reports/evaluation/{line}" for line in _compare(recorded, ws.evaluation)]
        finally:
            shutil.rmtree(ws.evaluation, ignore_errors=True)
            shutil.copytree(recorded, ws.evaluation)
    return wrong


def _evaluate(ws: Workspace) -> None:
    """Run step ``evaluate`` of the restored code in a subprocess, without recording it in dvc.lock.

    Raises:
        RestoreError: it fails.
    """
    root = str(ws.root)
    env = os.environ | {"PYTHONPATH": root, "FASHION_OPS_ROOT": root, "DVC_STAGE": "evaluate"}
    command = [sys.executable, "-m", "fashion_ops.cli", "evaluate"]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RestoreError(f"{root}: evaluate failed: {done.stderr.strip()[-2000:]}")


def _compare(recorded: Path, restored: Path) -> list[str]:
    """Files that differ between two folders, each with ``missing``, ``new`` or ``differs``."""
    old, new = (
        {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        for folder in (recorded, restored)
    )
    lines = [f"{name}: new" for name in new.keys() - old.keys()]
    lines += [f"{name}: missing" for name in old.keys() - new.keys()]
    both = old.keys() & new.keys()
    lines += [f"{n}: differs" for n in both if old[n].read_bytes() != new[n].read_bytes()]
    return sorted(lines)


def write_environment(path: Path) -> None:
    """Write the versions of Python and of all installed packages, which results depend on, as JSON."""
    path.write_text(json.dumps(_environment(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _environment() -> dict[str, str]:
    """Versions of Python and of all installed packages, by name, and the machine's architecture."""
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    return {"python": platform.python_version(), "machine": platform.machine(), **packages}


def _other_packages(version: ModelVersion) -> list[str]:
    """Packages that differ between ``register`` and now, one line each with both versions."""
    then = json.loads(registry.fetch_record(version, ENVIRONMENT).read_text(encoding="utf-8"))
    now = _environment()
    return [
        f"{name} {then.get(name, 'not installed')} then, {now.get(name, 'not installed')} now"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
