"""A hand-made data set in DeepFashion2's released layout, and the ingest step on it."""

import json
from pathlib import Path

import cv2
import numpy as np

from fashion_ops.catalog.reader import Catalog
from fashion_ops.params import Distributed, Ingest, Params
from fashion_ops.steps import ingest
from fashion_ops.taxonomy import category
from fashion_ops.workspace import Workspace

WIDTH, HEIGHT = 60, 80


def jpeg(suffix=".jpg", width=WIDTH, height=HEIGHT, seed=0):
    """Encoded bytes of a smooth image."""
    noise = np.random.default_rng(seed).integers(0, 255, (4, 3, 3), np.uint8)
    return cv2.imencode(suffix, cv2.resize(noise, (width, height)))[1].tobytes()


def item(name="skirt", **changes):
    """A valid item: its landmarks lie on a diagonal within its box."""
    own = category(name)
    landmarks = [v for i in range(own.num_landmarks) for v in (12 + i, 22 + i, 2)]
    valid = {
        "category_id": own.id,
        "category_name": own.label,
        "bounding_box": [10, 20, 55, 70],
        "landmarks": landmarks,
        "segmentation": [[10, 20, 55, 20, 55, 70], [12, 22, 20, 22, 20, 30, 12, 30]],
        "scale": 2,
        "occlusion": 1,
        "zoom_in": 1,
        "viewpoint": 2,
        "style": 1,
    }
    return valid | changes


class Data:
    """A workspace with raw data, and what ingesting it gave."""

    def __init__(self, folder: Path) -> None:
        self.ws = Workspace(folder)
        self.root = folder / "data" / "raw"

    def add(self, stem, *items, split="train", data=None, text=None, **top):
        """One image with its labels; ``data`` and ``text`` replace the bytes, False leaves out."""
        for kind in ("image", "annos"):
            (self.root / split / kind).mkdir(parents=True, exist_ok=True)
        if data is not False:
            path = self.root / split / "image" / (stem if "." in stem else f"{stem}.jpg")
            path.write_bytes(jpeg() if data is None else data)
        if text is not False:
            content = {"source": "shop", "pair_id": 7} | top
            content |= {f"item{i}": it for i, it in enumerate(items, 1)}
            path = self.root / split / "annos" / f"{stem.split('.')[0]}.json"
            path.write_text(json.dumps(content) if text is None else text)

    def ingest(self, workers=1, **changes):
        """Run the step; refusals don't fail it unless ``max_quarantined`` is given."""
        section = Ingest(**({"max_quarantined": 1.0} | changes))
        self.metrics = ingest.run(
            Params(ingest=section, distributed=Distributed(workers=workers)), self.ws
        )
        return self.catalog

    @property
    def catalog(self):
        return Catalog(self.ws.catalog)

    @property
    def refusals(self):
        """(file, item, reason) of each quarantine row."""
        rows = self.catalog.quarantine
        return list(zip(rows["file"], rows["item"], rows["reason"], strict=True))
