"""A catalog of a small wardrobe, and untrained models for all steps."""

import json

import torch

from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.inference import build as build_detector
from fashion_ops.methods.centernet.postprocess_file import write_postprocess
from fashion_ops.methods.detection.inference import write_none
from fashion_ops.methods.posefix.inference import build as build_refiner
from fashion_ops.methods.top_down.inference import build as build_landmarker
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import Params, PostProcess
from fashion_ops.steps import aggregate, ingest, pseudo_label, synthesize
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

DETECTOR = {
    "method": "centernet",
    "backbone": "tiny",
    "grouping": "agg81",
    "neck_width": 16,
    "head_width": 16,
    "input_size": 64,
    "score_threshold": 0.05,
    "precision": "fp32",
}
TINY = {
    "synthesize": {"train": 26, "validation": 16, "size": 96, "imbalance": 0.0},
    "ingest": {"max_quarantined": 0.0},
    "pseudo_label": {"clusters": 2},
    "train_landmarker": {
        "backbone": "hrnet_w8_tiny",
        "crop": [64, 64],
        "epochs": 1,
        "batch_size": 8,
        "precision": "fp32",
        "flip_test": False,
    },
    "finetune": {"batch_size": 4, "precision": "fp32"},
    "categories": {name: {"finetune": {"lr": 1e-3, "epochs": 1}} for name in CATEGORY_NAMES},
    "train_box_detector": {
        "kind": "cascade_rcnn",
        "backbone": "tiny",
        "short_side": 64,
        "long_side": 64,
        "samples": 16,
        "epochs": 1,
        "batch_size": 8,
        "precision": "fp32",
        "score_threshold": 0.0,
    },
    "evaluate": {"images": 1, "max_detections": 2},
}


def tiny_params(ws: Workspace, **sections: dict) -> Params:
    """``TINY`` with the wardrobe in the workspace and some keys changed."""
    merged = {name: section | sections.get(name, {}) for name, section in TINY.items()}
    merged["ingest"] |= {"root": str(ws.raw)}
    return Params.model_validate(merged)


def make_catalog(params: Params, ws: Workspace) -> None:
    """The wardrobe and what is made of its labels."""
    for step in (synthesize, ingest, aggregate, pseudo_label):
        step.run(params, ws)


def make_models(params: Params, ws: Workspace) -> None:
    """Every model, as its step would leave it, with the weights that it begins with."""
    torch.manual_seed(0)
    detector = build_detector(DETECTOR)
    with torch.no_grad():
        detector.heads["wh"].out.bias.fill_(4.0)  # boxes of some size
    landmarker = landmarker_spec(params.train_landmarker, "agg81", 2)
    refiner = {
        "method": "posefix",
        "backbone": "landmarker",
        "trunk": params.train_landmarker.backbone,
        "pose_sigma": 3.0,
        "crop": list(params.train_landmarker.crop),
        "padding": 1.25,
        "flip_test": False,
        "precision": "fp32",
    }
    folders = {
        ws.detector: (detector, DETECTOR),
        ws.landmarker: (build_landmarker(landmarker), landmarker),
    }
    for name in CATEGORY_NAMES:
        folders[ws.finetuned(name)] = (build_landmarker(landmarker), landmarker)
        spec = refiner | {"category": name}
        folders[ws.refined(name)] = (build_refiner(spec), spec)
    for folder, (model, spec) in folders.items():
        folder.mkdir(parents=True)
        save_model(folder, model, spec)
        (folder / "history.json").write_text("[]\n")
    ws.postprocess.mkdir()
    write_postprocess(ws.postprocess, PostProcess())
    aps = dict.fromkeys(("AP without techniques", "AP at the start", "AP tuned"), 0.0)
    (ws.postprocess / "metrics.json").write_text(json.dumps({"pictures": 1, **aps}))
    ws.box_detector.mkdir()
    write_none(ws.box_detector)
