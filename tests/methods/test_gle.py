"""GLE: the published network and its parts, the warm start, targets, coordinates."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.gle.model import GLE, GlobalLocal, NonLocal
from fashion_ops.methods.alignment.gle.module import GLEModule
from fashion_ops.methods.alignment.gle.targets import cone_targets, peak_of_density
from fashion_ops.methods.alignment.gle.training import save_gle
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import GLEConfig, read_yaml
from fashion_ops.taxonomy.alignment import point_set

FLD = point_set("fld8")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights and statistics away from where they start, so that nothing is zero by chance."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=g))
        for m in module.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean += torch.randn(m.num_features, generator=g)
                m.running_var += torch.rand(m.num_features, generator=g)
    return module.eval()


def test_the_published_network():
    """VGG-16 to conv4_3 (7.6 M), k = 3 modules on 512 channels, heatmaps as large as the image."""
    net = GLE("vgg16", 8, 3).eval()
    convolutions = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
    convolutions += [(256, 512), (512, 512), (512, 512)]
    assert count(net.trunk) == sum(9 * a * b + b for a, b in convolutions) == 7_635_264
    assert isinstance(net.trunk, nn.Sequential) and isinstance(net.trunk[-1], nn.ReLU)
    non_local = 3 * (512 * 256 + 256) + 256 * 512 + 512
    local = 2 * (9 * 512 * 512 + 2 * 512)
    assert [count(m) for m in net.embed] == [non_local + local] * 3
    deconvolutions = [m for m in net.up.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [(m.kernel_size, m.stride, m.padding) for m in deconvolutions] == [
        ((4, 4), (2, 2), (1, 1))
    ] * 3
    assert [m.out_channels for m in deconvolutions] == [64, 32, 16]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.up)
    with torch.inference_mode():
        pixels = torch.rand(1, 3, 32, 48)
        assert net.trunk(pixels).shape == (1, 512, 4, 6)
        assert net(pixels).shape == (1, 8, 32, 48)


@pytest.mark.parametrize(("name", "k"), [("deepfashion", 2), ("fld", 3)])
def test_paper_size_settings(name, k):
    config = read_yaml(GLEConfig, Path(__file__).parents[2] / f"configs/gle/{name}.yaml")
    assert (config.backbone, config.modules, config.crop) == ("vgg16", k, (224, 224))
    assert config.radius * 224 == pytest.approx(8, abs=0.01) and config.loss == "mse"


def test_settings_say_what_is_wrong(tmp_path):
    path = tmp_path / "gle.yaml"
    path.write_text("crop: [50, 48]\nmodule: 3\n")
    with pytest.raises(
        ValueError, match=r"(?s)gle.yaml: not valid.*crop.0.*multiple of 8.*module: Extra"
    ):
        read_yaml(GLEConfig, path)
    with pytest.raises(ValueError, match=r"nothing\.yaml: cannot be read"):
        read_yaml(GLEConfig, tmp_path / "nothing.yaml")


def test_unknown_backbones_and_missing_weights():
    with pytest.raises(ValueError, match=r"unknown backbone 'vgg19' of GLE; known: \['vgg16'"):
        GLE("vgg19", 8, 1)
    with pytest.raises(ValueError, match="small has no pretrained weights"):
        GLE("small", 8, 1, "tv_in1k")
    with pytest.raises(ValueError, match="k is -1"):
        GLE("small", 8, -1)
    with pytest.raises(OSError, match=r"'vgg16.no_such' can't be loaded.*set pretrained to null"):
        GLE("vgg16", 8, 1, "no_such")


def test_non_local_is_the_sum_over_all_places():
    torch.manual_seed(0)
    block = NonLocal(4).double()
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    theta, phi, g = block.theta(x), block.phi(x), block.g(x)
    y = torch.zeros_like(g)
    for b in range(2):
        for i in np.ndindex(3, 5):
            weights = {j: math.exp((theta[b, :, *i] @ phi[b, :, *j]).item()) for j in np.ndindex(3, 5)}
            for j, weight in weights.items():
                y[b, :, *i] += weight / sum(weights.values()) * g[b, :, *j]
    torch.testing.assert_close(block(x), block.w(y) + x)


def test_a_module_uses_both_of_its_parts():
    """The released code overwrites the non-local output and the first convolution's."""
    module = shaken(GlobalLocal(16))
    x = torch.randn(1, 16, 12, 12, requires_grad=True)
    local = module.local
    torch.testing.assert_close(module(x), local[1](local[0](module.non_local(x))))
    module(x)[0, :, 0, 0].sum().backward()
    assert x.grad is not None and (x.grad[0, :, 11, 11] != 0).any()  # the whole image is seen
    for part in (module.non_local, local[0], local[1]):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


@pytest.mark.parametrize("k", [1, 3])
def test_modules_join_without_changing_the_network(k):
    torch.manual_seed(0)
    net = GLE("small", 8, k, joined=False)
    shaken(net.trunk), shaken(net.up)
    net.eval()
    pixels = torch.rand(4, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(net(pixels), net.up(net.trunk(pixels)))
        before, other = net(pixels), torch.rand(2, 3, 32, 32)
        plain = net(other)
        net.join(pixels)
        assert net.joined
        torch.testing.assert_close(net(pixels), before, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(net(other), plain, atol=1e-4, rtol=1e-4)
        net.embed.train()  # statistics of the very batch
        torch.testing.assert_close(net(pixels), before, atol=1e-3, rtol=1e-3)


def test_cone_by_hand():
    """At radius 8 the height is a half at 2 * 8 * ln 2 = 11.09 px, and 1 at the landmark."""
    cone = cone_targets(torch.tensor([[[30.0, 20.0], [2.5, 3.0]]]), (64, 48), 8.0)
    assert cone.shape == (1, 2, 48, 64)
    assert cone[0, 0, 20, 30] == 1 and cone[0, 0, 20, 46].item() == pytest.approx(math.exp(-1))
    assert cone[0, 0, 24, 33].item() == pytest.approx(math.exp(-5 / 16))
    assert 11.0 < 2 * 8 * math.log(2) < 11.1 and cone[0, 0, 31, 30] > 0.5 > cone[0, 0, 32, 30]
    assert cone[0, 1, 3, 2] == cone[0, 1, 3, 3]


def batch(n=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    points = torch.rand(n, 8, 2, generator=g) * 50 + 16
    return {
        "region": torch.randint(0, 256, (n, 3, 83, 83), generator=g, dtype=torch.uint8),
        "landmarks": torch.cat([points, torch.full((n, 8, 1), 2.0)], -1),
    }


@pytest.mark.parametrize(
    ("parts", "loss"), [("sides", "cross_entropy"), ("whole", "cross_entropy"), ("sides", "mse")]
)
def test_the_position_constraint_enters(parts, loss):
    config = GLEConfig(
        backbone="tiny",
        loss=loss,
        position_constraint=3.0,
        position_constraint_k=2,
        position_constraint_parts=parts,
    )
    module = GLEModule(GLE("tiny", 8, 1), config, FLD.mirror, 0)
    constraint = module.constraint
    assert constraint is not None and len(constraint.parts) == {"sides": 2, "whole": 1}[parts]
    losses = module.losses(batch(), torch.Generator().manual_seed(0))
    assert losses["position_constraint"] > 0
    assert losses["loss"].item() == pytest.approx(
        losses["heatmap"].item() + 3 * losses["position_constraint"].item()
    )
    gradient = torch.autograd.grad(losses["position_constraint"], list(module.model.parameters()))
    assert sum(g.abs().sum() for g in gradient) > 0
    assert GLEModule(GLE("tiny", 8, 1), GLEConfig(), FLD.mirror, 0).constraint is None


class PeakAt(nn.Module):
    """Heatmaps of eight landmarks with peaks at given crop pixels, for any input."""

    def __init__(self, points):
        super().__init__()
        self.points = points

    def forward(self, x):
        size = (x.shape[-1], x.shape[-2])
        return cone_targets(self.points, size, 3.0).expand(len(x), -1, -1, -1)


class Always(nn.Module):
    """The same output (1, ...) for each image of a batch."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output.expand(len(x), -1, -1, -1)


def test_predictions_are_in_image_pixels():
    """A box of 40 x 20 px, padded by 1.1, fills a crop of 64 px: one crop pixel is 44 / 64 px."""
    config = GLEConfig(crop=(64, 64), padding=1.1, precision="fp32", loss="mse")
    points = torch.tensor([[[31.5, 31.5]] * 7 + [[11.5, 51.5]]])
    spec = {"points": "fld8", "settings": config.model_dump(mode="json")}
    predictor = GLEPredictor(PeakAt(points), spec, torch.device("cpu"))
    image = np.zeros((90, 120, 3), np.uint8)
    box = np.array([[30.0, 50.0, 70.0, 70.0]])
    predictions = predictor.predict(lambda _: image, np.array([7]), box)
    assert predictions.shape == (1, 8, 3)
    assert predictions[0, 0, :2] == pytest.approx([50, 60], abs=0.05)
    assert predictions[0, 7, :2] == pytest.approx([50 - 20 * 44 / 64, 60 + 20 * 44 / 64], abs=0.05)
    assert predictor.predict(lambda _: image, np.array([], int), box[:0]).shape == (0, 8, 3)


def test_a_density_has_a_peak_of_one():
    """The cone is exp(-d / (2 r)): its volume is 2 pi (2 r)^2, so density times that is the cone."""
    cone = cone_targets(torch.tensor([[[100.0, 100.0]]]), (201, 201), 4.0)
    assert cone.sum().item() == pytest.approx(peak_of_density(4.0), rel=0.01)
    config = GLEConfig(crop=(48, 48), padding=1.0, precision="fp32", radius=1 / 48)
    spec = {"points": "fld8", "settings": config.model_dump(mode="json")}
    logits = cone_targets(torch.full((1, 8, 2), 20.0), (48, 48), 1.0).log()
    predictor = GLEPredictor(Always(logits), spec, torch.device("cpu"))
    predictions = predictor.predict_crops(torch.zeros(2, 3, 48, 48, dtype=torch.uint8))
    assert predictions[..., :2] == pytest.approx(20, abs=1e-3) and predictions[..., 2] == pytest.approx(
        1, abs=0.05
    )


def test_a_folder_gives_the_same_landmarks(tmp_path):
    config = GLEConfig(backbone="tiny", modules=1, crop=(32, 32), precision="fp32")
    spec = {"method": "gle", "points": "fld8", "settings": config.model_dump(mode="json")}
    net = GLE("tiny", 8, 1, joined=False)
    net.join(torch.rand(2, 3, 32, 32))
    save_gle(tmp_path / "gle", GLEPredictor(shaken(net), spec, torch.device("cpu")))
    loaded = GLEPredictor.load(tmp_path / "gle", CPU)
    crops = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    expected = GLEPredictor(net.eval(), spec, torch.device("cpu")).predict_crops(crops)
    np.testing.assert_allclose(loaded.predict_crops(crops), expected, atol=1e-5)
