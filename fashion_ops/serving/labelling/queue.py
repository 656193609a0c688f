"""What the page offers: photos in work, the ones that teach most first, and those of a ranking.

``fashion-ops select`` writes a ranking of photos that nobody has opened. Photos in work are ranked by
the scores and shapes that the model found (``inference.selection``).
"""

import csv
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.errors.reading import readable
from fashion_ops.inference.selection import Seen, rank_seen, seen_garments
from fashion_ops.serving.labelling.drafts import NO_PHOTO, Draft
from fashion_ops.serving.labelling.labels import (
    GarmentLabel,
    lowest_score,
    measured_garments,
    origin_of,
)
from fashion_ops.serving.limits import Refusal

MOST_RANKED = 100  # photos in work; the others follow by their lowest scores
MOST_OFFERED = 50  # photos of a ranking that the page lists at once
PHOTO_COLUMN = "photo"


@dataclass
class Ranking:
    """Photos that nobody has opened, the one that teaches most first.

    Attributes:
        photos: their paths.
        keys: of the photos in work that these numbers were found to be, as a copy of one is.
        refused: numbers of photos that cannot be opened.
    """

    photos: list[Path] = field(default_factory=list)
    keys: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)

    @classmethod
    def read(cls, file: Path) -> "Ranking":
        """Read what ``fashion-ops select`` wrote; paths are relative to the file's folder.

        However the file is named, a photo gets the same path, by which drafts remember it.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be read, or is no such file; names the line.
        """
        with readable(file, "a ranking of fashion-ops select"):
            table = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""))
            rows = list(table)
        if PHOTO_COLUMN not in (table.fieldnames or ()):
            raise ValueError(f"{file}: no column {PHOTO_COLUMN}; name a file of fashion-ops select")
        for number, row in enumerate(rows, 1):
            if not row[PHOTO_COLUMN] or "\0" in row[PHOTO_COLUMN]:
                raise ValueError(f"{file}: row {number} names no photo; run fashion-ops select again")
        return cls([_resolved(file.parent / row[PHOTO_COLUMN]) for row in rows])

    def path(self, number: int) -> Path:
        """The photo of this number, from 0.

        Raises:
            Refusal: there is none.
        """
        if not 0 <= number < len(self.photos):
            raise Refusal(404, NO_PHOTO, "the ranking has no such photo")
        return self.photos[number]

    def offered(self, drafts: list[Draft]) -> list[dict[str, Any]]:
        """The first photos that are not in work, as the page lists them."""
        opened, keys = {draft.ranked for draft in drafts}, {draft.photo for draft in drafts}
        left = [
            (n, p)
            for n, p in enumerate(self.photos)
            if str(p) not in opened and self.keys.get(n) not in keys and n not in self.refused
        ]
        return [{"number": n, "name": p.name} for n, p in left[:MOST_OFFERED]]


def _resolved(path: Path) -> Path:
    """The path without links and ``..`` in its folder; a photo that is a link keeps its own name."""
    return Path(os.path.realpath(path.parent), path.name)


def listed(drafts: list[Draft], known: set[str]) -> list[dict[str, Any]]:
    """The photos in work as the page lists them: open ones by expected gain, then those that are done.

    Args:
        drafts: of all photos.
        known: names of the batches that are in the inbox or accepted; their photos are left out.
    """
    left = [draft for draft in drafts if draft.batch not in known]
    ready, waiting = [d for d in left if d.done], [d for d in left if not d.done]
    order = rank_seen([_seen(draft.found) for draft in waiting], count=MOST_RANKED).order.tolist()
    rest = [draft for n, draft in enumerate(waiting) if n not in set(order)]
    rest.sort(key=lambda draft: lowest_score(draft.found) or 0.0)
    return [summary(draft) for draft in (*(waiting[n] for n in order), *rest, *ready)]


def summary(draft: Draft) -> dict[str, Any]:
    """A photo in the list."""
    origins = [origin_of(garment, draft.found) for garment in draft.garments]
    return {
        "photo": draft.photo,
        "name": draft.name,
        "revision": draft.revision,
        "person": draft.person,
        "done": draft.done,
        "garments": len(draft.garments),
        "corrected": any(origin != "accepted" for origin in origins),
        "lowest": lowest_score(draft.garments),
    }


def _seen(found: list[GarmentLabel]) -> Seen:
    """What the model found, by the scores of its landmarks."""
    unsure = [1 - float(np.mean([p.score or 0.0 for p in g.landmarks])) for g in found]
    return seen_garments(measured_garments(found), unsure)
