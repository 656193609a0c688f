"""Paths of all step inputs and outputs, and ``publish``, which writes an output as a whole.

Paths are relative to the repository root. ``dvc.yaml`` has the same paths; a test compares the two.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """Paths of all step outputs below ``root``."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def raw(self) -> Path:
        """``synthesize``: the synthetic wardrobe, in DeepFashion2's released layout."""
        return self.root / "data" / "raw"

    @property
    def inbox(self) -> Path:
        """Folder for new labelled batches; see ``fashion_ops.steps.batches``."""
        return self.root / "data" / "inbox"

    @property
    def batches(self) -> Path:
        """Accepted batches, each a folder with a .dvc file in git; an input of ``ingest``."""
        return self.root / "data" / "batches"

    @property
    def rejected(self) -> Path:
        """Rejected batches, each with a NAME.reason.txt."""
        return self.root / "data" / "rejected"

    @property
    def catalog(self) -> Path:
        """``ingest``: images.parquet, garments.parquet, quarantine.parquet, shards/."""
        return self.root / "data" / "catalog"

    @property
    def grouped(self) -> Path:
        """``aggregate``: garments.parquet with grouped landmarks, groups.parquet with counts."""
        return self.root / "data" / "grouped"

    @property
    def pseudo_labels(self) -> Path:
        """``pseudo_label``: labels.parquet, centers.parquet, clusters/CATEGORY.png."""
        return self.root / "data" / "pseudo_labels"

    @property
    def drift(self) -> Path:
        """``drift``: drift.json, drift.png: the newest batch compared with the data before it."""
        return self.root / "reports" / "drift"

    @property
    def detector(self) -> Path:
        """``train_detector``: a model folder."""
        return self.root / "models" / "detector"

    @property
    def postprocess(self) -> Path:
        """``tune_postprocess``: postprocess.json, search.csv, sigmas.csv and their image."""
        return self.root / "models" / "postprocess"

    @property
    def box_detector(self) -> Path:
        """``train_box_detector``: a model folder, or a model.json alone where no model is trained."""
        return self.root / "models" / "box_detector"

    @property
    def landmarker(self) -> Path:
        """``train_landmarker``: a model folder."""
        return self.root / "models" / "landmarker"

    def finetuned(self, category: str) -> Path:
        """``finetune@category``: a model folder."""
        return self.root / "models" / "finetuned" / category

    def refined(self, category: str) -> Path:
        """``refine@category``: a model folder."""
        return self.root / "models" / "refined" / category

    @property
    def evaluation(self) -> Path:
        """``evaluate``: metrics.json, per_category.csv, predictions/, report.html, images/."""
        return self.root / "reports" / "evaluation"

    @property
    def alignment_raw(self) -> Path:
        """``synthesize_alignment``: fld/, category_attribute/, in_shop/, consumer_to_shop/, lsp/."""
        return self.root / "data" / "alignment" / "raw"

    @property
    def alignment_catalog(self) -> Path:
        """``ingest_alignment``: one catalog per data set, in a folder of its name."""
        return self.root / "data" / "alignment" / "catalog"

    def dfa(self, stage: str) -> Path:
        """``dfa_stage@N``: a folder per model: weights, estimates, predictions and clusters.png."""
        return self.root / "models" / "dfa" / stage

    @property
    def promotions(self) -> Path:
        """``promote``: page and metrics of each decision; also logged with the model version."""
        return self.root / "reports" / "promotion"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of running tasks; never an output of a step."""
        return self.root / ".checkpoints"


def find_root() -> Path:
    """The repository root.

    It is ``FASHION_OPS_ROOT`` if that is set; else the nearest folder with a ``dvc.yaml``, from the
    current folder upwards; else, for services that run anywhere, the repository of this package.
    """
    if root := os.environ.get("FASHION_OPS_ROOT"):
        return Path(root).resolve()
    current = Path.cwd()
    for folder in (current, *current.parents):
        if (folder / "dvc.yaml").is_file() and (folder / ".dvc").is_dir():
            return folder
    return Path(__file__).resolve().parent.parent


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
    fresh = target.with_name(f".{target.name}.partial")
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
