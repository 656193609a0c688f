"""Checkpoints, starts and bundles of something else are refused; the message says what differs."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset
from untrained_models import make_catalog, make_models, tiny_params

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.module import LandmarkerModule
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import TrainLandmarker
from fashion_ops.steps import finetune, refine
from fashion_ops.workspace import Workspace

TINY = TrainLandmarker(
    backbone="hrnet_w8_tiny", crop=(32, 32), epochs=2, batch_size=2, precision="fp32", lr=1e-3
)


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    ws = Workspace(tmp_path_factory.mktemp("refused"))
    params = tiny_params(ws)
    make_catalog(params, ws)
    make_models(params, ws)
    return ws


def garments(k: int) -> TrainingGarments:
    points = np.random.default_rng(0).uniform(5, 25, (2, k, 3)).astype(np.float32)
    points[..., 2] = 2
    boxes = np.tile(np.array([2, 2, 28, 28], np.float32), (2, 1))
    return TrainingGarments(np.arange(2), np.full(2, 9), boxes, points, np.zeros((2, 0), np.float32))


def train(folder, params=TINY, grouping="skirt", k=8, checkpoint=None, seed=0, on_epoch=None):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    return train_landmarker(
        params,
        Landmarker(params.backbone, k),
        landmarker_spec(params, grouping, 0),
        garments(k),
        lambda _: np.zeros((30, 30, 3), np.uint8),
        folder,
        TrainerOptions(checkpoint=checkpoint, on_epoch=on_epoch),
        seed=seed,
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of a run that was killed after its first epoch."""
    folder = tmp_path_factory.mktemp("killed")

    def die(*_):
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(folder / "model", checkpoint=folder / "run.ckpt", on_epoch=die)
    assert (folder / "run.ckpt").is_file()
    return folder / "run.ckpt"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grouping": "sling", "k": 15}, "grouping skirt .here sling."),
        ({"params": TINY.model_copy(update={"lr": 0.5})}, r"lr 0\.001 .here 0\.5."),
        ({"params": TINY.model_copy(update={"backbone": "hrnet_w16_small"})}, "backbone hrnet_w8_tiny"),
        ({"params": TINY.model_copy(update={"heatmap_sigma": 9.0})}, r"heatmap_sigma 1\.5 .here 9\.0."),
        ({"seed": 5}, "seed 0 .here 5."),
    ],
)
def test_a_checkpoint_of_another_run(tmp_path, checkpoint, changes, message):
    with pytest.raises(ValueError, match=rf"run\.ckpt: of another run, with .*{message}"):
        train(tmp_path / "model", checkpoint=checkpoint, **changes)


def test_the_same_run_goes_on(tmp_path, checkpoint):
    own = shutil.copy(checkpoint, tmp_path / "run.ckpt")
    assert len(train(tmp_path / "model", checkpoint=type(checkpoint)(own))) == 2


def test_garments_of_another_grouping(tmp_path):
    with pytest.raises(ValueError, match="have 8 landmark channels, the model's grouping sling has 15"):
        train_landmarker(
            TINY,
            Landmarker(TINY.backbone, 15),
            landmarker_spec(TINY, "sling", 0),
            garments(8),
            lambda _: np.zeros((30, 30, 3), np.uint8),
            tmp_path,
            seed=0,
        )


def test_finetuning_starts_from_the_landmarker_of_the_parameters(ws):
    other = tiny_params(ws, train_landmarker={"lr": 0.5, "heatmap_sigma": 2.0})
    with pytest.raises(ValueError, match=r"landmarker of lr 0\.004 .now 0\.5., heatmap_sigma 1\.5"):
        finetune.prepare(other, ws, "skirt")


def test_finetuning_and_refining_start_from_the_grouping_at_hand(ws, tmp_path):
    params = tiny_params(ws)
    there = Workspace(tmp_path)
    shutil.copytree(ws.grouped, there.grouped)
    (there.grouped / "grouping.json").write_text('{"name": "semantic62"}')
    for folder in (ws.catalog, ws.landmarker, ws.finetuned("skirt")):
        own = tmp_path / folder.relative_to(ws.root)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(folder)
    with pytest.raises(ValueError, match=r"grouping agg81 .now semantic62."):
        finetune.prepare(params, there, "skirt")


def test_refining_starts_from_the_grouping_at_hand(ws, tmp_path):
    params, there = tiny_params(ws), Workspace(tmp_path)
    for folder in (ws.catalog, ws.grouped):
        own = tmp_path / folder.relative_to(ws.root)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(folder)
    there.finetuned("skirt").mkdir(parents=True)
    save_model(
        there.finetuned("skirt"), Landmarker(TINY.backbone, 62), landmarker_spec(TINY, "semantic62", 0)
    )
    with pytest.raises(ValueError, match="grouping semantic62, the landmarks are grouped by agg81"):
        refine.prepare(params, there, "skirt")


def test_a_finetuned_model_with_other_crops(ws, tmp_path):
    shutil.copytree(ws.landmarker.parent, tmp_path / "models")
    path = tmp_path / "models/finetuned/vest/model.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps({**spec, "crop": [96, 96]}))
    with pytest.raises(
        ValueError, match=r"vest: made for crop \[96, 96\], the landmarker beside it has"
    ):
        LandmarkPipeline.load(tmp_path / "models", CPU)


def test_weights_of_another_network(tmp_path):
    save_model(tmp_path, Landmarker("hrnet_w8_tiny", 8), landmarker_spec(TINY, "sling", 0))
    with pytest.raises(
        ValueError, match=r"not those of the network that model\.json describes: size mis"
    ):
        LandmarkPredictor.load(tmp_path, CPU)


def test_categories_with_one_and_with_only_unlabelled_garments(ws, tmp_path):
    """One is trained on; without a labelled one the universal model stays; own channels alike."""
    params = tiny_params(ws, finetune={"batch_size": 4, "precision": "fp32", "channels": "own"})
    job = finetune.prepare(params, ws, "skirt")
    one = finetune.work(replace(job, garments=job.garments.take(np.array([0]))))
    assert one.metrics["garments"] == 1 and np.isfinite(one.metrics["loss"])
    assert json.loads(one.files["model.json"])["grouping"] == "skirt"
    none = finetune.work(replace(job, garments=job.garments.take(np.array([], int))))
    assert none.files["weights.safetensors"] == job.landmarker["weights.safetensors"]


def test_balanced_sampling_draws_rare_categories_as_often(monkeypatch):
    """Of 18 skirts and 2 vests, weights 1/(.9+.02) and 1/(.1+.02): 46 % of the draws are vests."""
    from fashion_ops.methods.parts.schedule import EpochSampler
    from fashion_ops.methods.top_down.training import balanced_weights

    kinds = np.array([9] * 18 + [5] * 2)
    sampler = EpochSampler(TensorDataset(torch.zeros(20)), 0, balanced_weights(kinds))
    drawn = []
    for epoch in range(200):
        sampler.set_epoch(epoch)
        drawn += list(sampler)
    expected = (2 / 0.12) / (2 / 0.12 + 18 / 0.92)
    assert np.mean(kinds[drawn] == 5) == pytest.approx(expected, abs=0.02)
    sampler.set_epoch(3)
    assert list(sampler) == drawn[60:80]


def test_masks_and_position_constraint_reach_the_loss():
    """A masked channel of another category has no gradient; PCLoss adds its own part."""
    from fashion_ops.methods.parts.augment import Warp
    from fashion_ops.methods.parts.position_constraint import Constraint, left_and_right
    from fashion_ops.methods.top_down.decode import DecodeConfig
    from fashion_ops.methods.top_down.module import LandmarkerSettings
    from fashion_ops.taxonomy import load_grouping

    grouping = load_grouping("agg81")
    constraint = Constraint(2.0, left_and_right(grouping), 5)
    settings = LandmarkerSettings(
        (32, 32), 1.0, "mse", Warp(), DecodeConfig(channel_mask=True), constraint=constraint
    )
    module = LandmarkerModule(Landmarker(TINY.backbone, 81), "tiny", TINY, settings, grouping, 0)
    own = garments(81)
    batch = Regions(own, lambda _: np.zeros((30, 30, 3), np.uint8), (32, 32), 1.25).__getitems__([0, 1])
    module.trainer = type("", (), {"estimated_stepping_batches": 1, "global_step": 0})()  # type: ignore
    losses = module.losses(batch, torch.Generator().manual_seed(0))
    wanted = losses["heatmap"] + 2 * losses["position"]
    torch.testing.assert_close(losses["loss"], wanted)
    losses["loss"].backward()
    grad = module.model.head.weight.grad.abs().sum((1, 2, 3))  # type: ignore[union-attr]
    mine = torch.from_numpy(grouping.mask[8])
    assert (grad[~mine] == 0).all() and (grad[mine] > 0).all()
