"""A few images of the synthetic wardrobe in memory, for the detectors' tests."""

import cv2
import numpy as np
import pandas as pd

from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.synthetic.wardrobe.render import photograph


class Wardrobe:
    """Images by image id, from 0, and tables as a catalog's."""

    def __init__(self, count: int, size: int, split: str = "train", seed: int = 0) -> None:
        self.pixels: dict[int, np.ndarray] = {}
        rows = []
        for image_id, shot in enumerate(plan(seed, split, count, 0.0)):
            image = photograph(shot, size)
            self.pixels[image_id] = cv2.cvtColor(image.pixels, cv2.COLOR_BGR2RGB)
            for name, item in image.annotation.items():
                if name.startswith("item"):
                    polygons = [np.asarray(p, np.float32) for p in item["segmentation"]]
                    box = np.asarray(item["bounding_box"], np.float32)
                    rows.append((len(rows), image_id, item["category_id"], box, polygons))
        columns = ["garment_id", "image_id", "category_id", "box", "polygons"]
        self.garments = pd.DataFrame(rows, columns=columns)
        ids = list(self.pixels)
        self.images = pd.DataFrame({"image_id": ids, "coco_id": ids, "split": split})

    def read(self, image_id: int) -> np.ndarray:
        return self.pixels[image_id]
