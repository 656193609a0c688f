"""Paths of all step inputs and outputs, and ``publish``, which writes an output as a whole.

Paths are relative to the repository root. ``dvc.yaml`` has the same paths; a test compares the two.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class _Below:
    """A path below the root of a workspace."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, workspace: "Workspace", owner: type) -> Path:
        return workspace.root / self._path


@dataclass(frozen=True)
class Workspace:
    """Paths of all step inputs and outputs below ``root``; comments name the step that writes each."""

    root: Path = Path()

    params = _Below("params.yaml")
    checkpoints = _Below(".checkpoints")  # of running tasks; never an output of a step
    alarms = _Below(".alarms")  # that wait for the webhook, and those that it accepted

    # New labelled batches, see ``steps.batches``. Accepted ones have a .dvc file in git and are an
    # input of ``ingest``, rejected ones have a NAME.reason.txt.
    inbox = _Below("data/inbox")
    batches = _Below("data/batches")
    rejected = _Below("data/rejected")

    raw = _Below("data/raw")  # synthesize: the synthetic wardrobe, in DeepFashion2's released layout
    catalog = _Below("data/catalog")  # ingest: images, garments, quarantine (.parquet); shards/
    grouped = _Below("data/grouped")  # aggregate: garments.parquet, groups.parquet, grouping.json
    pseudo_labels = _Below("data/pseudo_labels")  # pseudo_label: labels, centers (.parquet); clusters/
    drift = _Below("reports/drift")  # drift: drift.json, drift.png
    detector = _Below("models/detector")  # train_detector: a model folder
    postprocess = _Below("models/postprocess")  # tune_postprocess: postprocess.json, tables, a plot
    box_detector = _Below("models/box_detector")  # train_box_detector: a model folder, or a model.json
    landmarker = _Below("models/landmarker")  # train_landmarker: a model folder
    evaluation = _Below("reports/evaluation")  # evaluate: metrics.json, report.html, predictions/, ...
    promotions = _Below("reports/promotion")  # promote: page and metrics of each decision
    alignment_raw = _Below("data/alignment/raw")  # synthesize_alignment: a folder per data set
    alignment_catalog = _Below("data/alignment/catalog")  # ingest_alignment: a catalog per data set

    def finetuned(self, category: str) -> Path:
        """``finetune@category``: a model folder."""
        return self.root / "models" / "finetuned" / category

    def refined(self, category: str) -> Path:
        """``refine@category``: a model folder."""
        return self.root / "models" / "refined" / category

    def dfa(self, stage: str) -> Path:
        """``dfa_stage@N``: a folder per model: weights, estimates, predictions and clusters.png."""
        return self.root / "models" / "dfa" / stage


def find_root() -> Path:
    """The repository root.

    It is ``FASHION_OPS_ROOT`` if that is set; else the nearest folder with a ``dvc.yaml``, from the
    current folder upwards; else, for services that run anywhere, the repository of this package.
    """
    return _surrounding_root() or Path(__file__).resolve().parent.parent


def current_workspace() -> Workspace:
    """The workspace of a command: ``FASHION_OPS_ROOT``, or the one around the current folder.

    Outside of any it is the current folder. Its paths are relative if the current folder is the root.
    A command that DVC runs works in the repository of DVC, whatever ``FASHION_OPS_ROOT`` says.
    """
    root = None if os.environ.get("DVC_STAGE") else _surrounding_root()
    return Workspace() if root is None or root == Path.cwd() else Workspace(root)


def _surrounding_root() -> Path | None:
    """``FASHION_OPS_ROOT``, else the nearest folder upwards with a ``dvc.yaml``; None without one."""
    if root := os.environ.get("FASHION_OPS_ROOT"):
        return Path(root).resolve()
    current = Path.cwd()
    for folder in (current, *current.parents):
        if (folder / "dvc.yaml").is_file() and (folder / ".dvc").is_dir():
            return folder
    return None


def seen_from(folder: Path, root: Path, name: str) -> str:
    """Path of a data set relative to ``folder``, so that an output does not depend on the machine.

    Args:
        folder: of the output.
        root: folder or file of the data set.
        name: the data set's path as in the parameters; an absolute path stays absolute.
    """
    base = root if root.is_dir() else root.parent
    if Path(name).is_absolute():
        return base.as_posix()
    return Path(os.path.relpath(base.absolute(), folder.absolute())).as_posix()


@contextmanager
def publish(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that becomes ``target`` on success and else is removed.

    A reader never sees a half-written output: the old one stays until the new one is complete.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = partial_of(target)
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        yield fresh
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_whole(target: Path, data: bytes) -> None:
    """Write a file as a whole or not at all; makes its folder if it is missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(target)
    try:
        partial.write_bytes(data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def partial_of(target: Path) -> Path:
    """Where ``publish`` and ``write_whole`` write before the output takes its name."""
    return target.with_name(f".{target.name}.partial")
