"""The gallery of an evaluation: labelled and predicted garments side by side."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fashion_ops.reports.draw import DrawnGarment, draw_garments, labelled_garment, side_by_side

DRAWN = 0.25  # garments below this score are not drawn

Image = tuple[str, np.ndarray]


def draw_images(
    read_image: Callable[[int], np.ndarray],
    images: pd.DataFrame,
    garments: pd.DataFrame,
    found: pd.DataFrame,
    count: int,
) -> list[Image]:
    """Truth beside prediction for ``count`` images spread over the split.

    Args:
        read_image: image id to RGB uint8.
        images: ``schemas.IMAGES`` of the split.
        garments: ``schemas.GARMENTS`` of the split.
        found: ``schemas.PREDICTIONS`` on the detector's boxes.
        count: how many images.

    Returns:
        (file name, RGB image) each.
    """
    places = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)
    chosen = images.iloc[np.unique(places)]
    drawn = []
    for image_id, name in zip(chosen["image_id"], chosen["file_name"], strict=True):
        image = read_image(int(image_id))
        truth = garments[garments["image_id"] == image_id]
        sure = found[(found["image_id"] == image_id) & (found["score"] >= DRAWN)]
        labelled = [
            labelled_garment(*row)
            for row in zip(truth["category_id"], truth["box"], truth["landmarks"], strict=True)
        ]
        predicted = [
            DrawnGarment(kind, box, np.reshape(points, (-1, 3)), score)
            for kind, box, points, score in zip(
                *(sure[k] for k in ("category_id", "box", "landmarks", "score")), strict=True
            )
        ]
        pair = side_by_side(draw_garments(image, labelled), draw_garments(image, predicted))
        drawn.append((name, pair))
    return drawn


def write_images(folder: Path, images: list[Image]) -> None:
    """The drawn images as PNG files."""
    folder.mkdir()
    for name, image in images:
        target = folder / f"{Path(name).stem}.png"
        cv2.imwrite(str(target), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
