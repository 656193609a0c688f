"""LSP, the Leeds Sports Pose data set (Johnson and Everingham, BMVC 2010): 2,000 people, 14 joints.

``joints.mat`` holds ``joints`` (3, 14, N): x, y and whether the joint is visible; images are
``images/im0001.jpg`` and so on; the first half trains, the second tests. Coordinates count from 1.
The data set has no boxes: a box is that of the joints, a quarter larger on each side, clamped to the
image.

The file is person-centric: "right" is the right side of the person. Observer-centric labels call right
what is on the right of the image: where a person faces the viewer, all left and right joints change
names. Comparisons of PCP only make sense within one convention (``docs/decisions.md``).
"""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from fashion_ops.catalog.alignment.records import Record
from fashion_ops.catalog.alignment.sources.base import Listing
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.taxonomy.alignment import point_set

FILE = "joints.mat"
MARGIN = 0.25
Convention = Literal["observer", "person"]
LSP = point_set("lsp14")
_TORSO = [
    LSP.point_names.index(f"{side}_{part}")
    for side in ("right", "left")
    for part in ("hip", "shoulder")
]


def read(root: Path, convention: Convention) -> Listing:
    """Read LSP below ``root``, its left and right named by ``convention``.

    Raises:
        ValueError: ``joints.mat`` is missing or has no joints of the expected shape.
    """
    path = root / FILE
    try:
        joints = np.asarray(loadmat(path)["joints"], np.float64)
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise ValueError(f"{path}: no array 'joints' can be read: {error}") from error
    if joints.shape[:2] == (14, 3):
        joints = joints.transpose(1, 0, 2)
    if joints.ndim != 3 or joints.shape[:2] != (3, 14):
        raise ValueError(f"{path}: joints has shape {joints.shape}; expected (3, 14, N)")
    count = joints.shape[2]
    records: list[Record] = []
    refusals: list[Refusal] = []
    for i in range(count):
        name = f"im{i + 1:04d}.jpg"
        split = "train" if i < count // 2 else "test"
        try:
            records.append(_record(name, split, i, joints[:, :, i].T, convention))
        except Refused as refused:
            refusals.append(refused.row(split, FILE, name, line=i + 1))
    return Listing(records, refusals, count)


person_centric = partial(read, convention="person")
observer_centric = partial(read, convention="observer")


def _record(name: str, split: str, index: int, rows: np.ndarray, convention: Convention) -> Record:
    if not np.isfinite(rows).all():
        raise Refused(Reason.CODE, f"coordinate {rows[~np.isfinite(rows)][0]}; expected a number")
    if not np.isin(rows[:, 2], (0, 1)).all():
        raise Refused(Reason.VISIBILITY_CODE, f"{rows[:, 2].tolist()}; expected 0 or 1")
    xy, visible = rows[:, :2] - 1, rows[:, 2] > 0
    if convention == "observer" and faces_viewer(xy):
        xy, visible = xy[LSP.mirror], visible[LSP.mirror]
    low, high = xy.min(axis=0), xy.max(axis=0)
    size = np.maximum(high - low, 1)
    box = np.concatenate([low - MARGIN * size, high + MARGIN * size])
    visibility = np.where(visible, 2, 1).astype(np.int8)
    codes = visible.astype(np.int8)
    return Record(
        name, f"images/{name}", FILE, index + 1, split, 0, box, xy, visibility, codes, item_id=""
    )


def faces_viewer(xy: np.ndarray) -> bool:
    """Whether a person's right shoulder and hip are left of the left ones in the image.

    ``xy``: person-centric joints (14, 2).
    """
    right, left = xy[_TORSO[:2], 0].mean(), xy[_TORSO[2:], 0].mean()
    return bool(right < left)
