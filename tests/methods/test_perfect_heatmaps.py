"""Aggregate, predict, ungroup: a network whose heatmaps are perfect must get AP 1.000.

For every grouping, decoder and flip setting, on synthetic garments and on DeepFashion2's public ones.
All between the labels and the score is the product's own: the step ``aggregate``, crops, the flip test,
decoding, the way back to the image, official OKS-AP. Only the network is replaced, by one that draws
the Gaussians that it is trained for; it is given the real crops and sees whether they are mirrored.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import TrainingGarments, load_garments, used_grouping
from fashion_ops.evaluation.tables import evaluate_tables
from fashion_ops.inference.predictions import predictions_table
from fashion_ops.methods.parts.heatmaps import CellGrid, heatmap_targets
from fashion_ops.methods.top_down.decode import DecodeConfig, pose_score
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.training import landmarker_spec
from fashion_ops.params import Params, TrainLandmarker
from fashion_ops.steps import aggregate, ingest, synthesize
from fashion_ops.taxonomy import Grouping, category, load_grouping
from fashion_ops.workspace import Workspace

SAMPLE = Path(__file__).parents[3] / "shared" / "samples" / "deepfashion2_demo"
CROP = (192, 256)  # small, so that AP notices half a cell
NO_FLIP, FLIP, SHIFT = "no flip", "flip", "flip and shift"
DECODINGS = {
    f"{decode}, {flip}": DecodeConfig(decode, flip_test=flip != NO_FLIP, flip_shift=flip == SHIFT)
    for decode in ("argmax", "dark", "udp", "integral")
    for flip in (NO_FLIP, FLIP, SHIFT)
    if (decode, flip) != ("udp", SHIFT)
}


class Perfect(nn.Module):
    """Draws the targets of garments that come in order, in batches, each one then mirrored."""

    def __init__(self, landmarks: Tensor, mirror: Tensor, params: TrainLandmarker) -> None:
        super().__init__()
        self.landmarks, self.mirror, self.params = landmarks, mirror, params
        self.at, self.before = 0, torch.zeros(0)

    def forward(self, crops: Tensor) -> Tensor:
        """(N, 3, h, w) to (N, K, h / 4, w / 4)."""
        p = self.params
        mirrored = crops.shape == self.before.shape and torch.equal(crops, self.before.flip(-1))
        if not mirrored:
            self.before = crops
            self.at += len(crops)
        points = self.landmarks[self.at - len(crops) : self.at].clone()
        if mirrored:
            points[..., 0] = p.crop[0] - 1 - points[..., 0]
            points = points[:, self.mirror]
        grid = CellGrid(p.crop, DecodeConfig.from_spec(p.model_dump()).cells)
        maps, labelled = heatmap_targets(points, grid, p.heatmap_sigma)
        return maps * labelled[..., None, None]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """294 maps of a garment are 8 MB: in small batches they are made where the last ones lay."""
    monkeypatch.setattr("fashion_ops.methods.top_down.inference.BATCH", 2)


def judged(tmp_path: Path, **sections: dict) -> Workspace:
    """A catalog of garments to judge."""
    ws = Workspace(tmp_path)
    params = Params.model_validate({"ingest": {"root": str(ws.raw)}, **sections})
    if params.ingest.source == "deepfashion2":
        synthesize.run(params, ws)
    ingest.run(params, ws)
    return ws


@pytest.fixture(scope="module")
def workspaces(tmp_path_factory):
    """Synthetic and real garments; the rows of one image each category."""
    out = {
        "synthetic": judged(
            tmp_path_factory.mktemp("synthetic"),
            synthesize={"train": 0, "validation": 26, "size": 192, "imbalance": 0.0},
        )
    }
    if SAMPLE.is_dir():
        source = {"source": "coco", "root": str(SAMPLE), "copy_images": False}
        out["real"] = judged(tmp_path_factory.mktemp("real"), ingest=source)
    return out


@pytest.fixture(scope="module")
def grouped(workspaces):
    """By data and grouping: catalog, rows and grouped garments, one of each category."""
    out = {}
    for data, ws in workspaces.items():
        split = "train" if data == "real" else "validation"
        for name in ("none", "agg81", "semantic62"):
            aggregate.run(Params.model_validate({"aggregate": {"grouping": name}}), ws)
            rows, garments = load_garments(ws, split)
            place = pd.Series(np.arange(len(rows)), rows["category_id"].to_numpy())
            first = place.groupby(level=0).first().to_numpy()
            catalog = Catalog(ws.catalog)
            out[data, name] = catalog, rows.iloc[first], garments.take(first), used_grouping(ws)
    return out


def predict(
    grouping: Grouping, garments: TrainingGarments, catalog: Catalog, params: TrainLandmarker
) -> list[np.ndarray]:
    spec = landmarker_spec(params, grouping.name, 0)
    predictor = LandmarkPredictor(nn.Identity(), spec, torch.device("cpu"))  # type: ignore[arg-type]
    matrices = predictor.matrices(garments.boxes)
    points = garments.landmarks.copy()
    points[..., :2] = (
        np.einsum("nij,nkj->nki", matrices[:, :, :2], points[..., :2]) + matrices[:, None, :, 2]
    )
    network = Perfect(torch.from_numpy(points), torch.from_numpy(grouping.mirror()), params)
    predictor.model = network  # type: ignore[assignment]
    return predictor.predict(catalog.image, garments.image_id, garments.boxes, garments.category_id)


def average_precision(
    catalog: Catalog,
    rows: pd.DataFrame,
    garments: TrainingGarments,
    grouping: Grouping | None,
    decoding: DecodeConfig,
) -> float:
    """AP of a perfect network; grouping None is each category's own."""
    keys = ("decode", "flip_test", "flip_shift")
    params = TrainLandmarker(
        crop=CROP,
        loss="mse",
        heatmap_sigma=2.0,
        precision="fp32",
        **{k: getattr(decoding, k) for k in keys},
    )
    if grouping is not None:
        poses = predict(grouping, garments, catalog, params)
    else:
        poses = []
        for i, c in enumerate(garments.category_id):
            channels = load_grouping("agg81").channels(int(c))
            own = garments.take(np.array([i])).with_channels(channels)
            poses += predict(load_grouping(category(int(c)).name), own, catalog, params)
    found = predictions_table(
        [
            (image, garment, kind, pose_score(pose), box, pose.ravel())
            for image, garment, kind, box, pose in zip(
                rows["image_id"], rows.index, rows["category_id"], rows["box"], poses, strict=True
            )
        ]
    )
    images = catalog.images[catalog.images["image_id"].isin(rows["image_id"])]
    return evaluate_tables(images, rows, {"perfect": found}, {}).truth_boxes["perfect"].stats["AP"]


@pytest.mark.parametrize("decoding", DECODINGS.values(), ids=DECODINGS)
@pytest.mark.parametrize("grouping", ["none", "agg81", "semantic62", "own"])
@pytest.mark.parametrize("data", ["synthetic", "real"])
def test_perfect_heatmaps_are_perfect_landmarks(grouped, data, grouping, decoding):
    if (data, "agg81") not in grouped:
        pytest.skip("../shared/samples is missing")
    own = grouping == "own"
    catalog, rows, garments, used = grouped[data, "agg81" if own else grouping]
    assert set(rows["category_id"]) >= {1, 2, 4, 5, 7, 8, 9, 10, 12, 13}
    assert average_precision(catalog, rows, garments, None if own else used, decoding) > 0.9995


def test_a_shift_of_centred_cells_is_a_loss(grouped, monkeypatch):
    """The test above notices: with the shift and cells that need none, AP falls."""
    catalog, rows, garments, used = grouped["synthetic", "agg81"]
    monkeypatch.setattr(DecodeConfig, "cells", "centers")
    assert average_precision(catalog, rows, garments, used, DECODINGS["dark, flip and shift"]) < 0.995
