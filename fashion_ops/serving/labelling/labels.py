"""The labels of a photo as the page and the drafts hold them, and where each of them comes from."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fashion_ops.annotation.photos import AnnotatedPhoto, checked
from fashion_ops.catalog.quarantine import Refusal as Row
from fashion_ops.catalog.sources.base import Item, Labels
from fashion_ops.inference.predictor import Garment
from fashion_ops.serving.limits import Refusal
from fashion_ops.taxonomy import CATEGORY_NAMES, category

Origin = Literal["accepted", "corrected", "added"]
HIDDEN, VISIBLE = 1, 2
MOST_GARMENTS = 50  # of a photo
_HIDDEN_SCORE = 0.1  # a size across a hidden landmark is not shown
_FURTHEST = 1e6  # pixels


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LandmarkLabel(_Part):
    """A landmark in pixels of the photo.

    Attributes:
        x: from the centre of the left pixels.
        y: from the centre of the upper pixels.
        v: COCO's visibility: 0 not labelled, 1 hidden, 2 visible.
        score: of the model; None where a person placed it.
    """

    x: float = Field(ge=-_FURTHEST, le=_FURTHEST)
    y: float = Field(ge=-_FURTHEST, le=_FURTHEST)
    v: Literal[0, 1, 2]
    score: float | None = Field(default=None, ge=0, le=1)


class GarmentLabel(_Part):
    """A garment.

    Attributes:
        category: its name.
        box: x1, y1, x2, y2.
        landmarks: in the order of the category.
        score: of the model; None for a garment that a person added.
        found: number of the garment among those that the model found; None for an added one.
    """

    category: str
    box: tuple[float, float, float, float]
    landmarks: list[LandmarkLabel]
    score: float | None = Field(default=None, ge=0, le=1)
    found: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "GarmentLabel":
        if self.category not in CATEGORY_NAMES:
            raise ValueError(f"category must be one of the 13, such as {CATEGORY_NAMES[0]}")
        number = category(self.category).num_landmarks
        if len(self.landmarks) != number:
            raise ValueError(f"a {self.category} has {number} landmarks, not {len(self.landmarks)}")
        if not all(abs(v) <= _FURTHEST for v in self.box):
            raise ValueError("box must be four numbers of pixels")
        return self


def found_labels(garments: list[dict[str, Any]], size: tuple[int, int]) -> list[GarmentLabel]:
    """The labels that a model's answer proposes; a landmark outside of the photo is not labelled.

    Args:
        garments: as ``Garment.to_json`` gives them.
        size: width and height of the photo.
    """
    width, height = size
    labels = []
    for number, garment in enumerate(garments):
        points = [
            {"x": p["x"], "y": p["y"], "v": VISIBLE, "score": p["score"]}
            if 0 <= p["x"] < width and 0 <= p["y"] < height
            else {"x": 0, "y": 0, "v": 0, "score": p["score"]}
            for p in garment["landmarks"].values()
        ]
        label = {"category": garment["category"], "box": garment["box"], "landmarks": points}
        labels.append(
            GarmentLabel.model_validate({**label, "score": garment["score"], "found": number})
        )
    return labels


def origin_of(garment: GarmentLabel, found: list[GarmentLabel]) -> Origin:
    """Whether a garment is as the model found it, was corrected, or was added by a person."""
    if garment.found is None or garment.found >= len(found):
        return "added"
    return "accepted" if _same(garment, found[garment.found]) else "corrected"


def _same(a: GarmentLabel, b: GarmentLabel) -> bool:
    points = zip(a.landmarks, b.landmarks, strict=False)
    return (
        a.category == b.category
        and a.box == b.box
        and all((p.v, p.x, p.y) == (q.v, q.x, q.y) or p.v == q.v == 0 for p, q in points)
    )


def provenance(
    garments: list[GarmentLabel], found: list[GarmentLabel], model: str, person: str, when: str
) -> tuple[dict[str, str | int], tuple[Mapping[str, str | float], ...]]:
    """What a batch says of where labels come from: of the photo, and of each garment.

    Args:
        garments: the labels.
        found: what the model found.
        model: name and version of the model.
        person: who looked at the photo last.
        when: the person did so, UTC.
    """
    origins = [origin_of(garment, found) for garment in garments]
    removed = len(found) - len({g.found for g in garments if g.found is not None})
    changed = removed or any(origin != "accepted" for origin in origins)
    photo: dict[str, str | int] = {
        "model": model,
        "labelled": "corrected" if changed else "accepted",
        "labelled_by": person,
        "labelled_at": when,
        "removed_garments": removed,
    }
    items = tuple(
        {"labelled": origin} | ({} if garment.score is None else {"model_score": garment.score})
        for origin, garment in zip(origins, garments, strict=True)
    )
    return photo, items


def items_of(garments: list[GarmentLabel]) -> list[Item]:
    """The garments as ``ingest`` reads them."""
    return [
        Item(
            f"item{number}",
            category(garment.category).id,
            "",
            list(garment.box),
            [v for p in garment.landmarks for v in ((p.x, p.y, p.v) if p.v else (0, 0, 0))],
            [],
        )
        for number, garment in enumerate(garments, 1)
    ]


def check_labels(garments: list[GarmentLabel], name: str, size: tuple[int, int]) -> None:
    """Check labels by the rules of ``ingest``.

    Raises:
        Refusal: a garment breaks one; names the garment, the value and what is right.
    """
    photo = AnnotatedPhoto(name, bytes, size, Labels(items_of(garments)), place=name)
    for row in checked([photo]):
        if isinstance(row, Row):
            number = row.item.removeprefix("item")
            said = f"{name}, garment {number}: {row.reason}: {row.value}"
            raise Refusal(422, "labels", said)


def measured_garments(garments: list[GarmentLabel]) -> list[Garment]:
    """The garments as ``measure_photo`` takes them: what a person placed is sure."""
    return [
        Garment(
            garment.category,
            1.0 if garment.score is None else garment.score,
            garment.box,
            {
                name: (p.x, p.y, _score(p))
                for name, p in zip(
                    category(garment.category).landmark_names, garment.landmarks, strict=True
                )
            },
        )
        for garment in garments
    ]


def _score(point: LandmarkLabel) -> float:
    if point.v == VISIBLE:
        return 1.0 if point.score is None else point.score
    return _HIDDEN_SCORE if point.v == HIDDEN else 0.0


def lowest_score(garments: list[GarmentLabel]) -> float | None:
    """The lowest score of a model's landmark among the labels; None where people placed them all."""
    scores = [p.score for g in garments for p in g.landmarks if p.v and p.score is not None]
    return min(scores, default=None)
