"""The gallery of an evaluation: labelled and predicted garments side by side."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.reports.draw import (
    DrawnGarment,
    draw_garments,
    labelled_garment,
    side_by_side,
    write_png,
)

MIN_SCORE = 0.25  # predictions of a lower score are not drawn


def draw_gallery(
    read_image: Callable[[int], np.ndarray],
    images: pd.DataFrame,
    garments: pd.DataFrame,
    predictions: pd.DataFrame,
    count: int,
) -> list[tuple[str, np.ndarray]]:
    """Draw labels beside predictions for ``count`` images spread over the split.

    Args:
        read_image: image id -> RGB uint8.
        images: ``schemas.IMAGES`` of the split.
        garments: ``schemas.GARMENTS`` of the split.
        predictions: ``schemas.PREDICTIONS`` on detected boxes.
        count: how many images.

    Returns:
        File name and drawn RGB image of each.
    """
    rows = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)
    drawn = images.iloc[np.unique(rows)]
    gallery = []
    for image_id, name in zip(drawn["image_id"], drawn["file_name"], strict=True):
        image = read_image(int(image_id))
        truth = garments[garments["image_id"] == image_id]
        predicted = predictions[predictions["image_id"] == image_id]
        predicted = predicted[predicted["score"] >= MIN_SCORE]
        drawn_labels = [
            labelled_garment(*row)
            for row in zip(truth["category_id"], truth["box"], truth["landmarks"], strict=True)
        ]
        drawn_predictions = [
            DrawnGarment(kind, box, np.reshape(points, (-1, 3)), score)
            for kind, box, points, score in zip(
                *(predicted[k] for k in ("category_id", "box", "landmarks", "score")), strict=True
            )
        ]
        pair = side_by_side(draw_garments(image, drawn_labels), draw_garments(image, drawn_predictions))
        gallery.append((name, pair))
    return gallery


def write_gallery(folder: Path, gallery: list[tuple[str, np.ndarray]]) -> None:
    """Write drawn images as PNG files, named after the photos, into a new folder."""
    folder.mkdir()
    for name, image in gallery:
        write_png(folder / f"{Path(name).stem}.png", image)
