"""ViT backbones: their maps, heads and refiners; weights by name and from disk."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from fashion_ops.methods.describe import describe_landmarker, describe_refiner
from fashion_ops.methods.parts import published_weights
from fashion_ops.methods.parts.backbones import landmarker_backbone
from fashion_ops.methods.parts.vit import ViT
from fashion_ops.methods.posefix.model import LandmarkerPoseFix
from fashion_ops.methods.top_down.model import Landmarker

CROP = (64, 96)


def test_vit_small_is_the_published_network():
    """timm's ViT-S/16 has 21,665,664 parameters at 224 pixels without its head, DINOv3's 21.59 M."""
    plain = describe_landmarker("vit_small_patch16_224", "skirt", (224, 224))
    head = 9 * 384 * 8 + 8
    assert plain["parameters"] - head == 21_665_664
    dino = describe_landmarker("vit_small_patch16_dinov3", "skirt", (192, 256), head="rle")
    assert dino["training_only"]["parameters"] == dino["parts"]["flow"]["parameters"] > 0
    assert dino["parts"]["trunk"]["parameters"] == pytest.approx(21.59e6, rel=1e-3)


def test_the_map_is_that_of_timms_own_forward_pass():
    """The tokens after the last norm, row by row, without class and registers."""
    torch.manual_seed(0)
    for name in ("vit_tiny_patch16_224", "vit_tiny_patch16_dinov3_qkvb"):
        ours = ViT(name, CROP).eval()
        whole = timm.create_model(name, img_size=CROP[::-1], num_classes=0, dynamic_img_size=False)
        published = {k.replace("net.", "", 1): v for k, v in ours.state_dict().items()}
        published = {k.replace("patches.", "patch_embed.proj."): v for k, v in published.items()}
        whole.load_state_dict(published)
        crops = torch.randn(2, 3, *CROP[::-1])
        with torch.no_grad():
            (grid,) = ours(crops)
            _, (expected,) = whole.eval().forward_intermediates(crops, indices=1, norm=True)
        assert grid.shape == (2, 192, 6, 4)
        torch.testing.assert_close(grid, expected, atol=1e-5, rtol=1e-5)


def test_a_refiner_starts_from_a_vit_with_any_head():
    """Without training it gives nearly its input pose; heatmaps are copied as evidence."""
    torch.manual_seed(0)
    channels, crops = torch.arange(8), torch.randn(1, 3, *CROP[::-1])
    points, known = torch.rand(1, 8, 2) * 40 + 8, torch.ones(1, 8, dtype=torch.bool)
    for head in ("heatmap", "simcc", "rle"):
        model = Landmarker("vit_w32_tiny", 8, head=head, crop=CROP).eval()
        refiner = LandmarkerPoseFix("vit_w32_tiny", 8, 3.0, CROP).eval()
        refiner.load_landmarker(model.trunk, model.head, channels, 1.0)
        with torch.no_grad():
            nowhere = refiner(crops, points, ~known)
            if head == "heatmap":
                torch.testing.assert_close(nowhere, model(crops))
            assert nowhere.shape == (1, 8, 24, 16)
            peak = refiner(crops, points, known).flatten(2).argmax(-1)
        cells = ((points + 0.5) / 4 - 0.5).round()
        assert (peak == cells[..., 1] * 16 + cells[..., 0]).all()
    assert describe_refiner("vit_w32_tiny", "skirt", CROP)["parameters"] > 0


def test_weights_come_as_a_file(tmp_path):
    """In timm's names, of another size of crops, and in those of DINOv3's authors."""
    torch.manual_seed(0)
    published = timm.create_model("vit_tiny_patch16_224").state_dict()
    for file, write in {"vit.pth": torch.save, "vit.safetensors": save_file}.items():
        write(dict(published), tmp_path / file)
        found = ViT("vit_tiny_patch16_224", CROP, str(tmp_path / file))
        torch.testing.assert_close(found.patches.weight, published["patch_embed.proj.weight"])
        last = "blocks.11.mlp.fc2.weight"
        torch.testing.assert_close(found.net.state_dict()[last], published[last])
        assert found.net.state_dict()["pos_embed"].shape == (1, 1 + 24, 192)
    with pytest.raises(ValueError, match=r"vit\.pth: .* of shape .*, must be of shape"):
        ViT("vit_small_patch16_224", CROP, str(tmp_path / "vit.pth"))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth is no file; copy the published weights"):
        ViT("vit_tiny_patch16_224", CROP, str(tmp_path / "nowhere.pth"))


def test_dinov3s_own_names(tmp_path):
    own = timm.create_model("vit_tiny_patch16_dinov3_qkvb").state_dict()
    renamed = {}
    for name, value in own.items():
        name = name.replace("reg_token", "storage_tokens")
        name = name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        renamed[name] = value
    renamed["mask_token"] = torch.zeros(1, 192)
    torch.save(renamed, tmp_path / "dinov3.pth")
    found = ViT("vit_tiny_patch16_dinov3_qkvb", CROP, str(tmp_path / "dinov3.pth"))
    assert torch.equal(found.net.state_dict()["reg_token"], own["reg_token"])


def test_names_that_are_no_backbone(monkeypatch):
    with pytest.raises(ValueError, match=r"unknown 'vit_small_patch14_dinov2'; known: .*or a vit_"):
        landmarker_backbone("vit_small_patch14_dinov2", crop=CROP)
    with pytest.raises(ValueError, match="made for one size of crops, got none"):
        landmarker_backbone("vit_w32_tiny")
    with pytest.raises(ValueError, match=r"no pretrained weights; set train_landmarker\.pretrained"):
        landmarker_backbone("vit_w32_tiny", "in1k", CROP)

    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(published_weights.timm, "create_model", no_network)
    with pytest.raises(OSError, match=r"'vit_small_patch16_dinov3\.lvd1689m' can't be loaded .* null"):
        landmarker_backbone("vit_small_patch16_dinov3", "lvd1689m", CROP)
