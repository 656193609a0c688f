"""Photos of the wardrobe with planted labels, and a predictor that knows them, a little wrong."""

from io import BytesIO

import numpy as np
import orjson
from PIL import Image

from fashion_ops.inference.predictor import Garment
from fashion_ops.methods.centernet.deploy.photo import decode_reduced
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.taxonomy import category


def draw(count, size=256, seed=5, split="train"):
    """JPEGs of the wardrobe and their annotations."""
    shots = plan(seed, split, count, 0.35)
    return [(data, orjson.loads(labels)) for data, labels, _ in (encode(s, size) for s in shots)]


def items(labels):
    return [labels[f"item{n}"] for n in range(1, 10) if f"item{n}" in labels]


class Planted:
    """Finds the planted garments, each landmark ``off`` pixels to the right of its place."""

    min_score = 0.3

    def __init__(self, drawn, off=4.0):
        self.off, self.labels = off, {}
        for data, labels in drawn:
            self.labels[self._key(decode_reduced(data, "x").pixels)] = items(labels)

    def _key(self, pixels):
        return pixels.tobytes()

    def predict_many(self, photos, min_score=0.3, variant="refined"):
        found = [[self._garment(i) for i in self.labels.get(self._key(p.pixels), [])] for p in photos]
        return [[garment for garment in few if garment.score >= min_score] for few in found]

    def _garment(self, item):
        kind = category(item["category_id"])
        points = np.array(item["landmarks"], float).reshape(-1, 3)
        landmarks = {
            name: (x + self.off, y, 0.15 if number % 5 == 0 else 0.9) if v else (-9.0, -9.0, 0.05)
            for number, (name, (x, y, v)) in enumerate(
                zip(kind.landmark_names, points.tolist(), strict=True)
            )
        }
        return Garment(kind.name, 0.8, tuple(map(float, item["bounding_box"])), landmarks)


def turned(data, orientation):
    """The same pixels with an EXIF orientation."""
    buffer = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(BytesIO(data)) as image:
        image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()
