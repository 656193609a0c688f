"""Where each step reads and writes, and how an output appears: whole or not at all.

One place for paths, relative to the repository root. The same paths stand in ``dvc.yaml``; a test
holds the two together.
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
        """``synthesize``: a wardrobe in DeepFashion2's released layout."""
        return self.root / "data" / "raw"

    @property
    def inbox(self) -> Path:
        """Where new labelled batches are dropped; see ``fashion_ops.steps.batches``."""
        return self.root / "data" / "inbox"

    @property
    def batches(self) -> Path:
        """Accepted batches, each a folder with a .dvc file that git keeps; an input of ``ingest``."""
        return self.root / "data" / "batches"

    @property
    def rejected(self) -> Path:
        """Batches that were refused, each with its NAME.reason.txt."""
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
        """``drift``: drift.json, drift.png: the newest batch beside what was there before."""
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
        """``train_box_detector``: a model folder, or only a model.json that says there is none."""
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
        """``ingest_alignment``: a catalog a data set, in a folder of its name."""
        return self.root / "data" / "alignment" / "catalog"

    def dfa(self, stage: str) -> Path:
        """``dfa_stage@N``: a folder a model with weights, estimates, predictions and clusters.png."""
        return self.root / "models" / "dfa" / stage

    @property
    def promotions(self) -> Path:
        """``promote``: the page and numbers of each decision; kept with the version too."""
        return self.root / "reports" / "promotion"

    @property
    def checkpoints(self) -> Path:
        """Resume points of running tasks; never an output of a step."""
        return self.root / ".checkpoints"


def find_root() -> Path:
    """The repository: ``FASHION_OPS_ROOT``, or the nearest folder with a ``dvc.yaml`` from here up.

    A service may run anywhere; where there is none above it, it is the one this package lies in.
    """
    if named := os.environ.get("FASHION_OPS_ROOT"):
        return Path(named).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file() and (folder / ".dvc").is_dir():
            return folder
    return Path(__file__).resolve().parent.parent


def seen_from(folder: Path, root: Path, given: str) -> str:
    """Where the data set ``root`` lies, seen from ``folder``, so that an output names no machine.

    ``given`` is how the parameters name it: what they name by its absolute path stays so.
    """
    base = root if root.is_dir() else root.parent
    if Path(given).is_absolute():
        return base.as_posix()
    return Path(os.path.relpath(base.absolute(), folder.absolute())).as_posix()


@contextmanager
def publish(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; on success it becomes ``target``, else it is removed.

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
