"""CenterNet: network, losses, images, training and the saved detector."""

import json
import math

import cv2
import numpy as np
import pytest
import torch

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet import data
from fashion_ops.methods.centernet.data import Images, letterbox_matrix, warp_images
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.centernet.loss import category_loss, detection_losses, focal, masked_l1
from fashion_ops.methods.centernet.model import CenterNet, head_channels
from fashion_ops.methods.centernet.module import CenterNetModule, DetectorSettings
from fashion_ops.methods.centernet.targets import make_targets
from fashion_ops.methods.parts.augment import Warp
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.trainer import fit
from fashion_ops.params import PostProcess, TrainingConfig
from fashion_ops.taxonomy import category, load_grouping

torch.set_num_threads(1)
SIZE = 64
GROUPING = load_grouping("agg81")
K = GROUPING.num_groups
MIRROR = torch.from_numpy(GROUPING.mirror())
UNFLIPPED = PostProcess(flip=False)  # the tiny detector has not seen mirrored images


def tiny(seed=0):
    torch.manual_seed(seed)
    return CenterNet("tiny", K, neck_width=32, head_width=32)


def scene():
    """Two images of different sizes: a red top over blue shorts, and a green skirt alone."""
    images = {7: np.full((96, 64, 3), 90, np.uint8), 9: np.full((64, 128, 3), 160, np.uint8)}
    items = [
        (7, 1, (10, 8, 52, 50), (200, 30, 30)),
        (7, 7, (14, 50, 48, 90), (30, 30, 200)),
        (9, 9, (40, 10, 90, 60), (30, 180, 30)),
    ]
    rng = np.random.default_rng(0)
    landmarks = []
    for image_id, c, box, color in items:
        x1, y1, x2, y2 = box
        cv2.rectangle(images[image_id], (x1, y1), (x2, y2), color, -1)
        n = category(c).num_landmarks
        points = rng.uniform((x1, y1), (x2, y2), (n, 2))
        own = np.concatenate([points, np.full((n, 1), 2.0)], 1).astype(np.float32)
        landmarks.append(GROUPING.group(c, own))
    garments = TrainingGarments(
        image_id=np.array([i[0] for i in items]),
        category_id=np.array([i[1] for i in items]),
        boxes=np.array([i[2] for i in items], np.float32),
        landmarks=np.stack(landmarks),
        soft_labels=np.zeros((3, 0), np.float32),
    )
    return images, garments


def dataset():
    images, garments = scene()
    return Images(np.array([7, 9]), garments, images.__getitem__, SIZE)


@pytest.mark.parametrize(("groups", "total"), [(62, 205), (294, 901), (17, 70)])
def test_output_channels(groups, total):
    """205 and 901: facts a.1 for DeepFashion2; 70 is COCO's 58 with 12 more categories."""
    assert sum(head_channels(groups).values()) == total


def test_six_maps_at_stride_4_start_at_ten_percent():
    maps = tiny()(torch.zeros(1, 3, SIZE, SIZE))
    assert {name: m.shape[1:] for name, m in maps.items()} == {
        name: (n, SIZE // 4, SIZE // 4) for name, n in head_channels(K).items()
    }
    bias = {name: head.out.bias for name, head in tiny().heads.items()}
    for name, values in bias.items():
        assert torch.all(values == (-2.19 if name in ("hm", "hm_hp") else 0.0)), name


def test_single_cells_read_as_whole_maps_do():
    net = tiny().eval()
    for head in net.heads.values():
        torch.nn.init.normal_(head.out.bias)
    pixels = torch.randn(2, 3, SIZE, SIZE)
    side = SIZE // 4
    centers = torch.tensor([0, side - 1, side * side - 1, side * side, 2 * side * side - 1, 83])
    points = torch.tensor([5, 300])
    whole, cells = net(pixels), net.at_cells(pixels, centers, points)[0]
    for name in ("wh", "reg", "hps", "hp_offset"):
        flat = whole[name].permute(0, 2, 3, 1).flatten(0, 2)
        where = points if name == "hp_offset" else centers
        torch.testing.assert_close(cells[name], flat[where], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(cells["hm_hp"], whole["hm_hp"])


def test_focal_of_two_cells_by_hand():
    """(1-.5)^2 -ln .5 for the peak, (1-.5)^4 .25^2 -ln .75 for its neighbour."""
    logits = torch.tensor([0.0, math.log(0.25 / 0.75)]).view(1, 1, 1, 2)
    target = torch.tensor([1.0, 0.5]).view(1, 1, 1, 2)
    assert focal(logits, target).item() == pytest.approx(0.1732868 + 0.0011237, abs=1e-6)
    assert focal(logits, target * 0.5).item() == pytest.approx(  # no peak: not divided, (1-gt)^4
        0.5**4 * 0.25 * math.log(2) + 0.75**4 * 0.0625 * -math.log(0.75), abs=1e-6
    )


def test_focal_gradient_is_that_of_the_formula():
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 8, 8, dtype=torch.float64).mul(3).requires_grad_()
    target = torch.rand(3, 5, 8, 8, dtype=torch.float64)
    target[torch.rand_like(target) < 0.1] = 1
    p = logits.sigmoid()
    hit = target == 1
    by_formula = (
        -torch.where(hit, (1 - p) ** 2 * p.log(), (1 - target) ** 4 * p**2 * (1 - p).log()).sum()
        / hit.sum()
    )
    (expected,) = torch.autograd.grad(by_formula, logits)
    ours = logits.detach().float().contiguous(memory_format=torch.channels_last).requires_grad_()
    loss = focal(ours, target.float())
    loss.backward()
    assert loss.item() == pytest.approx(by_formula.item(), rel=1e-5)
    torch.testing.assert_close(ours.grad, expected.float(), atol=1e-6, rtol=1e-3)


def test_l1_counts_only_what_is_labelled():
    predicted, target = torch.tensor([[1.0, 5.0], [2.0, 9.0]]), torch.zeros(2, 2)
    assert masked_l1(predicted, target).item() == 17 / 4
    assert masked_l1(predicted, target, torch.tensor([[True, False], [True, False]])).item() == 1.5
    assert masked_l1(predicted, target, torch.zeros(2, 2, dtype=torch.bool)).item() == 0


def test_category_loss_is_cross_entropy_at_the_centres():
    batch = dataset().__getitems__([1])
    t = make_targets(batch["boxes"], batch["category"], batch["landmarks"], SIZE, "published")
    heat = torch.zeros(1, 13, SIZE // 4, SIZE // 4)
    assert category_loss(heat, t).item() == pytest.approx(math.log(13))
    heat[:, category("skirt").id - 1] = 2.0
    assert category_loss(heat, t).item() == pytest.approx(math.log(math.exp(2) + 12) - 2)
    heat.flatten(2)[:, 3, t.centers[0] + 1] = 50.0  # beside the centre
    assert category_loss(heat, t).item() == pytest.approx(math.log(math.exp(2) + 12) - 2)


def test_size_counts_a_tenth_and_a_batch_without_garments_is_finite():
    net, batch = tiny(), dataset().__getitems__([0, 1])
    pixels = torch.rand(2, 3, SIZE, SIZE)

    def losses(category_ids):
        t = make_targets(batch["boxes"], category_ids, batch["landmarks"], SIZE, "published")
        return detection_losses(net.at_cells(pixels, t.centers, t.points)[0], t)

    full = losses(batch["category"])
    parts = sum(full[n] for n in ("hm", "reg", "hps", "hm_hp", "hp_offset")) + 0.1 * full["wh"]
    torch.testing.assert_close(full["loss"], parts)
    t = make_targets(batch["boxes"], batch["category"], batch["landmarks"], SIZE, "published")
    more = detection_losses(net.at_cells(pixels, t.centers, t.points)[0], t, category_weight=0.5)
    torch.testing.assert_close(more["loss"], more["category"] / 2 + full["loss"], atol=1e-4, rtol=1e-4)
    empty = losses(torch.zeros_like(batch["category"]))
    assert torch.isfinite(empty["loss"]) and empty["wh"] == 0 and empty["hm"] > 0
    empty["loss"].backward()


def test_a_image_is_fitted_whole_and_centred():
    matrix = letterbox_matrix(width=200, height=100, size=64)
    corners = np.array([[-0.5, -0.5], [199.5, 99.5]]) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(corners, [[-0.5, 15.5], [63.5, 47.5]])


def test_images_carry_boxes_and_landmarks_along():
    images, garments = scene()
    batch = Images(np.array([7, 9]), garments, images.__getitem__, SIZE).__getitems__([1, 0])
    assert batch["category"].tolist() == [[9, 0], [1, 7]]
    # 128 x 64 halves and moves down by 16; 96 x 64 shrinks by 2/3 and moves right by 32/3
    expected = [(40.5 / 2 - 0.5), (10.5 / 2 + 15.5), (90.5 / 2 - 0.5), (60.5 / 2 + 15.5)]
    np.testing.assert_allclose(batch["boxes"][0, 0], expected, atol=1e-4)
    x = (garments.landmarks[1, :, 0] + 0.5) * 2 / 3 + 64 / 6 - 0.5
    used = garments.landmarks[1, :, 2] > 0
    np.testing.assert_allclose(batch["landmarks"][1, 1, used, 0], x[used], atol=1e-4)
    green = batch["image"][0, :, 33, 32]
    assert green.tolist() == [30, 180, 30]
    assert batch["image"][0, :, :15].max() == 0


def test_images_out_of_memory_are_the_same(monkeypatch):
    kept = dataset().__getitems__([1, 0])
    monkeypatch.setattr(data, "CACHE_BYTES", 0)
    read = dataset()
    assert read._cache is None
    for key, value in read.__getitems__([1, 0]).items():
        assert torch.equal(value, kept[key]), key


def test_a_flip_moves_everything_along():
    batch = dataset().__getitems__([0, 1])
    flip = Warp(flip=1.0)
    pixels, boxes, landmarks = warp_images(batch, MIRROR, flip, torch.Generator())
    torch.testing.assert_close(pixels, batch["image"].flip(-1).float() / 255)
    real = batch["category"] > 0
    turned = batch["boxes"][real]
    turned[:, [0, 2]] = SIZE - 1 - turned[:, [2, 0]]
    torch.testing.assert_close(boxes[real], turned)
    seen = batch["landmarks"][:, :, MIRROR]
    torch.testing.assert_close(landmarks[..., 2], seen[..., 2])
    used = seen[..., 2] > 0
    torch.testing.assert_close(landmarks[used][:, 0], SIZE - 1 - seen[used][:, 0])
    torch.testing.assert_close(landmarks[used][:, 1], seen[used][:, 1])
    again = {**batch, "image": (pixels * 255).round().byte(), "boxes": boxes, "landmarks": landmarks}
    _, boxes, landmarks = warp_images(again, MIRROR, flip, torch.Generator())
    torch.testing.assert_close(boxes[real], batch["boxes"][real])
    used = batch["landmarks"][..., 2] > 0
    torch.testing.assert_close(landmarks[used], batch["landmarks"][used])


def test_boxes_follow_a_random_warp():
    """The red top's pixels stay inside its box, and touch its sides."""
    batch = dataset().__getitems__([0])
    warp = Warp(flip=0.5, scale=0.1, shift=0.02)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        pixels, boxes, _ = warp_images(batch, MIRROR, warp, generator)
        ys, xs = ((pixels[0, 0] - pixels[0, 2]) > 0.35).nonzero().unbind(1)
        seen = torch.stack([xs.min(), ys.min(), xs.max(), ys.max()]).float()
        assert (seen - boxes[0, 0]).abs().max() < 1.5


def test_autocast_leaves_coordinates_alone():
    batch = dataset().__getitems__([0, 1])
    warp = Warp(flip=0.5, scale=0.2, shift=0.1)
    plain = warp_images(batch, MIRROR, warp, torch.Generator().manual_seed(5))
    with torch.autocast("cpu", torch.bfloat16):
        low = warp_images(batch, MIRROR, warp, torch.Generator().manual_seed(5))
    for a, b in zip(plain, low, strict=True):
        assert torch.equal(a, b)


def test_rotation_is_refused():
    with pytest.raises(ValueError, match=r"warp.rotation is 5, must be 0"):
        warp_images(dataset().__getitems__([0]), MIRROR, Warp(rotation=5), torch.Generator())


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A tiny detector that has seen the two images many times, and its folder."""
    net = tiny()
    run = TrainingConfig(lr=5e-3, epochs=150, batch_size=2, weight_decay=0.0, precision="fp32")
    settings = DetectorSettings(Warp(), "published", center_reach=1, category_weight=1.0)
    history = fit(CenterNetModule(net, run, settings, MIRROR, seed=0), dataset())
    folder = tmp_path_factory.mktemp("detector")
    spec = {
        "method": "centernet",
        "grouping": "agg81",
        "backbone": "tiny",
        "neck_width": 32,
        "head_width": 32,
        "input_size": SIZE,
        "score_threshold": 0.3,
        "precision": "fp32",
    }
    save_model(folder, net, spec)
    return folder, net, spec, history


def test_it_learns_two_images_by_heart(learned):
    folder, _, _, history = learned
    assert history[-1]["loss"] < 0.1 * history[0]["loss"]
    images, garments = scene()
    found = Detector.load(folder, CPU, post=UNFLIPPED).detect([images[7], images[9]])
    assert [sorted(d.category_id for d in ds) for ds in found] == [[1, 7], [9]]
    for d in (d for ds in found for d in ds):
        i = int(np.flatnonzero(garments.category_id == d.category_id)[0])
        assert np.abs(d.box - garments.boxes[i]).max() < 4
        assert d.box.dtype == d.landmarks.dtype == np.float32
        truth = GROUPING.ungroup(d.category_id, garments.landmarks[i])
        assert d.landmarks.shape == (category(d.category_id).num_landmarks, 3)
        assert np.median(np.linalg.norm(d.landmarks[:, :2] - truth[:, :2], axis=1)) < 3


def test_a_saved_detector_predicts_the_same(learned):
    folder, net, spec, _ = learned
    images = list(scene()[0].values())
    loaded = Detector.load(folder, CPU, post=UNFLIPPED)
    assert json.loads((folder / "model.json").read_text()) == spec
    kept = Detector(TorchNetwork(net.to("cpu").eval(), "fp32", torch.device("cpu")), spec, UNFLIPPED)
    for a, b in zip(loaded.detect(images), kept.detect(images), strict=True):
        assert [(d.score, d.category_id) for d in a] == [(d.score, d.category_id) for d in b]
        assert all(np.array_equal(x.box, y.box) for x, y in zip(a, b, strict=True))
        assert all(np.array_equal(x.landmarks, y.landmarks) for x, y in zip(a, b, strict=True))


def test_a_mirrored_image_gives_mirrored_garments(learned):
    """With the flip test, whatever the network is; ``reg`` alone is not averaged."""
    _, net, spec, _ = learned
    detector = Detector(TorchNetwork(net.eval(), "fp32", torch.device("cpu")), spec, PostProcess())
    for image in scene()[0].values():
        width = image.shape[1]
        plain = detector.detect([image])[0]
        turned = detector.detect([np.ascontiguousarray(image[:, ::-1])])[0]
        assert [d.category_id for d in plain] == [d.category_id for d in turned] != []
        for a, b in zip(plain, turned, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-4)
            box = b.box[[2, 1, 0, 3]]
            box[[0, 2]] = width - 1 - box[[0, 2]]
            assert np.abs(box - a.box).max() < 6  # a cell


def test_thresholds_sizes_and_batches(learned):
    folder, *_ = learned
    detector = Detector.load(folder, CPU, post=UNFLIPPED)
    images = scene()[0]
    assert detector.detect([]) == []
    assert detector.detect([images[7]], score_threshold=1.0) == [[]]
    many = detector.detect([images[7], np.zeros((5, 300, 3), np.uint8)], score_threshold=0.0)
    assert len(many[0]) > 10
    for ds, (w, h) in zip(many, [(64, 96), (300, 5)], strict=True):
        assert [d.score for d in ds] == sorted((d.score for d in ds), reverse=True)
        for d in ds:
            assert (d.box >= 0).all() and (d.box <= [w - 1, h - 1, w - 1, h - 1]).all()
    alone = detector.detect([images[9]])[0]
    beside = detector.detect([images[7]] * 40 + [images[9]])[-1]
    assert len(alone) == len(beside) == 1
    np.testing.assert_allclose(alone[0].box, beside[0].box, atol=1e-3)
    np.testing.assert_allclose(alone[0].landmarks, beside[0].landmarks, atol=1e-3)


def test_folders_of_other_methods_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model here"):
        Detector.load(tmp_path, CPU)
    (tmp_path / "model.json").write_text('{"method": "top_down"}')
    with pytest.raises(ValueError, match="method is 'top_down', expected 'centernet'"):
        Detector.load(tmp_path, CPU)
