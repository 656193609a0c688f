"""CenterNet's backbones: published counts, shapes, wiring, initial weights, errors."""

import pytest
import timm
import torch
from torch.nn import functional as F

from fashion_ops.methods.centernet.backbones import by_name
from fashion_ops.methods.centernet.backbones.by_name import Backbone
from fashion_ops.methods.centernet.backbones.dla import Deformable, DLAUp, bilinear_up, plain
from fashion_ops.methods.centernet.backbones.hourglass import Hourglass
from fashion_ops.methods.centernet.model import CenterNet, head_channels

torch.set_num_threads(1)
K = 62
UNUSED = 64 * 128 + 2 * 128 + 128 * 256 + 2 * 256  # the published DLA's projections nobody reads


def on_meta(name, groups=K, **widths):
    with torch.device("meta"):
        return CenterNet(name, groups, **widths).eval()


@pytest.fixture
def two_stacks(monkeypatch):
    """A CenterNet on two small hourglasses, three levels each."""

    def build(name, pretrained, width):
        return Hourglass(dims=(16, 16, 32), blocks=(2, 1, 2)), torch.nn.Identity()

    entry = Backbone(build, 16, 16, multiple=16, stacks=2)
    monkeypatch.setitem(by_name.BACKBONES, "two_stacks", entry)
    torch.manual_seed(0)
    return CenterNet("two_stacks", 5)


@pytest.mark.parametrize(
    ("name", "groups", "head_width", "published"),
    [
        ("mdla34", 62, None, 19_512_061),
        ("mdla34", 294, None, 19_690_933),
        ("mdla34", 62, 128, 19_043e3),
        ("mdla34", 62, 64, 18_808e3),
        ("dla34_dcn", 62, None, 20_150e3),
        ("dla34_dcn", 294, None, 20_329e3),
        ("resnet50", 62, None, 34_894e3),
        ("resnet50", 62, 256, 37_588e3),
        ("hourglass104", 62, None, 194_887e3),
        ("hourglass104", 294, None, 195_244e3),
    ],
)
def test_parameters_are_those_of_the_published_networks(name, groups, head_width, published):
    """The first two to the last one, the others as rounded in the reproduction of the tables."""
    net = on_meta(name, groups, head_width=head_width)
    count = sum(p.numel() for p in net.parameters()) + UNUSED * ("dla" in name)
    assert count == (published if isinstance(published, int) else pytest.approx(published, abs=501))


@pytest.mark.parametrize(
    ("name", "channels"),
    [("mdla34", 64), ("dla34_dcn", 64), ("resnet50", 256), ("hourglass104", 256), ("small", 64)],
)
def test_one_map_a_stack_at_stride_4(name, channels):
    net = on_meta(name)
    pixels = torch.empty(2, 3, 128, 256, device="meta")
    features = net.features(pixels)
    assert [x.shape for x in features] == [(2, channels, 32, 64)] * (1 + len(net.early_heads))
    assert net.neck_width == channels
    assert {n: m.shape for n, m in net(pixels).items()} == {
        n: (2, c, 32, 64) for n, c in head_channels(K).items()
    }


def test_the_other_backbones_take_any_neck():
    for name in ("hrnet_w8_tiny", "hrnet_w32", "tiny"):
        net = on_meta(name, neck_width=48, head_width=16)
        (features,) = net.features(torch.empty(1, 3, 64, 96, device="meta"))
        assert features.shape == (1, 48, 16, 24)


@pytest.mark.parametrize("name", ["mdla34", "dla34_dcn"])
def test_every_weight_of_a_dla_learns(name):
    """The published one has six tensors that get no gradient."""
    torch.manual_seed(0)
    net = CenterNet(name, K)
    for m in net.modules():
        if isinstance(m, Deformable):  # zero at the start, and so are then the gradients above them
            torch.nn.init.normal_(m.offset_mask.weight, std=0.01)
    maps = net(torch.randn(2, 3, 64, 64))
    sum(m.square().mean() for m in maps.values()).backward()
    still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []
    kinds = [type(m) for m in net.neck.modules()]
    assert kinds.count(Deformable) == (16 if name == "dla34_dcn" else 0)


def test_the_neck_of_dla_step_by_step():
    """Every sum written out, as CenterNet's figure and code have it."""
    torch.manual_seed(1)
    neck = DLAUp(plain, [4, 8, 12, 16]).eval()
    s4, s8, s16, s32 = (
        torch.randn(1, c, 64 // s, 64 // s) for c, s in ((4, 4), (8, 8), (12, 16), (16, 32))
    )

    def join(stage, i, coarse, fine):
        return stage.merge[i](stage.up[i](stage.project[i](coarse)) + fine)

    first, second, third = neck.stages
    a16 = join(first, 0, s32, s16)
    b8 = join(second, 0, s16, s8)
    c8 = join(second, 1, a16, b8)
    d4 = join(third, 0, s8, s4)
    e4 = join(third, 1, b8, d4)
    f4 = join(third, 2, c8, e4)
    g4 = join(neck.last, 0, c8, f4)
    expected = join(neck.last, 1, a16, g4)
    (out,) = neck([s4, s8, s16, s32])
    torch.testing.assert_close(out, expected)


def test_a_fresh_deformable_convolution_is_half_a_plain_one():
    torch.manual_seed(0)
    layer, x = Deformable(6, 10), torch.randn(2, 6, 9, 7)
    torch.nn.init.normal_(layer.conv.bias)
    half = F.conv2d(x, 0.5 * layer.conv.weight, layer.conv.bias, padding=1)
    torch.testing.assert_close(layer(x), half, atol=1e-5, rtol=1e-5)


def test_offsets_are_y_before_x_and_masks_weigh():
    """The middle tap alone, moved a row down, two columns right, weighed by sigmoid(1)."""
    layer = Deformable(1, 1)
    torch.nn.init.zeros_(layer.conv.weight)
    with torch.no_grad():
        layer.conv.weight[0, 0, 1, 1] = 1
        layer.offset_mask.bias[8:10] = torch.tensor([1.0, 2.0])
        layer.offset_mask.bias[18 + 4] = 1.0
    x = torch.randn(1, 1, 6, 8)
    expected = torch.zeros_like(x)
    expected[..., :-1, :-2] = x[..., 1:, 2:] * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("factor", [2, 4])
def test_upsampling_starts_bilinear(factor):
    """A plane stays the same plane, seen from the centres of smaller cells; channels don't mix."""
    up = bilinear_up(3, factor)
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    maps = torch.stack([x, 3 * y, 2 * x - y])[None]
    fine = up(maps)[..., factor:-factor, factor:-factor]
    fy, fx = ((torch.arange(n * factor) + 0.5) / factor - 0.5 for n in (6, 8))
    fy, fx = torch.meshgrid(fy[factor:-factor], fx[factor:-factor], indexing="ij")
    torch.testing.assert_close(fine[0], torch.stack([fx, 3 * fy, 2 * fx - fy]))


def test_two_stacks_read_at_cells_as_whole(two_stacks):
    net = two_stacks.eval()
    pixels, side = torch.randn(2, 3, 64, 64), 16
    centers = torch.tensor([0, side - 1, side * side, 300])
    points = torch.tensor([7, 511, 256])
    stacks = net.at_cells(pixels, centers, points)
    assert len(stacks) == 2

    first, _ = net.features(pixels)
    early = {name: head(first) for name, head in net.early_heads[0].items()}
    for cells, whole in zip(stacks, (early, net(pixels)), strict=True):
        assert cells.keys() == whole.keys()
        for name, values in cells.items():
            expected = whole[name]
            if not name.startswith("hm"):
                rows = expected.permute(0, 2, 3, 1).flatten(0, 2)
                expected = rows[points if name == "hp_offset" else centers]
            torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(stacks[0]["hm"], stacks[1]["hm"])


def test_both_stacks_learn(two_stacks):
    stacks = two_stacks.at_cells(torch.randn(2, 3, 32, 32), torch.tensor([3]), torch.tensor([9]))
    sum(m.square().sum() for maps in stacks for m in maps.values()).backward()
    still = [n for n, p in two_stacks.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert still == []


def test_initial_weights(two_stacks):
    """Heatmaps at 10 % in every stack, regressions at 0; ResNet's last weights N(0, 0.001)."""
    for heads in (two_stacks.heads, two_stacks.early_heads[0], CenterNet("tiny", 5).heads):
        for name, head in heads.items():
            heatmap = name in ("hm", "hm_hp")
            assert torch.all(head.out.bias == (-2.19 if heatmap else 0.0)), name
            assert heatmap or not head.conv.bias.any(), name
    resnet = CenterNet("resnet50", K)
    for name, head in resnet.heads.items():
        std = head.out.weight.std().item()
        assert std > 0.05 if name in ("hm", "hm_hp") else std == pytest.approx(0.001, rel=0.3), name
    deconvolutions = [m for m in resnet.neck.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert [m.weight.std().item() for m in deconvolutions] == pytest.approx([0.001] * 3, rel=0.01)


@pytest.mark.parametrize("conv", [plain, Deformable])
def test_low_precision_stays_close(conv):
    torch.manual_seed(0)
    neck = DLAUp(conv, [16, 16, 32, 32])
    maps = [torch.randn(2, c, 64 // s, 64 // s) for c, s in ((16, 4), (16, 8), (32, 16), (32, 32))]
    (full,) = neck(maps)
    with torch.autocast("cpu", torch.bfloat16):
        (low,) = neck(maps)
    low.float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in neck.parameters())
    assert (low.float() - full).abs().mean() < 0.03 * full.abs().mean()
    (cast,) = neck.bfloat16()([m.bfloat16() for m in maps])
    assert cast.dtype == torch.bfloat16
    assert (cast.float() - full).abs().mean() < 0.03 * full.abs().mean()


def test_a_fixed_neck_refuses_other_widths():
    assert on_meta("mdla34", neck_width=64).head_width == 256
    with pytest.raises(
        ValueError, match=r"neck_width: got 256, but .*'mdla34' is 64 wide; set it to 64"
    ):
        on_meta("mdla34", neck_width=256)
    with pytest.raises(ValueError, match=r"got 64, but the neck of 'hourglass104' is 256 wide"):
        on_meta("hourglass104", neck_width=64)


def test_an_hourglass_refuses_sides_it_cannot_halve():
    net = on_meta("hourglass104")
    assert net.multiple == 128
    with pytest.raises(ValueError, match=r"multiples of 128, got 320x256 pixels"):
        net(torch.empty(1, 3, 256, 320, device="meta"))


def test_backbones_that_are_not_there(monkeypatch):
    with pytest.raises(ValueError, match=r"unknown 'dla60'; known: \['small'.*'mdla34'"):
        CenterNet("dla60", K)
    for name in ("small", "hourglass104"):
        with pytest.raises(ValueError, match=rf"'{name}' has no pretrained weights, got 'in1k'"):
            CenterNet(name, K, pretrained="in1k")

    def offline(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(timm, "create_model", offline)
    for name, weights, full in (
        ("mdla34", "in1k", "dla34.in1k"),
        ("dla34_dcn", "in1k", "dla34.in1k"),
        ("resnet50", "tv_in1k", "resnet50.tv_in1k"),
    ):
        message = rf"'{full}' can't be loaded \(no route\).*train_detector.pretrained to null"
        with pytest.raises(OSError, match=message):
            CenterNet(name, K, pretrained=weights)


def test_pretrained_weights_are_asked_for_by_name(monkeypatch):
    asked = []
    create = timm.create_model

    def note(name, pretrained=False, **options):
        asked.append((name, pretrained))
        return create(name.partition(".")[0], **options)

    monkeypatch.setattr(timm, "create_model", note)
    CenterNet("mdla34", K, pretrained="in1k")
    assert asked == [("dla34.in1k", True)]
    assert "dla34.in1k" in timm.list_pretrained("dla34*")
