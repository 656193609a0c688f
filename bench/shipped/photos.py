"""Which unlabelled photos go into the wardrobe of the shipped models, and which are kept back.

The photos are those of the "Clothing dataset (subset)", CC0 1.0, on GitHub as
alexeygrigorev/clothing-dataset-small: a folder for each class. Only their pixels are used, never what
they show: photos of hats and shoes become backgrounds, so that a detector learns to leave them alone,
and photos of clothes become cloth.

Kept back, for measurements: the first 30 photos of each class in the order of their names, every photo
with landmark labels, and every third of the other photos of hats and shoes.
"""

import json
from dataclasses import dataclass
from pathlib import Path

MEASURED = 30  # photos of each class that measurements use
EMPTY = ("hat", "shoes")  # classes without any garment
CALIBRATION = 3  # every third of the other photos without a garment
LABELS = "landmarks.json"
CLASSES = "clothing"


@dataclass(frozen=True)
class Sets:
    """Photos by use, each sorted by path.

    Attributes:
        backgrounds: of hats and shoes, drawn behind garments and alone.
        fabrics: of clothes, cut into cloth.
        empty: of hats and shoes, kept back for the threshold of the scores.
        garments: of clothes, with whose scores the threshold is chosen.
    """

    backgrounds: list[Path]
    fabrics: list[Path]
    empty: list[Path]
    garments: list[Path]


def divide(photos: Path) -> Sets:
    """Divide a folder of photos, ``clothing/CLASS/*.jpg`` beside ``landmarks.json``.

    Raises:
        ValueError: there is no photo of hats or shoes, or none of clothes.
    """
    labels = photos / LABELS
    labelled = set()
    if labels.is_file():
        labelled = {photos / row["file"] for row in json.loads(labels.read_text(encoding="utf-8"))}
    free: dict[str, list[Path]] = {}
    for folder in sorted(path for path in (photos / CLASSES).glob("*") if path.is_dir()):
        others = sorted(folder.glob("*.jpg"))[MEASURED:]
        free[folder.name] = [path for path in others if path not in labelled]
    without = [path for name in EMPTY for path in free.pop(name, [])]
    garments = [path for paths in free.values() for path in paths]
    if not without or not garments:
        raise ValueError(
            f"{photos}: needs more than {MEASURED} photos each in {CLASSES}/{{{','.join(EMPTY)}}} and "
            "in a folder of clothes"
        )
    empty = without[::CALIBRATION]
    backgrounds = [path for path in without if path not in set(empty)]
    return Sets(backgrounds, garments, empty, garments[:: len(garments) // 200 or 1])


def link(sets: Sets, folder: Path) -> None:
    """Make ``backgrounds`` and ``fabrics`` in ``folder``, of links to the photos."""
    for name in ("backgrounds", "fabrics"):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for path in getattr(sets, name):
            link_path = target / f"{path.parent.name}-{path.name}"
            link_path.unlink(missing_ok=True)
            link_path.symlink_to(path.resolve())
