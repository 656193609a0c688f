"""Step ``train_box_detector``: Cascade R-CNN or Hybrid Task Cascade, all 13 categories at once.

With ``kind`` null nothing is trained: ``model.json`` records that, and boxes come from CenterNet or a
file.
"""

import numpy as np
import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import checkpoint_path
from fashion_ops.methods.detection.inference import write_none
from fashion_ops.methods.detection.training import train_box_detector, untrained_model
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.box_detector``.

    Returns:
        images and garments: numbers of the train split; epochs; the mean losses of the last epoch.
        With ``kind`` null only images, which is 0.

    Raises:
        ValueError: unknown backbone or weights; or Hybrid Task Cascade is to train on a garment without
            a polygon.
        OSError: pretrained weights can't be loaded.
    """
    config = params.train_box_detector
    if config.kind is None:
        with publish(ws.box_detector) as folder:
            write_none(folder)
        return {"images": 0}
    catalog = Catalog(ws.catalog)
    ids = catalog.images.loc[catalog.images["split"] == "train", "image_id"].to_numpy(np.int64)
    garments = catalog.garments[catalog.garments["split"] == "train"]
    torch.manual_seed(params.seed)
    model = untrained_model(config)
    checkpoint = checkpoint_path(ws, "train_box_detector", config, params.seed, grouped=False)
    options = TrainerOptions.of(params.distributed, checkpoint=checkpoint, bar=True)
    with publish(ws.box_detector) as folder:
        history = train_box_detector(
            config, model, ids, garments, catalog.image, folder, params.seed, options
        )
    checkpoint.unlink(missing_ok=True)
    return {"images": len(ids), "garments": len(garments), "epochs": config.epochs, **history[-1]}
