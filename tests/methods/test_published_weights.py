"""CenterNet's published checkpoints load whole, and compute here what they compute there."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_centernet import PublishedDla, PublishedHourglass, randomise
from safetensors.torch import save_file
from torch import Tensor, nn

from fashion_ops.methods.centernet.backbones import hourglass
from fashion_ops.methods.centernet.backbones.by_name import BACKBONES
from fashion_ops.methods.centernet.model import HEATMAP_BIAS, CenterNet, head_channels
from fashion_ops.methods.centernet.published_weights import (
    COCO_MEAN,
    COCO_STD,
    COUNTER,
    IGNORED,
    convert,
    read_published,
)
from fashion_ops.methods.centernet.warm_start import warm_start
from fashion_ops.methods.parts.augment import MEAN, STD

SMALL_DIMS, SMALL_BLOCKS = (8, 8, 12, 16), (2, 2, 1, 2)
# Detection and pose on COCO: 80 classes, or one with 17 joints.
DETECTION = {"hm": 80, "wh": 2, "reg": 2}
POSE = {"hm": 1, "wh": 2, "hps": 34, "reg": 2, "hm_hp": 17, "hp_offset": 2}


@pytest.fixture
def small_hourglass(monkeypatch: pytest.MonkeyPatch) -> CenterNet:
    """Our network with an hourglass of a few channels."""
    small = lambda *_: (hourglass.Hourglass(2, SMALL_DIMS, SMALL_BLOCKS), nn.Identity())  # noqa: E731
    entry = replace(BACKBONES["hourglass104"], build=small, neck_width=SMALL_DIMS[0], head_width=6)
    monkeypatch.setitem(BACKBONES, "hourglass104", entry)
    torch.manual_seed(1)
    return CenterNet("hourglass104", 17).eval()


def pixels(seed: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A photo as our networks and as theirs read it: (1, 3, H, W), RGB and BGR."""
    rgb = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(seed))
    column = lambda v: torch.tensor(v)[:, None, None]  # noqa: E731
    ours = (rgb - column(MEAN)) / column(STD)
    return ours, (rgb.flip(1) - column(COCO_MEAN)) / column(COCO_STD)


def middle_tap(state: dict[str, Tensor], name: str) -> None:
    """Let a 7x7 convolution read only its middle pixel: what is beyond the border cannot matter."""
    state[name][..., torch.arange(7) != 3, :] = 0
    state[name][..., torch.arange(7) != 3] = 0


@pytest.mark.parametrize("backbone", ["hourglass104", "dla34_dcn"])
def test_all_heads_compute_what_theirs_do(backbone: str, small_hourglass: CenterNet) -> None:
    torch.manual_seed(1)
    if backbone == "hourglass104":
        theirs = randomise(PublishedHourglass(SMALL_DIMS, SMALL_BLOCKS, POSE, 6))
        model, first = small_hourglass, "pre.0.conv.weight"
    else:
        theirs = randomise(PublishedDla(POSE))
        model, first = CenterNet("dla34_dcn", 17).eval(), "base.base_layer.0.weight"
    state = theirs.state_dict()
    middle_tap(state, first)
    converted = convert(state, backbone, model, "coco.pth")
    fitting = {n: t for n, t in converted.items() if model.state_dict()[n].shape == t.shape}
    model.load_state_dict(fitting, strict=False)
    ours_in, theirs_in = pixels(0, 128, 128)
    with torch.no_grad():
        ours, expected = model(ours_in), theirs(theirs_in)[-1]
    for name in ("wh", "reg", "hps", "hm_hp", "hp_offset"):
        assert expected[name].std() > 1e-3
        torch.testing.assert_close(ours[name], expected[name], atol=2e-4, rtol=2e-3)


@pytest.mark.parametrize("heads", [DETECTION, POSE], ids=["detection", "pose"])
@pytest.mark.parametrize("backbone", ["hourglass104", "dla34_dcn"])
def test_a_file_of_published_names_and_shapes_loads_whole(backbone: str, heads: dict[str, int]) -> None:
    """At full size, without memory: nothing is missing, and nothing left over but what is listed."""
    with torch.device("meta"):
        if backbone == "hourglass104":
            theirs: nn.Module = PublishedHourglass(hourglass.DIMS, hourglass.BLOCKS, heads, 256)
        else:
            theirs = PublishedDla(heads)
        model = CenterNet(backbone, 81)
    state = theirs.state_dict()
    with pytest.MonkeyPatch.context() as patch:  # no numbers to compute with
        patch.setattr(
            "fashion_ops.methods.centernet.published_weights._use_our_pixels", lambda *_: None
        )
        parallel = {f"module.{name}": tensor for name, tensor in state.items()}
        converted = convert(parallel, backbone, model, "coco.pth")
    ours = {n for n in model.state_dict() if "heads." not in n and not n.endswith(COUNTER)}
    assert ours <= converted.keys()
    rest = {n for n in state if not n.startswith((*(f"{h}." for h in heads), *IGNORED[backbone]))}
    assert len([n for n in rest if not n.endswith(COUNTER)]) == len(ours)
    stacks = 2 if backbone == "hourglass104" else 1
    assert len(converted) - len(ours) == 4 * stacks * len(heads)
    assert any(n.startswith(IGNORED[backbone]) for n in state) == (backbone == "dla34_dcn")


def test_the_run_starts_from_the_file_with_fresh_heads_of_its_own_classes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = randomise(PublishedDla(DETECTION))
    file = tmp_path / "ctdet_coco_dla_2x.pth"
    torch.save({"epoch": 230, "state_dict": theirs.state_dict()}, file)
    model = CenterNet("dla34_dcn", 81)
    start = warm_start(model, file, "dla34_dcn")
    fresh = {name.split(".")[1] for name in start.fresh if name.startswith("heads.")}
    assert fresh == {"hm", "hps", "hm_hp", "hp_offset"}
    assert not [n for n in start.fresh if "heads." not in n and "num_batches" not in n]
    head = model.heads["hm"]
    torch.testing.assert_close(head.conv.weight, theirs.hm[0].weight)  # type: ignore[union-attr]
    assert head.out.bias.detach().eq(HEATMAP_BIAS).all()  # type: ignore[union-attr]
    renamed = tmp_path / "dla.safetensors"
    save_file({n: t.contiguous() for n, t in theirs.state_dict().items()}, renamed)
    again = read_published(renamed, "dla34_dcn", model)
    assert torch.equal(again["heads.wh.out.weight"], theirs.wh[2].weight / 8)  # type: ignore[union-attr]


def test_another_network_s_file_is_refused_in_one_line(tmp_path: Path) -> None:
    model = CenterNet("dla34_dcn", 81)
    weights = dict(randomise(PublishedDla(DETECTION)).state_dict())
    short = {n: t for n, t in weights.items() if n != "base.level2.root.conv.weight"}
    with pytest.raises(
        ValueError, match=r"start_from: a\.pth: base\.level2\.root\.conv.weight is missing"
    ):
        convert(short, "dla34_dcn", model, "a.pth")
    wide = {**weights, "ida_up.up_1.weight": torch.zeros(64, 1, 2, 2)}
    with pytest.raises(ValueError, match=r"up_1.weight is of shape \[64, 1, 2, 2\], must be of shape"):
        convert(wide, "dla34_dcn", model, "a.pth")
    more = {**weights, "base.level6.conv.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"1 tensors are not of dla34_dcn, such as base\.level6"):
        convert(more, "dla34_dcn", model, "a.pth")
    with pytest.raises(ValueError, match=r"CenterNet publishes weights of .* not of 'tiny'"):
        read_published(tmp_path / "coco.pth", "tiny", model)
    with pytest.raises(FileNotFoundError, match=r"no such file; copy CenterNet's published weights"):
        read_published(tmp_path / "coco.pth", "dla34_dcn", model)
    torch.save([1, 2], tmp_path / "coco.pth")
    with pytest.raises(ValueError, match="holds no state_dict"):
        read_published(tmp_path / "coco.pth", "dla34_dcn", model)
    assert set(head_channels(81)) == set(POSE)
