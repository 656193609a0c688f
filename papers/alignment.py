"""What the tables of fashion alignment share: FLD's garments and the errors of predicted landmarks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.evaluation.mean_shape import mean_points, mean_points_by_kind
from fashion_ops.evaluation.normalized_error import FrameName, errors
from fashion_ops.methods.parts.frames import letterbox
from papers.config import TableConfig

SEEDS = (0, 1, 2)
VISIBLE = 2  # COCO's visibility flag
MEAN, MEAN_OF_TYPE = "mean shape", "mean shape of each type"  # rows that need no network
_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t, 97.5 %, by number of values
OUTLIER = 0.15  # of the letterbox's side: 34 px of 224
TOGETHER, APART = 0.05, 0.15  # of the side: two points at one place, and at two places

_RELEASED = {  # garments of each split, as released
    "FLD": {"train": 83_033, "val": 19_992, "test": 19_991},
    "LSP": {"train": 1_000, "test": 1_000},
}
_SLACK = 0.02  # of a split's garments that quarantine may have kept out


@dataclass(frozen=True)
class AlignmentData:
    """Garments to train and to evaluate on.

    Attributes:
        catalog: of the images.
        train: training garments.
        test: test garments.
        name: what the garments are, in words.
        is_papers_data: whether they are the released FLD.
    """

    catalog: AlignmentCatalog
    train: AlignmentLandmarks
    test: AlignmentLandmarks
    name: str
    is_papers_data: bool


def identify(catalog: AlignmentCatalog) -> tuple[str, bool]:
    """The catalog's data set in words, and whether it is a released one, by its garments a split."""
    counts = catalog.garments["split"].value_counts()
    for name, splits in _RELEASED.items():
        if all(abs(int(counts.get(s, 0)) - n) <= _SLACK * n for s, n in splits.items()):
            return name, True
    return f"synthetic alignment data or a data set of your own ({catalog.folder.name})", False


def open_source(config: TableConfig, source: str) -> AlignmentCatalog:
    """Open the catalog of one alignment data set, such as ``fld``.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
    """
    folder = config.ws.alignment_catalog / source
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(f"{folder}: no catalog here; `fashion-ops ingest_alignment` makes one")
    return AlignmentCatalog(folder)


def load_fld(config: TableConfig) -> AlignmentData:
    """FLD's training and test garments, all clothing types in 8 slots.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
        ValueError: the catalog has no training or no test garments.
    """
    catalog = open_source(config, "fld")
    train, test = catalog.points("train"), catalog.points("test")
    if not len(train) or not len(test):
        raise ValueError(
            f"{catalog.folder}: {len(train)} training and {len(test)} test garments; both are needed"
        )
    _, is_papers_data = identify(catalog)
    kind = "FLD" if is_papers_data else "synthetic FLD"
    name = f"{kind}, {len(train)} training and {len(test)} test garments"
    return AlignmentData(catalog, train, test, name, is_papers_data)


def mean_shapes(
    train: AlignmentLandmarks, test: AlignmentLandmarks
) -> dict[str, Float[np.ndarray, "n k 2"]]:
    """The mean shape of all training garments and that of each clothing type, in the test boxes.

    Returns:
        By ``MEAN`` and ``MEAN_OF_TYPE``, (x, y) in pixels of the test images. The second one knows the
        type of a garment, as no network here does.
    """
    points = letterbox(train.box, 1.0, centered=True).apply(train.xy)
    frame = letterbox(test.box, 1.0, centered=True)
    overall = np.broadcast_to(mean_points(points, train.observed), test.xy.shape)
    of_type = mean_points_by_kind(points, train.observed, train.clothes_type, test.clothes_type)
    return {MEAN: frame.invert(overall), MEAN_OF_TYPE: frame.invert(of_type)}


def half_interval(values: Sequence[float]) -> float:
    """Half the 95 % interval of the mean over seeds, by Student's t; NaN for fewer than two values."""
    n = len(values)
    if n < 2:
        return float("nan")
    return _T.get(n, 2.6) * float(np.std(values, ddof=1)) / n**0.5


def distances(
    predicted: Float[np.ndarray, "n k 2"], truth: AlignmentLandmarks, frame: FrameName = "letterbox"
) -> Float[np.ndarray, "n k"]:
    """Distances to the truth over the sides of each garment's frame.

    Args:
        predicted: (x, y) in pixels of the image.
        truth: the labelled garments.
        frame: ``letterbox``, as DFA's release, or ``box``, the stretched box of GLE's.
    """
    return errors(predicted, truth.xy, truth.box, frame=frame)


def outliers(distance: Float[np.ndarray, "n k"], mask: Bool[np.ndarray, "n k"]) -> float:
    """Percentage of the landmarks in ``mask`` whose distance exceeds ``OUTLIER``."""
    return 100 * float((distance[mask] > OUTLIER).mean())


def duplicates(
    predicted: Float[np.ndarray, "n k 2"], truth: AlignmentLandmarks, mask: Bool[np.ndarray, "n k"]
) -> float:
    """Percentage of landmark pairs that lie apart and are predicted together.

    PCLoss calls this "duplicate detection". Only landmarks in ``mask`` count.
    """
    first, second = np.triu_indices(predicted.shape[1], 1)
    side = (truth.box[:, 2:] - truth.box[:, :2]).max(1)[:, None]
    apart = np.linalg.norm(truth.xy[:, first] - truth.xy[:, second], axis=-1) / side > APART
    apart &= mask[:, first] & mask[:, second]
    together = np.linalg.norm(predicted[:, first] - predicted[:, second], axis=-1) / side < TOGETHER
    return 100 * float(together[apart].mean())
