"""Drift of a new batch: the measures against worked numbers and simulation, the step on batches."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_ops.evaluation import drift
from fashion_ops.evaluation.drift import Measure, category_mix, configurations, ranks
from fashion_ops.params import Distributed, Drift, Params, PseudoLabel, Synthesize
from fashion_ops.params import Ingest as IngestParams
from fashion_ops.steps import drift as step
from fashion_ops.steps import ingest, pseudo_label, synthesize
from fashion_ops.workspace import Workspace

LIMITS = {"psi": 0.2, "ks": 0.2}


def test_population_stability_index_by_hand() -> None:
    # Shares 0.5, 0.5 against 0.8, 0.2: 0.3 * ln(0.8 / 0.5) + 0.3 * ln(0.5 / 0.2) = 0.41589.
    found = category_mix(np.array([50, 50, 0]), np.array([800, 200, 0]))
    assert found.value == pytest.approx(0.41589, abs=1e-5) and found.p < 1e-6
    same = category_mix(np.array([80, 20]), np.array([800, 200]))
    assert same.value == 0 and same.p == 1


def test_chance_alone_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(13))
    alarms, large = 0, 0
    for _ in range(200):
        found = category_mix(rng.multinomial(60, shares), rng.multinomial(4000, shares))
        large += found.value > 0.2
        alarms += found.is_drift(LIMITS, 0.001)
    assert large > 50  # a small batch has a large index by chance alone
    assert alarms <= 2
    rank = ranks(rng.normal(size=200), rng.normal(size=4000))
    assert abs(rank.mean() - 0.5) < 0.06 and not configurations(rank).is_drift(LIMITS, 0.001)
    assert configurations(ranks(rng.normal(1, size=200), rng.normal(size=4000))).is_drift(LIMITS, 0.001)
    assert not Measure("x", "ks", 0.1, 1e-9).is_drift(LIMITS, 0.001)  # certain, and small


def test_statistics_of_a_flat_image() -> None:
    red = np.zeros((10, 20, 3), np.uint8)
    red[..., 0] = 255
    shown = dict(zip(drift.STATISTICS, drift.describe_image(red, 200, 100), strict=True))
    assert shown["brightness"] == 76 and shown["contrast"] == 0  # 0.299 * 255
    assert shown["saturation"] == 255 and shown["sharpness"] == 0
    assert shown["megapixels"] == 0.02 and shown["aspect"] == 2


@pytest.fixture(scope="module")
def catalog_ws(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Workspace]:
    """A catalog of 130 images and its pseudo-labels; no batch yet."""
    ws = Workspace(tmp_path_factory.mktemp("drift"))
    params = Params(
        synthesize=Synthesize(train=130, validation=13, size=128, imbalance=0.0),
        ingest=IngestParams(max_quarantined=1.0),
        pseudo_label=PseudoLabel(clusters=3),
        drift=Drift(images=60),
        distributed=Distributed(workers=1),
    )
    synthesize.run(params, ws)
    ingest.run(params, ws)
    pseudo_label.run(params, ws)
    return params, ws


def add_batch(params: Params, ws: Workspace, tmp_path: Path, spoil: bool) -> None:
    """60 more images; spoiled ones are dark, of few categories, with squeezed landmarks."""
    section = Synthesize(train=60, validation=0, size=128, imbalance=0.0)
    if not (tmp_path / "data").is_dir():
        more = params.model_copy(update={"seed": 7, "synthesize": section})
        synthesize.run(more, Workspace(tmp_path))
    batch = ws.batches / "0001-more"
    shutil.rmtree(batch, ignore_errors=True)
    shutil.copytree(tmp_path / "data" / "raw", batch)
    shutil.rmtree(batch / "validation", ignore_errors=True)
    if not spoil:
        return
    import cv2

    for path in (batch / "train" / "image").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path)) // 4)
    for path in (batch / "train" / "annos").iterdir():
        labels = json.loads(path.read_text())
        for item in [v for k, v in labels.items() if k.startswith("item")]:
            x1, y1 = item["bounding_box"][:2]
            points = np.array(item["landmarks"], float).reshape(-1, 3)
            points[:, 0], points[:, 1] = x1 + (points[:, 0] - x1) / 3, y1 + (points[:, 1] - y1) / 3
            item["landmarks"] = points.ravel().tolist()
        labels = {k: v for k, v in labels.items() if not k.startswith("item") or v["category_id"] < 7}
        path.write_text(json.dumps(labels))


def evaluate_batch(params: Params, ws: Workspace) -> dict[str, Any]:
    ingest.run(params, ws)
    pseudo_label.run(params, ws)  # its centres then suit old and new garments alike
    step.run(params, ws)
    return json.loads((ws.drift / "drift.json").read_text())


def test_a_batch_like_the_others_passes_and_a_spoiled_one_is_named(
    catalog_ws: tuple[Params, Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, ws = catalog_ws
    monkeypatch.setattr(step, "MIN_GARMENTS", 8)
    assert step.run(params, ws) == {"batches": 0.0, "drifted": 0.0}
    add_batch(params, ws, tmp_path, spoil=False)
    alike = evaluate_batch(params, ws)
    assert alike["batch"] == "0001-more" and alike["drifted"] == []
    assert sum(alike["garments"].values()) > 190 and len(alike["measures"]) == 8
    first = (ws.drift / "drift.png").read_bytes()
    step.run(params, ws)
    assert (ws.drift / "drift.png").read_bytes() == first
    add_batch(params, ws, tmp_path, spoil=True)
    spoiled = evaluate_batch(params, ws)
    assert {"category mix", "brightness"} <= set(spoiled["drifted"])
    assert not {"megapixels", "aspect"} & set(spoiled["drifted"])
