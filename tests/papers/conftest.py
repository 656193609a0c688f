"""A small workspace for all tables: a wardrobe's catalog with gaps, a tiny detector, tiny refiners.

The detector is untrained. Where a table's numbers matter, an oracle stands in for its network: maps
made from the ground truth, with noise.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.inference import Detector, build
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.targets import make_targets
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.posefix.inference import build as build_refiner
from fashion_ops.params import Aggregate, Ingest, Params, Synthesize, TrainDetector
from fashion_ops.steps import ingest, synthesize
from fashion_ops.taxonomy import CATEGORIES, category
from fashion_ops.workspace import Workspace
from papers.config import TableConfig
from papers.deepmark.savings import make_batch
from papers.evaluation_set import load_evaluation_set

NEVER_TRAINED, NEVER_EVALUATED = "skirt", "sling"
SPEC = {
    "method": "centernet",
    "backbone": "tiny",
    "grouping": "semantic62",
    "neck_width": 16,
    "head_width": 16,
    "input_size": 96,
    "score_threshold": 0.05,
    "precision": "fp32",
}


@pytest.fixture(scope="session")
def gaps() -> tuple[str, str]:
    """The category that was never trained, and the one that is never evaluated."""
    return NEVER_TRAINED, NEVER_EVALUATED


@pytest.fixture(scope="session")
def params() -> Params:
    return Params(
        synthesize=Synthesize(train=40, validation=24, size=96, imbalance=0),
        ingest=Ingest(max_quarantined=0),
        aggregate=Aggregate(grouping="semantic62"),
        train_detector=TrainDetector(
            backbone="tiny", neck_width=16, head_width=16, input_size=64, epochs=1, batch_size=8
        ),
    )


@pytest.fixture(scope="session")
def ws(tmp_path_factory, params) -> Workspace:
    """Catalog without training skirts and validation slings; an untrained detector."""
    made = Workspace(tmp_path_factory.mktemp("ablations"))
    root = made.root / params.ingest.root
    there = params.model_copy(update={"ingest": params.ingest.model_copy(update={"root": str(root)})})
    synthesize.run(there, made)
    ingest.run(there, made)
    path = made.catalog / "garments.parquet"
    table = pd.read_parquet(path)
    never_trained = (table["split"] == "train") & (table["category_id"] == category(NEVER_TRAINED).id)
    never_evaluated = (table["split"] == "validation") & (
        table["category_id"] == category(NEVER_EVALUATED).id
    )
    assert never_trained.any() and never_evaluated.any()
    table[~never_trained & ~never_evaluated].reset_index(drop=True).to_parquet(path)
    torch.manual_seed(0)
    model: CenterNet = build(SPEC)
    with torch.no_grad():
        model.heads["wh"].out.bias.fill_(1.0)  # boxes of some size
    made.detector.mkdir(parents=True)
    save_model(made.detector, model, SPEC)
    return made


@pytest.fixture(scope="session")
def refiners(ws) -> Workspace:
    """The workspace with 13 untrained refiners."""
    for c in CATEGORIES:
        spec = {
            "method": "posefix",
            "category": c.name,
            "backbone": "landmarker",
            "trunk": "hrnet_w8_tiny",
            "pose_sigma": 3.0,
            "crop": [32, 32],
            "padding": 1.25,
            "flip_test": False,
            "precision": "fp32",
        }
        ws.refined(c.name).mkdir(parents=True, exist_ok=True)
        save_model(ws.refined(c.name), build_refiner(spec), spec)
    return ws


@pytest.fixture
def config_of(ws, params):
    """Makes a config on the workspace."""
    return lambda **options: TableConfig(params, ws, **options)


def oracle_maps(batch: dict[str, torch.Tensor], noise: float) -> dict[str, torch.Tensor]:
    """Maps that a network with perfect training and noisy answers would give for a batch."""
    size = batch["image"].shape[-1]
    t = make_targets(batch["boxes"], batch["category"], batch["landmarks"], size, "corrected")
    b, _, h, w = t.hm.shape
    rng = torch.Generator().manual_seed(1)

    def put(cells: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(b * h * w, values.shape[1])
        out[cells] = values + noise * torch.randn(values.shape, generator=rng)
        return out.view(b, h, w, -1).permute(0, 3, 1, 2)

    def dim(heat: torch.Tensor) -> torch.Tensor:
        return heat * (1 - 0.3 * torch.rand(heat.shape, generator=rng))

    return {
        "hm": dim(t.hm),
        "wh": put(t.centers, t.wh),
        "hps": put(t.centers, t.hps.flatten(1)),
        "reg": put(t.centers, t.reg),
        "hm_hp": dim(t.hm_hp),
        "hp_offset": put(t.points, t.hp_offset),
    }


@pytest.fixture
def oracle(config_of, ws):
    """A detector that sees the ground truth of the evaluated images through noise."""
    detector = Detector.load(ws.detector, CPU)
    evaluated = load_evaluation_set(config_of())
    ids = evaluated.images["image_id"].to_numpy(np.int64)
    batch = make_batch(evaluated, "semantic62", SPEC["input_size"], ids)
    maps = oracle_maps(batch, 0.3)

    def network(images: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = [next(n for n, known in enumerate(batch["image"]) if known.equal(one)) for one in images]
        return {name: values[rows] for name, values in maps.items()}

    return replace(detector, network=network)
