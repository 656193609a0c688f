"""Step ``train_box_detector``: Cascade R-CNN or Hybrid Task Cascade, all 13 categories at once.

With ``kind`` null nothing is trained: a ``model.json`` says so, and the boxes are CenterNet's or those
of a file.
"""

import numpy as np
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import checkpoint_path
from fashion_ops.methods.detection.inference import write_none
from fashion_ops.methods.detection.model import Architecture, CascadeRCNN
from fashion_ops.methods.detection.training import detector_spec, train_detector
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.box_detector``.

    Returns:
        images and garments it was trained on, epochs, the losses of the last epoch; where nothing is
        asked for, images 0.

    Raises:
        ValueError: unknown backbone or weights; a garment without a polygon, for HTC.
        OSError: pretrained weights can't be had.
    """
    p = params.train_box_detector
    if p.kind is None:
        with publish(ws.box_detector) as folder:
            write_none(folder)
        return {"images": 0}
    catalog = Catalog(ws.catalog)
    ids = catalog.images.loc[catalog.images["split"] == "train", "image_id"].to_numpy(np.int64)
    garments = catalog.garments[catalog.garments["split"] == "train"]
    architecture = Architecture(
        p.kind, p.backbone, p.short_side, p.long_side, p.smallest_anchor, p.samples
    )
    torch.manual_seed(params.seed)
    model = CascadeRCNN(architecture, p.pretrained, p.short_sides or None)
    spec = detector_spec(
        architecture,
        p,
        p.score_threshold,
        p.model_dump(mode="json"),
        scales=tuple(side / p.short_side for side in p.test_short_sides) or (1.0,),
        flip_test=p.flip_test,
    )
    checkpoint = checkpoint_path(ws, "train_box_detector", p, params.seed, grouped=False)
    with publish(ws.box_detector) as folder:
        history = train_detector(
            folder,
            model,
            spec,
            p,
            ids,
            garments,
            catalog.image,
            flip=p.flip,
            seed=params.seed,
            checkpoint=checkpoint,
            loader_workers=params.distributed.loader_workers,
            bar=True,
        )
    checkpoint.unlink(missing_ok=True)
    return {"images": len(ids), "garments": len(garments), "epochs": p.epochs, **history[-1]}
