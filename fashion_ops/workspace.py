"""Paths of all step inputs and outputs of a workspace, and the right to write them.

Paths are relative to the repository root. ``dvc.yaml`` has the same paths; a test compares the two.
``publish`` and ``write_whole``, which write outputs as a whole, are those of ``files.publishing``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fashion_ops.files.publishing import publish, recover, write_whole
from fashion_ops.files.writers import WorkspaceBusy, only_writer

__all__ = ["Workspace", "WorkspaceBusy", "find_root", "publish", "seen_from", "write_whole"]


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
    also = _Below("data/also")  # ingest-also: further catalogs, by name, that evaluate may judge
    grouped = _Below("data/grouped")  # aggregate: garments.parquet, groups.parquet, grouping.json
    pseudo_labels = _Below("data/pseudo_labels")  # pseudo_label: labels, centers (.parquet); clusters/
    drift = _Below("reports/drift")  # drift: drift.json, drift.png
    detector = _Below("models/detector")  # train_detector: a model folder
    postprocess = _Below("models/postprocess")  # tune_postprocess: postprocess.json, tables, a plot
    box_detector = _Below("models/box_detector")  # train_box_detector: a model folder, or a model.json
    landmarker = _Below("models/landmarker")  # train_landmarker: a model folder
    evaluation = _Below("reports/evaluation")  # evaluate: metrics.json, report.html, predictions/, ...
    evaluation_hardware = _Below("reports/evaluation.hardware.json")  # evaluate: no output of DVC
    promotions = _Below("reports/promotion")  # promote: page and metrics of each decision
    alignment_promotions = _Below("reports/promotion_alignment")  # promote_alignment: likewise
    alignment_raw = _Below("data/alignment/raw")  # synthesize_alignment: a folder per data set
    alignment_catalog = _Below("data/alignment/catalog")  # ingest_alignment: a catalog per data set

    gle = _Below("models/gle")  # train_gle: a model folder, with predictions and report.md

    def finetuned(self, category: str) -> Path:
        """``finetune@category``: a model folder."""
        return self.root / "models" / "finetuned" / category

    def refined(self, category: str) -> Path:
        """``refine@category``: a model folder."""
        return self.root / "models" / "refined" / category

    def dfa(self, stage: str) -> Path:
        """``dfa_stage@N``: a folder per model: weights, estimates, predictions and clusters.png."""
        return self.root / "models" / "dfa" / stage

    @contextmanager
    def writing(self, command: str, *stages: str) -> Iterator[None]:
        """Be the only process that writes to the workspace within the block; see ``only_writer``.

        What killed processes left of the outputs is finished first, see ``recover``.

        Args:
            command: what this process does, for those who find the workspace busy.
            stages: names of the only stages that are written; none for any.

        Raises:
            WorkspaceBusy: another process writes the same; the message names it.
            OSError: the workspace cannot be written to.
        """
        with only_writer(self.root, command, stages):
            recover(*self._outputs(), everyone=not stages)
            yield

    def _outputs(self) -> list[Path]:
        """All outputs of steps; ``*`` stands for the partitions of a step."""
        data = [self.raw, self.catalog, self.grouped, self.pseudo_labels]
        models = [self.detector, self.postprocess, self.box_detector, self.landmarker]
        models += [self.finetuned("*"), self.refined("*"), self.dfa("*"), self.gle]
        return [*data, *models, self.drift, self.evaluation, self.alignment_raw, self.alignment_catalog]


NO_WORKSPACE = (
    "this needs a workspace; run it in a clone of the fashion-ops repository (`git clone`, `make env`) "
    "or set FASHION_OPS_ROOT to one"
)

# The step that makes each output; longer paths first.
_MAKERS = {
    "data/alignment/raw": "synthesize_alignment",
    "data/alignment/catalog": "ingest_alignment",
    "data/raw": "synthesize",
    "data/catalog": "ingest",
    "data/grouped": "aggregate",
    "data/pseudo_labels": "pseudo_label",
    "reports/drift": "drift",
    "models/detector": "train_detector",
    "models/postprocess": "tune_postprocess",
    "models/box_detector": "train_box_detector",
    "models/landmarker": "train_landmarker",
    "models/finetuned": "finetune",
    "models/refined": "refine",
    "models/dfa": "dfa_stage",
    "models/gle": "train_gle",
    "reports/evaluation": "evaluate",
}


def maker(path: Path) -> str:
    """Name of the command that makes a file or folder of a workspace; empty if no step does."""
    text = f"/{path.as_posix()}/"
    return next((step for output, step in _MAKERS.items() if f"/{output}/" in text), "")


def find_root() -> Path:
    """The repository root.

    It is ``FASHION_OPS_ROOT`` if that is set; else the nearest folder with a ``dvc.yaml``, from the
    current folder upwards; else, for services that run anywhere, the repository of this package.

    Raises:
        FileNotFoundError: there is none, as where the package is installed without its repository.
    """
    if root := _surrounding_root():
        return root
    root = Path(__file__).resolve().parent.parent
    if not (root / "dvc.yaml").is_file():
        raise FileNotFoundError(f"{Path.cwd()}: {NO_WORKSPACE}")
    return root


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
