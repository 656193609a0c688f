"""Points of measure: which landmarks of a category give which size.

``points_of_measure.csv`` has a row for each size and the categories that have it. Its landmarks are
vertices joined by ``-``; a vertex is one landmark, or the mean of several joined by ``+``. A path is

- ``straight``: from the first vertex to the last;
- ``outline``: along all vertices, such as a sleeve along its outer edge;
- ``across``: from the first vertex to the nearest point of the line through the others.

Widths are of the garment as it lies, half of what a tape around it gives. The names are those of common
size charts; they were not compared with the text of ISO 18890.

What the 294 landmarks cannot give: the hip of trousers, shorts and skirts, the waist and hip of tops,
the upper arm, the depth of the neck at the back, the height of a waistband, and every girth of a body.
A thigh is the shortest way from the crotch to the outseam, not 2.5 cm below it as some charts take it.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Float

from fashion_ops.taxonomy import category


@dataclass(frozen=True)
class PointOfMeasure:
    """One size of one category. ``vertices`` are landmark indices, averaged within a vertex."""

    name: str
    term: str
    path: str
    vertices: tuple[tuple[int, ...], ...]

    @property
    def landmarks(self) -> tuple[int, ...]:
        """Indices of all landmarks that the size needs."""
        return tuple(index for vertex in self.vertices for index in vertex)

    def line(self, landmarks: Float[np.ndarray, "... n 2"]) -> Float[np.ndarray, "... v 2"]:
        """The line whose length is the size: its vertices, in the unit of the landmarks."""
        points = np.stack([landmarks[..., list(v), :].mean(-2) for v in self.vertices], -2)
        if self.path == "outline":
            return points
        if self.path == "straight":
            return points[..., [0, -1], :]
        return np.stack([points[..., 0, :], _nearest(points[..., 0, :], points[..., 1:, :])], -2)

    def length(self, landmarks: Float[np.ndarray, "... n 2"]) -> Float[np.ndarray, "..."]:
        """The size, in the unit of the landmarks."""
        steps = np.diff(self.line(landmarks), axis=-2)
        return np.asarray(np.linalg.norm(steps, axis=-1).sum(-1))


def _nearest(
    point: Float[np.ndarray, "... 2"], line: Float[np.ndarray, "... v 2"]
) -> Float[np.ndarray, "... 2"]:
    """The point of a line that is nearest to ``point``."""
    start, step = line[..., :-1, :], np.diff(line, axis=-2)
    squared = np.maximum((step**2).sum(-1), 1e-12)
    share = np.clip(((point[..., None, :] - start) * step).sum(-1) / squared, 0, 1)
    candidates = start + share[..., None] * step
    best = ((candidates - point[..., None, :]) ** 2).sum(-1).argmin(-1)
    return np.take_along_axis(candidates, best[..., None, None], -2)[..., 0, :]


@cache
def points_of_measure(name: str) -> tuple[PointOfMeasure, ...]:
    """The sizes of the category with this name.

    Raises:
        KeyError: there is no such category; the message lists the known ones.
        ValueError: a row of the table names a landmark that the category lacks.
    """
    kind = category(name)
    text = resources.files("fashion_ops.measurement").joinpath("points_of_measure.csv")
    rows = csv.DictReader(text.read_text(encoding="utf-8").splitlines())
    return tuple(
        PointOfMeasure(row["name"], row["term"], row["path"], _vertices(row, kind.landmark_names))
        for row in rows
        if kind.name in row["categories"].split()
    )


def _vertices(row: dict[str, str], names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Landmark indices of each vertex of a row."""
    vertices = [vertex.split("+") for vertex in row["landmarks"].split("-")]
    if missing := [name for vertex in vertices for name in vertex if name not in names]:
        raise ValueError(
            f"points_of_measure.csv: {row['name']} of {row['categories']}: no landmark {missing[0]}"
        )
    return tuple(tuple(names.index(name) for name in vertex) for vertex in vertices)
