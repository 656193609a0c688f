"""Step ``train_landmarker``: the universal landmarker, all 13 categories on grouped landmarks."""

import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import checkpoint_path, load_garments, used_grouping
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.landmarker``.

    Returns:
        garments: how many it was trained on; loss and heatmap: means of the last epoch.
    """
    p = params.train_landmarker
    grouping = used_grouping(ws)
    catalog = Catalog(ws.catalog)
    _, garments = load_garments(ws, "train", soft_labels=True)
    torch.manual_seed(params.seed)
    clusters = garments.soft_labels.shape[1] if p.pseudo_label_weight else 0
    model = Landmarker(p.backbone, grouping.num_groups, clusters, p.pretrained)
    checkpoint = checkpoint_path(ws, "train_landmarker", p, params.seed)
    with publish(ws.landmarker) as folder:
        history = train_landmarker(
            folder,
            model,
            landmarker_spec(p, grouping.name, clusters),
            p,
            garments,
            catalog.image,
            label_alpha=p.pseudo_label_weight,
            seed=params.seed,
            checkpoint=checkpoint,
            loader_workers=params.distributed.loader_workers,
            bar=True,
        )
    checkpoint.unlink(missing_ok=True)
    return {"garments": len(garments), **history[-1]}
