"""What of a workspace's files may go: snapshot tags of git, objects of DVC's cache, checkpoints."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from fashion_ops.catalog.training_data import checkpoint_path
from fashion_ops.ledger import Ledger, LedgerError
from fashion_ops.ledger import garbage as dvc_garbage
from fashion_ops.params import Params
from fashion_ops.registry import snapshot
from fashion_ops.registry.prune_versions import Item
from fashion_ops.registry.restore import SNAPSHOT_TAG
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

_DIGEST = re.compile(r"[0-9a-f]{32}")  # a checkpoint of one category: ``Snapshot.digest``
_OF_STEP = re.compile(  # of one training, and a folder of blocks that a cluster predicted
    r"((?:finetune|refine|dfa_stage)-.+|train_gle|(?:evaluate|tune_postprocess|register|promote)-blocks)"
    r"-[0-9a-f]{16}"
)


@dataclass
class FilesPlan:
    """What stays and goes in the workspace.

    Attributes:
        items: all rows of the table.
        tags: full names of the snapshot tags that go.
        garbage: objects of the cache that go; None if nothing may go.
        resume_points: files and folders that go.
    """

    items: list[Item] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    garbage: dvc_garbage.Garbage | None = None
    resume_points: list[Path] = field(default_factory=list)


def plan_files(
    params: Params, ws: Workspace, versions: Iterable[ModelVersion], kept: Iterable[ModelVersion]
) -> FilesPlan:
    """Divide the files of a workspace into what stays and what goes; changes nothing.

    Args:
        params: the parameters; they tell which checkpoints a next run could use.
        ws: the workspace.
        versions: of the registry, that go.
        kept: versions that stay, of all models.

    Raises:
        LedgerError: the workspace is no DVC repository, or its files are broken.
    """
    plan, kept = FilesPlan(), list(kept)
    try:
        worktrees = _worktrees(ws.root)
    except snapshot.SnapshotError:  # not in git: no tags, and one workspace
        worktrees = {}
    _add_tags(plan, ws.root, worktrees, list(versions), kept)
    ledger = Ledger(ws.root)
    try:
        _add_cache(plan, ledger, worktrees, kept)
    except LedgerError as error:
        plan.items.append(Item("cache", "all objects", 0, False, str(error)))
    _add_resume_points(plan, params, ws, ledger)
    return plan


def _worktrees(root: Path) -> dict[Path, str]:
    """Folder and commit of each worktree of the repository, this one too."""
    found: dict[Path, str] = {}
    folder = root
    for line in snapshot.git(root, "worktree", "list", "--porcelain").splitlines():
        key, _, value = line.partition(" ")
        if key == "worktree":  # the first line of each
            folder = Path(value)
            found[folder] = ""
        elif key == "HEAD":
            found[folder] = value
    return found


def _add_tags(
    plan: FilesPlan,
    root: Path,
    worktrees: dict[Path, str],
    versions: list[ModelVersion],
    kept: list[ModelVersion],
) -> None:
    """Add the snapshot tags. One goes if its version goes; one that no version names stays."""
    if not worktrees:
        return
    reasons = {commit: f"checked out at {folder}" for folder, commit in worktrees.items()}
    reasons |= {v.tags[SNAPSHOT_TAG]: _named(v) for v in kept if SNAPSHOT_TAG in v.tags}
    going = {v.tags[SNAPSHOT_TAG]: _named(v) for v in versions if SNAPSHOT_TAG in v.tags}
    for ref in snapshot.git(root, "for-each-ref", "--format=%(refname)", snapshot.TAGS).split():
        commit = ref.rpartition("/")[2]
        goes = commit in going and commit not in reasons
        unknown = "no version of this registry names it; another one may. `git tag -d` deletes it"
        why = f"of {going[commit]}, which goes" if goes else reasons.get(commit, unknown)
        plan.tags += [ref] if goes else []
        plan.items.append(Item("git tag", ref.removeprefix("refs/tags/"), 0, goes, why))


def _named(version: ModelVersion) -> str:
    """Model and number of a version."""
    return f"{version.name} {version.version}"


def _add_cache(
    plan: FilesPlan, ledger: Ledger, worktrees: dict[Path, str], kept: list[ModelVersion]
) -> None:
    """Add the objects of DVC's cache; none goes if other repositories may use the cache."""
    if dvc_garbage.is_shared(ledger, [ledger.root, *worktrees]):
        why = "outside of this repository, so others may use it: see `dvc gc --projects`"
        plan.items.append(Item("cache", str(ledger.store), 0, False, why))
        return
    snapshots = set()
    for version in kept if worktrees else ():
        commit = version.tags.get(SNAPSHOT_TAG, "")
        snapshots |= {commit} if commit else set()
        if commit and not snapshot.has(ledger.root, commit):
            raise LedgerError(
                f"nobody can tell which data {_named(version)} needs, because its snapshot is not in "
                f"this clone: `git fetch` the tag fashion-ops/{commit} from where it was made"
            )
    needed = _needed_by_git(ledger.root, worktrees, set(plan.tags), snapshots) if worktrees else set()
    found = dvc_garbage.find_garbage(ledger, needed)
    plan.garbage = found
    stays = "named by a dvc.lock or .dvc file of the workspace, a branch, a tag, a kept version"
    rows = (
        (found.needed, found.needed_bytes, False, stays),
        (len(found.unneeded), found.unneeded_bytes, True, "named by none of these"),
    )
    plan.items += [Item("cache", f"{n:,} objects", b, goes, why) for n, b, goes, why in rows if n]


def _needed_by_git(
    root: Path, worktrees: dict[Path, str], going: set[str], snapshots: set[str]
) -> set[str]:
    """The md5s that all branches, tags, worktrees and snapshots record, but the tags that go.

    Raises:
        LedgerError: a recorded ``dvc.lock`` or .dvc file can't be read.
    """
    lines = snapshot.git(root, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    refs = dict(line.split(" ") for line in lines)
    commits = {commit for ref, commit in refs.items() if ref not in going}
    blobs: dict[str, str] = {}
    for commit in commits | snapshots | set(filter(None, worktrees.values())):
        try:
            listing = snapshot.git(root, "ls-tree", "-r", "-z", "--full-tree", commit)
        except snapshot.SnapshotError:  # a tag of a single file
            continue
        for line in filter(None, listing.split("\0")):
            about, path = line.split("\t", 1)
            if Path(path).name == "dvc.lock" or path.endswith(".dvc"):
                blobs[about.split()[2]] = path
    needed: set[str] = set()
    for blob, path in blobs.items():
        text = snapshot.git(root, "cat-file", "blob", blob).encode()
        needed |= dvc_garbage.recorded_objects(path, text)
    prefix = snapshot.git(root, "rev-parse", "--show-prefix")
    for folder in worktrees:
        own = folder / prefix
        for file in (own / "dvc.lock", *sorted(Workspace(own).batches.glob("*.dvc"))):
            if file.is_file():
                needed |= dvc_garbage.recorded_objects(file.name, file.read_bytes())
    return needed


def _add_resume_points(plan: FilesPlan, params: Params, ws: Workspace, ledger: Ledger) -> None:
    """Add the checkpoints: those that no run with the present inputs and parameters uses go."""
    useful = _useful(params, ws, ledger)
    unknown = useful.get("", "")
    for file in sorted(ws.checkpoints.iterdir()) if ws.checkpoints.is_dir() else ():
        of_step = _OF_STEP.fullmatch(file.name)
        of_section = any(file.name.startswith(f"{section}-") for section in _SECTIONS)
        blocks = of_step is not None and of_step[1].endswith("-blocks")
        ours = of_step is not None or of_section or _DIGEST.fullmatch(file.name) is not None
        if not ours or not (file.is_dir() if blocks else file.is_file()):
            continue
        why = useful.get(of_step[1], "") if of_step else useful.get(file.name, unknown)
        if blocks and time.time() - file.stat().st_mtime < _FRESH:
            why = why or "written a short while ago: a running step may use it"
        goes = not why
        plan.resume_points += [file] if goes else []
        text = why or "of other inputs or parameters, or of a step that is current"
        size = sum(f.stat().st_size for f in (file.iterdir() if blocks else [file]))
        plan.items.append(Item("checkpoint", file.name, size, goes, text))


_SECTIONS = ("train_detector", "train_box_detector", "train_landmarker")
_ON_CLUSTERS = {  # stage -> its checkpoints' names without the hash
    "evaluate": "evaluate-blocks",
    "tune_postprocess": "tune_postprocess-blocks",
    "train_gle": "train_gle",
    **{f"dfa_stage@{number}": f"dfa_stage-{number}" for number in (1, 2, 3)},
}
_FRESH = 3600  # seconds


def _useful(params: Params, ws: Workspace, ledger: Ledger) -> dict[str, str]:
    """The steps that would continue from a checkpoint, by its name; by "" why one can't be told.

    What ``_OF_STEP`` matches is here by its name without the hash: it stays until its step is current.
    """
    names: dict[str, str] = {}
    stages = [f"{step}@{category}" for step in ("finetune", "refine") for category in CATEGORY_NAMES]
    entries = ledger.entries()
    unknown = "its step lacks an input, so nobody can tell"
    for stage in (*stages, *_ON_CLUSTERS, *_SECTIONS):
        of_step = _ON_CLUSTERS.get(stage, stage.replace("@", "-"))
        try:
            now = ledger.snapshot(stage)
            if stage in entries and not entries[stage].differences(now):
                continue
            name = now.digest
            names[of_step] = f"{stage} may continue from it"
            if stage in _ON_CLUSTERS:
                continue
            if stage in _SECTIONS:
                section, grouped = getattr(params, stage), stage != "train_box_detector"
                name = checkpoint_path(ws, stage, section, params.seed, grouped=grouped).name
            names[name] = f"{stage} continues from it"
        except (LedgerError, OSError):
            names[of_step] = unknown
            if stage not in _ON_CLUSTERS:
                names[""] = unknown
    return names
