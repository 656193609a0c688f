"""Pack trained models for the package: half precision, a threshold, a list of variants, a card.

The threshold of the scores is chosen on photos of clothes, of which the detector has seen pieces as
cloth, and of hats and shoes that it has not seen: at it, the share of the former with a garment and
that of the latter without one have the highest mean.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from bench.shipped.card import card
from bench.shipped.photos import Sets
from fashion_ops import shipped
from fashion_ops.errors.reading import read_weights
from fashion_ops.inference.landmark_pipeline import LISTED
from fashion_ops.inference.predictor import load_photo
from fashion_ops.methods.artifact import SPEC, WEIGHTS
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import write_postprocess, write_threshold
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.shape_prior import FILE as PRIORS
from fashion_ops.params import load_params
from fashion_ops.workspace import Workspace, publish

MODELS = Path(shipped.__file__).parent / "models"
BATCH = 16


def pack(ws: Workspace, sets: Sets, out: Path = MODELS) -> dict[str, float]:
    """Write the bundle of the package from a workspace with a trained detector and landmarker.

    Args:
        ws: the workspace.
        sets: has the photos on which the threshold of the scores is chosen.
        out: the folder, which is replaced as a whole.

    Returns:
        megabytes of the weights; the threshold, and the shares of photos that are right at it.
    """
    params = load_params(ws.params)
    with publish(out) as folder:
        for part, source in (("detector", ws.detector), ("landmarker", ws.landmarker)):
            (folder / part).mkdir()
            shutil.copy(source / SPEC, folder / part / SPEC)
            save_half(source / WEIGHTS, folder / part / WEIGHTS)
        shutil.copy(ws.landmarker / PRIORS, folder / "landmarker" / PRIORS)
        listed = json.dumps({"variants": ["universal"]}) + "\n"
        (folder / "landmarker" / LISTED).write_text(listed, encoding="utf-8")
        post = folder / "postprocess"
        post.mkdir()
        start = params.tune_postprocess.start
        write_postprocess(post, start)
        detector = Detector.load(folder / "detector", CPU, start).without_landmark_scores()
        garments, empty = (best_scores(detector, paths) for paths in (sets.garments, sets.empty))
        score, found, left = separate(garments, empty)
        basis = {
            "photos of clothes": len(garments),
            "with a garment": round(found, 4),
            "photos of hats and shoes": len(empty),
            "without a garment": round(left, 4),
        }
        write_threshold(post, score, basis)
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6
        (folder / "CARD.md").write_text(card(folder, sets, basis, size), encoding="utf-8")
    return {"megabytes": round(size, 2), "threshold": score, "found": found, "left alone": left}


def save_half(source: Path, target: Path) -> None:
    """Copy weights with matrices and filters in half precision; vectors keep theirs.

    Raises:
        ValueError: a value is too large for half precision.
    """
    halves = {}
    for name, tensor in read_weights(source).items():
        half = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        if half.is_floating_point() and not torch.isfinite(half).all():
            raise ValueError(f"{source}: {name} holds values that half precision cannot")
        halves[name] = half.contiguous()
    save_file(halves, target)


def best_scores(detector: Detector, photos: Sequence[Path]) -> np.ndarray:
    """The best score on each photo; 0 where no garment is found."""
    scores = []
    for start in range(0, len(photos), BATCH):
        pixels = [load_photo(path).pixels for path in photos[start : start + BATCH]]
        scores += [max((d.score for d in found), default=0.0) for found in detector.detect(pixels, 0.0)]
    return np.array(scores, float)


def separate(garments: np.ndarray, empty: np.ndarray) -> tuple[float, float, float]:
    """Choose the score that separates two sets of best scores, by the mean of both shares.

    Returns:
        The score, the share of ``garments`` from it on, and that of ``empty`` below it. Of equally good
        scores it is the middle one.
    """
    levels = np.unique(np.concatenate([garments, empty, [0.0, 1.0]]))
    middles = (levels[1:] + levels[:-1]) / 2
    found = (garments[None] >= middles[:, None]).mean(1)
    left = (empty[None] < middles[:, None]).mean(1)
    best = np.flatnonzero(found + left >= (found + left).max() - 1e-9)
    chosen = best[len(best) // 2]
    return round(float(middles[chosen]), 4), float(found[chosen]), float(left[chosen])
