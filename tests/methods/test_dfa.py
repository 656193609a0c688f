"""DFA: its parts by hand."""

import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from drawn_quads import MIRROR, PARAMS, quads

from fashion_ops.methods.alignment.crops import Crops, frame_of, to_pixels
from fashion_ops.methods.alignment.data import AlignmentSamples
from fashion_ops.methods.alignment.dfa.loss import (
    label_loss,
    position_loss,
    states,
    visibility_loss,
)
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.dfa.module import MOVED_OUT, StageModule
from fashion_ops.methods.alignment.dfa.routing import (
    EASY,
    HARD,
    cluster_errors,
    configuration_error,
    expected_error,
    route,
)
from fashion_ops.methods.alignment.dfa.soft_labels import SoftLabels
from fashion_ops.methods.alignment.dfa.targets import fit_labels, space_values
from fashion_ops.methods.alignment.vgg import VGGBackbone
from fashion_ops.methods.parts.augment import step_generator
from fashion_ops.methods.parts.schedule import learning_rates
from fashion_ops.params import DfaStage


def test_routing_by_hand():
    errors = np.array([0.1, 0.5])
    labels = np.array([[1.0, 0.0], [0.5, 0.5], [0.49, 0.51], [0.0, 1.0]])
    np.testing.assert_allclose(expected_error(labels, errors), [0.1, 0.3, 0.304, 0.5])
    np.testing.assert_array_equal(route(labels, errors, 0.3001), [EASY, EASY, HARD, HARD])
    assert route(labels[:1], errors, 0.1)[0] == HARD  # 1(G < epsilon), strictly


def test_errors_of_configurations_and_clusters_by_hand():
    offsets = np.array([[[0.3, 0.0], [0.0, 0.4]], [[0.3, 0.4], [9.0, 9.0]]])
    observed = np.array([[True, True], [True, False]])
    sizes = configuration_error(offsets, observed)
    np.testing.assert_allclose(sizes, [0.5, 0.5 * np.sqrt(2)])  # one of two seen: rescaled
    errors = cluster_errors(
        np.array([0.2, 0.4, 9.0]), np.array([0, 0, 1]), np.array([1, 1, 0], bool), 2
    )
    np.testing.assert_allclose(errors, [0.3, 0.3])  # an empty cluster errs as everybody does


def test_losses_by_hand():
    true = torch.zeros(2, 2, 2)
    predicted = torch.tensor([[[0.3, 0.4], [5.0, 5.0]], [[0.0, 0.2], [0.0, 0.0]]])
    observed = torch.tensor([[True, False], [True, True]])  # a cut-off landmark gives no loss
    assert float(position_loss(predicted, true, observed)) == pytest.approx(0.5 * (0.25 + 0.04) / 2)
    logits = torch.tensor([[[np.log(2.0), 0.0, 0.0], [50.0, 0.0, 0.0]]])
    state, slots = torch.tensor([[0, 2]]), torch.tensor([[True, False]])
    assert float(visibility_loss(logits, state, slots)) == pytest.approx(np.log(2))
    soft = torch.tensor([[0.25, 0.75]])
    assert float(label_loss(torch.zeros(1, 2), soft)) == pytest.approx(0.5 * 2 * 0.0625)


def test_a_cascade_subtracts_a_fifth_of_its_output():
    net = StageNet("tiny", 32, 2, 0, cascade=True, dropout=0.0).eval()
    torch.nn.init.zeros_(net.positions.weight)
    net.positions.bias.data = torch.tensor([1.0, 0.0, 0.0, -2.0])
    previous = torch.tensor([[[0.1, 0.1], [0.2, 0.2]]])
    corrected = net(torch.zeros(1, 3, 32, 32), previous).positions
    torch.testing.assert_close(corrected, torch.tensor([[[-0.1, 0.1], [0.2, 0.6]]]))


def test_a_cascades_loss_stands_on_the_five_fold_offset():
    """The loss of what the network predicts, not of the positions, which is 25 times smaller.

    Visibility's weight is one beside positions in each stage, or stages 2 and 3 would forget it.
    """
    data = quads(8, 3)
    still = {"flip": 0.0, "scale": 0.0, "shift": 0.0, "color": 0.0, "visibility_weight": 0.0}
    config = PARAMS.model_copy(update=still)
    previous = data.shapes.positions + 0.1
    net = StageNet("tiny", 32, 4, 0, cascade=True, dropout=0.0).eval()
    torch.nn.init.zeros_(net.positions.weight)  # it predicts 0, and the offset is 0.1
    module = StageModule(net, config, None, MIRROR, 0)
    type(module).progress = property(lambda _: 0.0)  # type: ignore[method-assign,assignment]
    batch = AlignmentSamples(data.crops, data.shapes, previous).__getitems__(list(range(8)))
    loss = module.losses(batch, step_generator(0, 0, torch.device("cpu")))["loss"]
    observed = data.shapes.observed.sum(1).mean()
    assert loss.item() == pytest.approx(0.5 * observed * 2 * (5 * 0.1) ** 2, rel=1e-4)
    module.config = config.model_copy(update={"visibility_weight": 0.1})
    losses = module.losses(batch, step_generator(0, 0, torch.device("cpu")))
    both = losses["position"] + 25 * 0.1 * losses["visibility"]  # as in stage 1, 1 to 0.1
    assert losses["loss"].item() == pytest.approx(both.item(), rel=1e-5)


def test_one_cycle_leaves_sgds_momentum_alone():
    """The paper's SGD has one momentum; Adam's first beta goes on moving, as in all our methods."""
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    schedule = learning_rates(sgd, PARAMS, 20)
    momenta, rates = set(), set()
    for _ in range(19):
        momenta.add(sgd.param_groups[0]["momentum"])
        rates.add(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    assert momenta == {0.9} and len(rates) > 10


def test_the_papers_decay_counts_the_iterations_of_each_network():
    """configs/deepfashion2.yaml: t1 = 2000 and t2 = 4000, whatever the network's data."""
    recipe = Path(__file__).parents[2] / "configs/deepfashion2.yaml"
    config = DfaStage.model_validate(yaml.safe_load(recipe.read_text(encoding="utf-8"))["dfa_stage"])
    module = StageModule(StageNet("tiny", 32, 4, 0, cascade=False), config, None, MIRROR, 0)
    shares = {}
    for step in (0, 1_999, 3_000, 4_000, 14_000):
        type(module).global_step = property(lambda _, n=step: n)  # type: ignore[method-assign,assignment]
        type(module).progress = property(lambda _, n=step: n / 14_141)  # type: ignore[method-assign,assignment]
        shares[step] = module.share
    del type(module).global_step
    assert shares == {0: 1.0, 1_999: 1.0, 3_000: 0.5, 4_000: 0.0, 14_000: 0.0}
    with pytest.raises(ValueError, match="decay_unit to iterations"):
        DfaStage(decay=(2000, 4000))


def test_what_augmentation_moves_out_is_not_called_cut_off():
    """Moved out of the crop by the shift: no position loss, no visibility loss."""
    data = quads(64, 4)
    config = PARAMS.model_copy(update={"flip": 0.5, "scale": 0.0, "shift": 0.4, "color": 0.0})
    module = StageModule(StageNet("tiny", 32, 4, 0, cascade=False), config, None, MIRROR, 0)
    batch = AlignmentSamples(data.crops, data.shapes).__getitems__(list(range(64)))
    _, positions, visibility = module.augment(batch, step_generator(0, 0, torch.device("cpu")))
    cut_off = int((data.shapes.visibility == 0).sum())
    moved = visibility == MOVED_OUT
    assert 0 < int(moved.sum()) < moved.numel() and int((visibility == 0).sum()) <= cut_off
    assert (positions[moved].abs() > 0.5 - 1e-6).any(-1).all()
    assert (positions[visibility > 0].abs() <= 0.5 + 1e-6).all()
    assert states(torch.tensor([[2.0, 1.0, 0.0, MOVED_OUT]])).tolist() == [[0, 1, 2, 2]]


def test_the_margin_shows_the_photo_and_the_crop_is_its_middle():
    image = np.random.default_rng(0).integers(0, 255, (120, 120, 3)).astype(np.uint8)
    box = np.array([[40.0, 40.0, 80.0, 80.0]])
    crops = Crops(np.zeros(1, int), box, lambda _: image, 32, "letterbox", padding=1.25, margin=4)
    region, crop = crops.regions(np.array([0]))[0], crops.take(np.array([0]))[0]
    assert region.shape == (3, 40, 40) and crop.shape == (3, 32, 32)
    assert torch.equal(region[:, 4:36, 4:36], crop)
    assert (region[:, :4].float().mean() > 60) and crops.windows.tolist() == [[35, 35, 85, 85]]
    plain = Crops(np.zeros(1, int), box, lambda _: image, 32, "letterbox")
    assert torch.equal(plain.take(np.array([0])), plain.regions(np.array([0])))


def test_auxiliary_heads_learn_when_their_gradient_no_longer_reaches_the_backbone():
    """``share`` scales the gradient of the backbone, and not that of the heads."""
    torch.manual_seed(0)
    net = StageNet("tiny", 32, 2, 3, cascade=False, dropout=0.0)
    pixels = torch.rand(4, 3, 32, 32)
    backbone, head = {}, {}
    for share in (0.0, 0.25, 1.0):
        net.zero_grad()
        out = net(pixels, share=share)
        (out.labels.square().sum() + out.visibility.square().sum()).backward()
        assert net.labels is not None and net.labels.weight.grad is not None
        head[share] = net.labels.weight.grad.clone()
        backbone[share] = net.fc7.weight.grad.clone()  # type: ignore[union-attr]
    assert backbone[0.0].abs().max() == 0
    torch.testing.assert_close(backbone[0.25], 0.25 * backbone[1.0])
    torch.testing.assert_close(head[0.0], head[1.0])


def test_the_networks_are_the_published_ones():
    """VGG-16's 134,260,544 parameters up to fc7, fc_pre of 512, heads of 2N, 3N and K."""
    with torch.device("meta"):
        first = StageNet("vgg16", 224, 8, 20, cascade=False)
        later = StageNet("vgg16", 224, 8, 20, cascade=True)
    count = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    heads = 4097 * (16 + 24 + 20)
    assert count(first) == 134_260_544 + heads
    assert count(later) == 134_260_544 + heads + 17 * 512 + 512 * 4096


def test_pretrained_weights_that_cannot_be_had(monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(OSError, match=r"vgg11\.IMAGENET1K_V1.*local model cache.*pretrained to null"):
        VGGBackbone("vgg11", 224, "IMAGENET1K_V1")
    with pytest.raises(ValueError, match=r"no pretrained weights 'V9'.*IMAGENET1K_V1"):
        VGGBackbone("vgg11", 224, "V9")
    with pytest.raises(ValueError, match="small has no pretrained weights"):
        VGGBackbone("small", 64, "IMAGENET1K_V1")
    with pytest.raises(ValueError, match="unknown alignment backbone 'vgg12'"):
        VGGBackbone("vgg12", 64)
    with pytest.raises(ValueError, match="must be a multiple of 16"):
        VGGBackbone("tiny", 40)


@pytest.mark.parametrize("frame", ["letterbox", "box"])
def test_crops_and_positions_agree(frame):
    """A bright pixel is where its landmark says, in both frames."""
    image = np.zeros((90, 70, 3), np.uint8)
    image[40:44, 20:24] = 255
    landmark = np.array([[[21.5, 41.5]]])  # the middle of the patch, from pixel centre to pixel centre
    box = np.array([[10.0, 20.0, 50.0, 84.0]])
    crop = Crops(np.zeros(1, int), box, lambda _: image, 64, frame).take(np.array([0]))[0]
    ys, xs = np.nonzero(crop[0].numpy() > 127)
    expected = to_pixels(frame_of(frame, box).apply(landmark), 64)[0, 0]
    np.testing.assert_allclose([xs.mean(), ys.mean()], expected, atol=0.51)


def test_offsets_cluster_by_direction_and_route_by_size():
    """Two errors, one small, one large: two clusters, their magnitudes, and a T in their own scale."""
    rng = np.random.default_rng(0)
    true = rng.uniform(-0.3, 0.3, (80, 3, 2))
    small = np.arange(80) < 50
    shift = np.where(small[:, None, None], [0.02, 0.0], [0.0, 0.2])
    previous = true + shift + rng.normal(0, 1e-3, true.shape)
    seen = np.ones((80, 3), bool)
    two = PARAMS.model_copy(update={"clusters": 2})
    labels = fit_labels(two, "offset", true, previous, seen, seed=0)
    np.testing.assert_allclose(labels.centers[0], np.tile([0.02, 0], (3, 1)) * 224, atol=0.2)
    np.testing.assert_allclose(labels.errors, [0.02 * np.sqrt(3), 0.2 * np.sqrt(3)], rtol=0.05)
    near = labels.distances(true, previous, seen).min(axis=1)
    assert labels.temperature == pytest.approx(0.45 * np.median(near))
    one_hot = two.model_copy(update={"temperature": 1.0})
    hard = fit_labels(one_hot, "offset", true, previous, seen, seed=0)
    assert hard.temperature == pytest.approx(labels.temperature / 20)
    soft = labels.soft(true, previous, seen)
    np.testing.assert_allclose(soft.sum(axis=1), 1)
    np.testing.assert_array_equal(route(soft, labels.errors, 0.1) == EASY, small)


def test_contextual_labels_do_not_know_the_sign():
    """The outer product of an offset with itself is that of its opposite."""
    true = np.random.default_rng(1).uniform(-0.3, 0.3, (40, 2, 2))
    sign = np.where(np.arange(40) % 2, 1.0, -1.0)[:, None, None]
    one = np.where((np.arange(40) < 20)[:, None, None], [[0.1, 0], [0.1, 0]], [[0.1, 0], [0, 0.1]])
    seen = np.ones((40, 2), bool)
    two = PARAMS.model_copy(update={"clusters": 2})
    labels = fit_labels(two, "context", true, true + sign * one, seen, seed=0)
    nearest = labels.distances(true, true + sign * one, seen).argmin(axis=1)
    assert len(set(nearest[:20])) == len(set(nearest[20:])) == 1 and nearest[0] != nearest[-1]
    offsets = space_values("offset", true, true + one)
    np.testing.assert_allclose(offsets, one * 224)  # the sign of Table 1: estimate less truth


def test_mirrored_crops_get_mirrored_labels():
    """Flipped in every step: the network is shown the labels of what it sees."""
    data = quads(16, 5)
    shapes = data.shapes
    flipped = PARAMS.model_copy(
        update={"clusters": 4, "flip": 1.0, "scale": 0.0, "shift": 0.0, "color": 0.0}
    )
    labels = fit_labels(flipped, "configuration", shapes.positions, None, shapes.observed, 0)
    net = StageNet("tiny", 32, 4, 4, cascade=False)
    module = StageModule(net, flipped, labels, MIRROR, 0)
    seen = {}
    module._soft = lambda true, *_: seen.setdefault("true", true).new_zeros(16, 4)  # type: ignore[method-assign]
    type(module).progress = property(lambda _: 0.0)  # type: ignore[method-assign,assignment]
    batch = AlignmentSamples(data.crops, shapes).__getitems__(list(range(16)))
    module.losses(batch, step_generator(0, 0, torch.device("cpu")))
    expected = shapes.positions[:, MIRROR] * [-1, 1]
    mask = shapes.observed[:, MIRROR]
    np.testing.assert_allclose(seen["true"].numpy()[mask], expected[mask], atol=1e-5)


@pytest.mark.parametrize("space", ["configuration", "offset", "context"])
def test_soft_labels_of_a_batch_are_those_of_the_clusters(space):
    """In torch, as a step computes them, and in numpy, as the clusters were fitted."""
    shapes = quads(40, 5).shapes
    previous = shapes.positions + np.random.default_rng(0).normal(0, 0.03, shapes.positions.shape)
    observed = shapes.observed & (np.arange(4) != np.arange(40)[:, None] % 9)  # some have gaps
    labels = fit_labels(PARAMS, space, shapes.positions, previous, observed, 0)
    true, before = (torch.from_numpy(p).float() for p in (shapes.positions, previous))
    given = None if space == "configuration" else before
    soft = SoftLabels(labels)(true, given, torch.from_numpy(observed))
    expected = labels.soft(true.double().numpy(), before.double().numpy(), observed)
    assert soft.dtype == torch.float32
    torch.testing.assert_close(soft, torch.from_numpy(expected).float(), rtol=1e-6, atol=1e-9)
