"""Step ``train_detector``: CenterNet with landmarks on whole pictures, all 13 categories at once."""

import json

import torch

from fashion_ops.catalog.reader import Catalog
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.data import Pictures
from fashion_ops.methods.centernet.inference import METHOD
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.module import CenterNetModule, DetectorSettings
from fashion_ops.methods.parts.augment import MEAN, STD, Warp
from fashion_ops.methods.parts.fit import fit
from fashion_ops.params import Params
from fashion_ops.stages.samples import checkpoint_path, load_garments, used_grouping
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Train on the train split and write ``ws.detector``.

    Returns:
        pictures and garments it was trained on, epochs, and the losses of the last epoch.
    """
    p = params.train_detector
    grouping = used_grouping(ws)
    catalog = Catalog(ws.catalog)
    _, garments = load_garments(ws, "train", labelled=False)
    images = catalog.images
    ids = images.loc[images["split"] == "train", "image_id"].to_numpy()
    torch.manual_seed(params.seed)
    model = CenterNet(p.backbone, grouping.num_groups, p.neck_width, p.head_width, p.pretrained)
    warp = Warp(flip=p.flip, scale=p.scale, shift=p.shift, color=p.color)
    module = CenterNetModule(
        model,
        p,
        DetectorSettings(warp, p.center_radius, p.center_reach, p.category_weight),
        torch.from_numpy(grouping.mirror()),
        params.seed,
    )
    spec = {
        "method": METHOD,
        "grouping": grouping.name,
        **p.model_dump(include={"backbone", "neck_width", "head_width", "input_size"}),
        **p.model_dump(include={"score_threshold", "precision"}),
        "mean": MEAN,
        "std": STD,
        "training": p.model_dump(mode="json"),
    }
    checkpoint = checkpoint_path(ws, "train_detector", p, params.seed)
    with publish(ws.detector) as folder:
        pictures = Pictures(ids, garments, catalog.image, p.input_size)
        history = fit(
            module,
            pictures,
            checkpoint=checkpoint,
            loader_workers=params.fleet.loader_workers,
            bar=True,
        )
        save_model(folder, model, spec)
        (folder / "history.json").write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")
    checkpoint.unlink(missing_ok=True)
    return {
        "pictures": len(ids),
        "garments": len(garments),
        "epochs": p.epochs,
        **history[-1],
    }
