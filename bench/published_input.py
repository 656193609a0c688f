"""CenterNet's published training input: one image, one garment, one landmark at a time.

The peer of ``bench.detector_input``, written from the description of the released code (OpenCV and
NumPy, the target arrays of its multi-pose task), with this project's cell convention and radius, so
that the targets can be compared number by number.
"""

import math
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import Dataset

from fashion_ops.methods.centernet.random_crop import RandomCrop
from fashion_ops.methods.parts.augment import MEAN, STD
from fashion_ops.methods.parts.color import AXES, AXES_VALUES

MOST = 32  # garments an image, "max_objs"


def radius_of(height: float, width: float) -> int:
    """CornerNet's radius as released; the third of its three cases is always the smallest."""
    a, b, c = 2.8, -1.4 * (height + width), -0.3 * height * width
    return max(0, int((b + math.sqrt(b * b - 4 * a * c)) / 2))


def draw_gaussian(plane: np.ndarray, x: int, y: int, radius: int) -> None:
    """Draw one Gaussian by element-wise maximum, cut at the border."""
    side, sigma = len(plane), (2 * radius + 1) / 6
    ys, xs = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    bell = np.exp(-(xs * xs + ys * ys) / (2 * sigma * sigma))
    left, right = min(x, radius), min(side - x, radius + 1)
    top, bottom = min(y, radius), min(side - y, radius + 1)
    view = plane[y - top : y + bottom, x - left : x + right]
    np.maximum(view, bell[radius - top : radius + bottom, radius - left : radius + right], out=view)


def change_colors(image: np.ndarray, rng: np.random.Generator) -> None:
    """Brightness, contrast and saturation in random order, then lighting; BGR in 0..1, in place."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mean = gray.mean()
    for step in rng.permutation(3):
        alpha = 1 + rng.uniform(-0.4, 0.4)
        image *= alpha
        if step == 1:
            image += (1 - alpha) * mean
        elif step == 2:
            image += (1 - alpha) * gray[:, :, None]
    noise = rng.normal(scale=0.1, size=3)
    image += (np.array(AXES)[::-1] @ (np.array(AXES_VALUES) * noise)).astype(np.float32)


class PublishedInput(Dataset[dict[str, np.ndarray]]):
    """Training samples like those of the released code.

    Args:
        paths: of the images.
        labels: for each image a list of (category id, box, landmarks (K, 3)).
        crop: draws the random crops.
        mirror: permutation of the landmarks under a flip.
        size: side of the input, pixels.
        vary: whether to flip and to change colours; False for comparing targets.
    """

    def __init__(
        self,
        paths: list[Path],
        labels: list,
        crop: RandomCrop,
        mirror: np.ndarray,
        size: int,
        vary: bool,
    ) -> None:
        self.paths, self.labels, self.crop, self.mirror = paths, labels, crop, mirror
        self.size, self.vary = size, vary
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        image = cv2.imread(str(self.paths[index]))
        matrix, _ = self.crop.draw(index, 0, self.size)
        width = image.shape[1]
        flipped = self.vary and self.rng.random() < 0.5
        if flipped:
            image = image[:, ::-1]
            # the same crop of the mirrored image
            matrix[0, 2] = self.size - 1 - matrix[0, 0] * (width - 1) - matrix[0, 2]
        pixels = cv2.warpAffine(image, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR)
        pixels = pixels.astype(np.float32) / 255.0
        if self.vary:
            change_colors(pixels, self.rng)
        pixels = (pixels - np.array(MEAN[::-1], np.float32)) / np.array(STD[::-1], np.float32)
        return {"input": pixels.transpose(2, 0, 1), **self.targets(index, matrix, width, flipped)}

    def targets(
        self, index: int, matrix: np.ndarray, width: int, flipped: bool
    ) -> dict[str, np.ndarray]:
        """The arrays of one image, filled garment by garment."""
        side, groups = self.size // 4, len(self.mirror)
        hm, hm_hp = np.zeros((13, side, side), np.float32), np.zeros((groups, side, side), np.float32)
        wh, reg = np.zeros((MOST, 2), np.float32), np.zeros((MOST, 2), np.float32)
        ind, reg_mask = np.zeros(MOST, np.int64), np.zeros(MOST, np.uint8)
        kps, kps_mask = np.zeros((MOST, groups * 2), np.float32), np.zeros((MOST, groups * 2), np.uint8)
        hp_offset = np.zeros((MOST * groups, 2), np.float32)
        hp_ind, hp_mask = np.zeros(MOST * groups, np.int64), np.zeros(MOST * groups, np.int64)
        for m, (kind, box, landmarks) in enumerate(self.labels[index]):
            box, points = box.copy(), landmarks.copy()
            if flipped:
                box[[0, 2]] = width - 1 - box[[2, 0]]
                points[:, 0] = width - 1 - points[:, 0]
                points = points[self.mirror]
            corners = [matrix[:, :2] @ box[:2] + matrix[:, 2], matrix[:, :2] @ box[2:] + matrix[:, 2]]
            x1, y1, x2, y2 = np.clip((np.concatenate(corners) + 0.5) / 4, 0, side)
            if x2 <= x1 or y2 <= y1:
                continue
            cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
            ix, iy = int(cx), int(cy)
            radius = radius_of(math.ceil(y2 - y1), math.ceil(x2 - x1))
            draw_gaussian(hm[kind - 1], ix, iy, radius)
            wh[m], reg[m], ind[m], reg_mask[m] = (
                (x2 - x1, y2 - y1),
                (cx - ix, cy - iy),
                iy * side + ix,
                1,
            )
            for k in range(groups):
                if points[k, 2] <= 0:
                    continue
                px, py = (matrix[:, :2] @ points[k, :2] + matrix[:, 2] + 0.5) / 4
                if not (0 <= px < side and 0 <= py < side):
                    continue
                kps[m, 2 * k : 2 * k + 2] = px - ix, py - iy
                kps_mask[m, 2 * k : 2 * k + 2] = 1
                place = m * groups + k
                hp_offset[place] = px - int(px), py - int(py)
                hp_ind[place], hp_mask[place] = int(py) * side + int(px), 1
                draw_gaussian(hm_hp[k], int(px), int(py), radius)
        return {
            "hm": hm, "hm_hp": hm_hp, "wh": wh, "reg": reg, "ind": ind, "reg_mask": reg_mask,
            "hps": kps, "hps_mask": kps_mask,
            "hp_offset": hp_offset, "hp_ind": hp_ind, "hp_mask": hp_mask,
        }  # fmt: skip
