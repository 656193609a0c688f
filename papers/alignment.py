"""What the tables of fashion alignment share: FLD's garments, and what a model's errors come to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.evaluation.normalized_error import errors
from papers.config import Request
from papers.dfa.data import identify

SEEDS = (0, 1, 2)
VISIBLE = 2  # COCO's
OUTLIER = 0.15  # of the letterbox's side: 34 px of 224
TOGETHER, APART = 0.05, 0.15  # of the side: one place, and two


@dataclass(frozen=True)
class Aligned:
    """Garments to train on and to judge. ``name`` says what they are; ``same``: the paper's own."""

    catalog: AlignmentCatalog
    train: AlignmentLandmarks
    test: AlignmentLandmarks
    name: str
    same: bool


def open_source(request: Request, source: str) -> AlignmentCatalog:
    """The catalog of one alignment data set.

    Raises:
        FileNotFoundError: there is none yet.
    """
    folder: Path = request.ws.alignment_catalog / source
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(f"{folder}: no catalog here; `fashion-ops ingest_alignment` makes one")
    return AlignmentCatalog(folder)


def load_fld(request: Request) -> Aligned:
    """FLD's training and test garments, all clothing types in 8 slots.

    Raises:
        FileNotFoundError: there is no catalog yet.
        ValueError: nothing to train on or to judge.
    """
    catalog = open_source(request, "fld")
    train, test = catalog.points("train"), catalog.points("test")
    if not len(train) or not len(test):
        raise ValueError(
            f"{catalog.folder}: {len(train)} garments to train on and {len(test)} to judge; both needed"
        )
    _, real = identify(catalog)
    kind = "FLD" if real else "synthetic FLD"
    name = f"{kind}, {len(train)} training and {len(test)} test garments"
    return Aligned(catalog, train, test, name, real)


def distances(found: Float[np.ndarray, "n k 2"], truth: AlignmentLandmarks) -> Float[np.ndarray, "n k"]:
    """Distances over the side of each garment's letterbox; found in pixels of the image."""
    return errors(found, truth.xy, truth.box, frame="letterbox")


def outliers(far: Float[np.ndarray, "n k"], mask: Bool[np.ndarray, "n k"]) -> float:
    """Per cent of landmarks that are further off than ``OUTLIER``."""
    return 100 * float((far[mask] > OUTLIER).mean())


def duplicates(
    found: Float[np.ndarray, "n k 2"], truth: AlignmentLandmarks, mask: Bool[np.ndarray, "n k"]
) -> float:
    """Per cent of pairs that lie apart and are found together (PCLoss's "duplicate detection")."""
    k = found.shape[1]
    first, second = np.triu_indices(k, 1)
    side = (truth.box[:, 2:] - truth.box[:, :2]).max(1)[:, None]
    apart = np.linalg.norm(truth.xy[:, first] - truth.xy[:, second], axis=-1) / side > APART
    apart &= mask[:, first] & mask[:, second]
    together = np.linalg.norm(found[:, first] - found[:, second], axis=-1) / side < TOGETHER
    return 100 * float(together[apart].mean())
