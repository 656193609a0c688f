"""Step ``train_landmarker``: the universal landmarker, one network for all 13 categories."""

import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import checkpoint_path, load_garments, used_grouping
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the grouped landmarks of the train split and write ``ws.landmarker``.

    Returns:
        garments: number of training garments; loss, heatmap and others: mean losses of the last epoch.
    """
    config, grouping = params.train_landmarker, used_grouping(ws)
    _, garments = load_garments(ws, "train", soft_labels=True)
    torch.manual_seed(params.seed)
    clusters = garments.soft_labels.shape[1] if config.pseudo_label_weight else 0
    model = Landmarker(config.backbone, grouping.num_groups, clusters, config.pretrained)
    checkpoint = checkpoint_path(ws, "train_landmarker", config, params.seed)
    with publish(ws.landmarker) as folder:
        history = train_landmarker(
            config,
            model,
            landmarker_spec(config, grouping.name, clusters),
            garments,
            Catalog(ws.catalog).image,
            folder,
            TrainerOptions.of(params.distributed, checkpoint=checkpoint, bar=True),
            seed=params.seed,
        )
    checkpoint.unlink(missing_ok=True)
    return {"garments": len(garments), **history[-1]}
