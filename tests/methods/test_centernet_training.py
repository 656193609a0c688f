"""Training the detector: learning rates the optimizer sees, published augmentation through a resume,
start weights, PCLoss on the displacements, and the step with all of it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fashion_ops.catalog.training_data import TrainingGarments, load_garments, used_grouping
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.data import Images
from fashion_ops.methods.centernet.loss import detection_losses
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.module import CenterNetModule
from fashion_ops.methods.centernet.random_crop import RandomCrop
from fashion_ops.methods.centernet.targets import make_targets
from fashion_ops.methods.centernet.training import detector_settings
from fashion_ops.methods.centernet.warm_start import warm_start
from fashion_ops.methods.parts.position_constraint import left_and_right, position_constraint_loss
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.params import Params, TrainDetector, TrainingConfig
from fashion_ops.steps import aggregate, ingest, synthesize, train_detector
from fashion_ops.taxonomy import category, load_grouping
from fashion_ops.workspace import Workspace

torch.set_num_threads(1)
SIZE = 64
GROUPING = load_grouping("semantic62")
K = GROUPING.num_groups
PUBLISHED = {
    "random_crop": True, "jitter": 0.4, "lighting": 0.1, "color": 0.0, "center_reach": 0,
    "category_weight": 0.0, "weight_decay": 0.0,
}  # fmt: skip


class Stop(Exception):
    pass


def stop_after(last):
    def on_epoch(epoch, _):
        if epoch == last:
            raise Stop

    return on_epoch


class Watched(TrainingModule):
    """One weight; writes down the learning rate of each step."""

    def __init__(self, run):
        super().__init__(run, seed=0)
        self.model, self.rates = torch.nn.Linear(1, 1), []

    def losses(self, batch, generator):
        self.rates.append({g["lr"] for g in self.optimizers().param_groups})
        return {"loss": self.model(batch).square().mean()}


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitems__(self, indices):
        return torch.tensor(indices, dtype=torch.float32)[:, None]


def test_the_optimizer_sees_the_steps(tmp_path):
    """DeepMark++ 4.2.1 in small: 3, 2 and 1 epochs of three batches; and resumed."""
    steps = ((3, 1e-3), (2, 4e-4), (1, 4e-5))
    run = TrainingConfig(lr=1e-3, lr_steps=steps, epochs=6, batch_size=2)
    whole = Watched(run)
    fit(whole, Numbers())
    expected = [lr for epochs, lr in steps for _ in range(3 * epochs)]
    assert [len(r) for r in whole.rates] == [1] * 18
    assert [r.copy().pop() for r in whole.rates] == pytest.approx(expected)
    first, second = Watched(run), Watched(run)
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(Stop):
        fit(first, Numbers(), TrainerOptions(checkpoint=checkpoint, on_epoch=stop_after(3)))
    fit(second, Numbers(), TrainerOptions(checkpoint=checkpoint))
    assert first.rates + second.rates == whole.rates and len(second.rates) == 9


def test_without_steps_it_is_one_cycle():
    module = Watched(TrainingConfig(lr=0.01, epochs=10, batch_size=2))
    fit(module, Numbers())
    rates = [r.copy().pop() for r in module.rates]
    assert len(rates) == 30 and max(rates) == pytest.approx(0.01) and rates.index(max(rates)) in (2, 3)
    assert rates[0] == pytest.approx(0.01 / 25) and rates[-1] < 1e-6


def test_steps_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="lr_steps last 3 epochs, epochs is 4: must be equal"):
        TrainingConfig(lr=0.1, lr_steps=((1, 0.1), (2, 0.01)), epochs=4)
    with pytest.raises(ValueError, match=r"lr_steps start with 0\.1, lr is 0\.2: must be equal"):
        TrainDetector(lr=0.2, lr_steps=((4, 0.1),), epochs=4)


def dataset(n=4):
    """Gray images of different sizes with a coloured garment each."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(90, 200, (n, 2))
    images, rows = [], []
    for i, (width, height) in enumerate(sizes):
        kind = int(rng.integers(1, 14))
        box = np.array([0.2, 0.2, 0.8, 0.8]) * (width, height, width, height)
        x1, y1, x2, y2 = box.astype(int)
        image = rng.integers(80, 120, (height, width, 3)).astype(np.uint8)
        image[y1:y2, x1:x2] = rng.integers(0, 256, 3)
        points = rng.uniform(box[:2], box[2:], (category(kind).num_landmarks, 2))
        own = np.concatenate([points, np.full((len(points), 1), 2.0)], 1).astype(np.float32)
        images.append(image)
        rows.append((i, kind, box.astype(np.float32), GROUPING.group(kind, own)))
    ids, kinds, boxes, landmarks = (np.array(c) for c in zip(*rows, strict=True))
    garments = TrainingGarments(ids, kinds, boxes, landmarks, np.zeros((n, 0), np.float32))
    crop = RandomCrop(sizes, seed=0)
    return Images(np.arange(n), garments, lambda i, shrink: images[i][::shrink, ::shrink], SIZE, crop)


def detector(**params):
    torch.manual_seed(0)
    p = TrainDetector(**{**PUBLISHED, "lr": 1e-3, "epochs": 3, "batch_size": 2, **params})
    settings = detector_settings(p, GROUPING)
    net = CenterNet("tiny", K, neck_width=16, head_width=16)
    return CenterNetModule(net, p, settings, torch.from_numpy(GROUPING.mirror()), seed=0)


def test_a_resumed_run_with_published_augmentation_equals_an_undisturbed_one(tmp_path):
    whole, first, second = detector(), detector(), detector()
    data = dataset()
    history = fit(whole, data)
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(Stop):
        fit(first, data, TrainerOptions(checkpoint=checkpoint, on_epoch=stop_after(1)))
    assert fit(second, data, TrainerOptions(checkpoint=checkpoint)) == history
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_workers_read_the_same_order_and_crops_also_after_a_resume(tmp_path):
    """A loader's processes begin to read before the epoch has begun."""
    alone, first, second = detector(), detector(), detector()
    data = dataset()
    history = fit(alone, data)
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(Stop):
        fit(
            first, data, TrainerOptions(checkpoint=checkpoint, on_epoch=stop_after(1), loader_workers=2)
        )
    assert fit(second, data, TrainerOptions(checkpoint=checkpoint, loader_workers=2)) == history


@pytest.mark.parametrize("weight", [0.0, 0.02])
def test_the_position_constraint_hangs_on_the_displacements(weight):
    settings = detector(position_constraint=weight, position_constraint_k=3).settings
    assert (settings.constraint is None) == (weight == 0)
    batch = dataset().__getitems__([0, 1, 2])
    t = make_targets(batch["boxes"], batch["category"], batch["landmarks"], SIZE, "published")
    net = detector().model.eval()
    outputs = net.at_cells(batch["image"].float() / 255, t.centers, t.points)[0]
    plain = detection_losses(outputs, t)
    losses = detection_losses(outputs, t, constraint=settings.constraint)
    if weight == 0:
        assert losses.keys() == plain.keys() and losses["loss"] == plain["loss"]
        return
    expected = position_constraint_loss(
        outputs["hps"].view(len(t.centers), K, 2), t.hps, t.hps_mask, left_and_right(GROUPING), 3
    )
    assert expected > 0
    torch.testing.assert_close(losses["position_constraint"], expected)
    torch.testing.assert_close(losses["loss"], plain["loss"] + weight * expected)
    difference = losses["loss"] - plain["loss"]
    gradients = torch.autograd.grad(difference, [outputs[n] for n in ("hps", "wh", "hm_hp")])
    assert gradients[0].abs().sum() > 0 and all(g.abs().max() < 1e-7 for g in gradients[1:])
    moved = {**outputs, "hps": (t.hps + torch.tensor([3.0, -2.0])).flatten(1)}
    shifted = detection_losses(moved, t, constraint=settings.constraint)
    assert shifted["position_constraint"].item() == pytest.approx(0, abs=1e-8) and shifted["hps"] > 2


def saved(folder, groups=K, width=16):
    torch.manual_seed(9)
    net = CenterNet("tiny", groups, neck_width=width, head_width=width)
    folder.mkdir()
    save_model(folder, net, {"method": "centernet"})
    return net


def test_weights_that_fit_start_the_run(tmp_path):
    """From 81 groups to 62: all but the last layers of the two landmark heads."""
    other = saved(tmp_path / "other", groups=81)
    net = detector().model
    before = {n: t.clone() for n, t in net.state_dict().items()}
    start = warm_start(net, tmp_path / "other", "tiny")
    assert start.fresh == [f"heads.{h}.out.{p}" for h in ("hm_hp", "hps") for p in ("bias", "weight")]
    assert start.taken == len(before) - 4
    for name, value in net.state_dict().items():
        source = before if name in start.fresh else other.state_dict()
        assert torch.equal(value, source[name]), name


def test_weights_that_share_nothing_are_an_error(tmp_path):
    saved(tmp_path / "wide", width=32)
    net = torch.nn.ModuleDict({"another": torch.nn.Linear(2, 2)})
    with pytest.raises(ValueError, match=r"start_from: .*wide.*shares no parameter"):
        warm_start(net, tmp_path / "wide", "tiny")
    with pytest.raises(FileNotFoundError, match="no model here"):
        warm_start(net, tmp_path / "nowhere", "tiny")
    (tmp_path / "nowhere").mkdir()
    (tmp_path / "nowhere" / "model.json").write_text('{"method": "top_down"}')
    with pytest.raises(ValueError, match="method is 'top_down', expected 'centernet'"):
        warm_start(net, tmp_path / "nowhere", "tiny")


def test_the_step_with_everything_published(tmp_path):
    ws = Workspace(tmp_path)
    p = {**PUBLISHED, "backbone": "tiny", "neck_width": 16, "head_width": 16, "input_size": SIZE}
    p |= {"lr": 1e-3, "lr_steps": [[1, 1e-3], [1, 1e-4]], "epochs": 2, "batch_size": 4}
    p |= {"position_constraint": 0.01, "start_from": "models/before"}
    params = Params.model_validate(
        {
            "synthesize": {"train": 8, "validation": 2, "size": 96},
            "ingest": {"root": str(ws.raw)},
            "train_detector": p | {"grouping": "semantic62"},  # beside a landmarker of 81
            "distributed": {"workers": 1},
        }
    )
    for step in (synthesize, ingest, aggregate):
        step.run(params, ws)
    (tmp_path / "models").mkdir()
    saved(tmp_path / "models" / "before", groups=81)
    assert used_grouping(ws).name == "agg81"
    job = train_detector.prepare(params, ws)
    rows, _ = load_garments(ws, "train", labelled=False)
    for row, category_id in enumerate(job.garments.category_id.tolist()):
        own = np.reshape(rows["landmarks"].iloc[row], (-1, 3))
        np.testing.assert_array_equal(job.garments.landmarks[row], GROUPING.group(category_id, own))
    metrics = train_detector.run(params, ws)
    assert json.loads((ws.detector / "model.json").read_text())["grouping"] == "semantic62"
    assert metrics["tensors_fresh"] == 4 and metrics["tensors_taken"] > 50
    assert np.isfinite(metrics["loss"]) and metrics["position_constraint"] > 0
    text = (ws.detector / "model.json").read_text()
    spec = json.loads(text)
    assert "models/before" not in text and len(spec["start"]["sha256"]) == 64
    assert len(spec["start"]["fresh"]) == 4 and spec["training"]["lr_steps"] == p["lr_steps"]
    weights = load_file(ws.detector / "weights.safetensors")
    first = (ws.detector / "weights.safetensors").read_bytes()
    assert all(torch.isfinite(w).all() for w in weights.values())
    train_detector.run(params, ws)
    assert (ws.detector / "weights.safetensors").read_bytes() == first
    assert not list(ws.checkpoints.iterdir())
