"""DFA and GLE that start from other networks: what is taken, what is not, and what is said of it."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from untrained_alignment import DFA, make_dfa, make_gle, shaken

from fashion_ops.methods.alignment.dfa.inference import build as build_stage
from fashion_ops.methods.alignment.dfa.training import stage_spec
from fashion_ops.methods.alignment.dfa.warm_start import find_source
from fashion_ops.methods.alignment.dfa.warm_start import warm_start as start_stage
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.gle.model import GLE as Network
from fashion_ops.methods.alignment.gle.model import GlobalLocal
from fashion_ops.methods.alignment.gle.warm_start import warm_start as start_gle
from fashion_ops.methods.parts.device import CPU
from fashion_ops.workspace import Workspace


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Workspace:
    """A cascade with models for all types and for lower-body clothes, and a GLE network."""
    ws = Workspace(tmp_path_factory.mktemp("other"))
    make_dfa(ws, {"all": 8, "lower": 4})
    make_gle(ws.gle)
    return ws


def stage(number: int, n: int = 8):
    spec = {**stage_spec(DFA, number, n, None), "clusters": 5, "label_inputs": 0}
    return build_stage(spec)


@pytest.mark.parametrize(("number", "branch"), [(1, 0), (2, 0), (3, 0), (3, 1)])
def test_a_stage_takes_everything_but_the_clusters_of_other_garments(other, number, branch):
    torch.manual_seed(1)
    net = stage(number)
    fresh = {name: t.clone() for name, t in net.state_dict().items()}
    source = other.dfa(str(number)) / "all"
    start = start_stage(net, source, branch)
    assert start.fresh == ["labels.bias", "labels.weight"]
    folder = source / ("easy", "hard")[branch] if number == 3 else source
    theirs = load_file(folder / "weights.safetensors")
    for name, tensor in net.state_dict().items():
        kept = fresh[name] if name.startswith("labels.") else theirs[name]
        assert torch.equal(tensor, kept), name
    words = start.in_words("dfa_stage.start_from", "models/dfa")
    assert words == (
        f"dfa_stage.start_from: {start.taken} tensors are those of models/dfa; 2 start afresh: "
        "labels.bias, labels.weight"
    )


def test_heads_of_other_landmarks_start_afresh(other):
    """From four landmarks to eight: the backbone and fc7 are taken, the three heads are not."""
    start = start_stage(stage(1), other.dfa("1") / "lower", 0)
    assert {name.split(".")[0] for name in start.fresh} == {"labels", "positions", "visibility"}
    assert "and 2 more" in start.in_words("dfa_stage.start_from", "x")


def test_the_source_of_each_stage(other, tmp_path):
    """A cascade's own stage first; one model only where there is no stage before to inherit from."""
    cascade = other.dfa("1").parent
    assert find_source(cascade, 2, "all", True) == other.dfa("2") / "all"
    assert find_source(other.dfa("1"), 1, "lower", False) == other.dfa("1") / "lower"
    assert find_source(other.dfa("1") / "all", 1, "upper", False) == other.dfa("1") / "all"
    assert find_source(other.dfa("1") / "all", 2, "all", True) is None
    with pytest.raises(ValueError, match=r"dfa/1: has models for all, lower, none for upper; name"):
        find_source(cascade, 1, "upper", False)
    with pytest.raises(FileNotFoundError, match=r"dfa_stage\.start_from: .*nowhere: no such folder"):
        find_source(tmp_path / "nowhere", 1, "all", False)
    with pytest.raises(FileNotFoundError, match=r"vgg16\.pth is no file"):
        find_source(tmp_path / "vgg16.pth", 1, "all", False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty: no model of DFA here"):
        find_source(tmp_path / "empty", 1, "all", False)


@pytest.mark.parametrize("names", ["torchvision", "timm"])
def test_a_published_vgg_is_read_by_its_names(tmp_path, names):
    """The layers up to fc7; timm's fc6 and fc7 are convolutions over the pooled map."""
    source = shaken(stage(1), 3)
    state = source.state_dict()
    fc6, fc7 = state["trunk.fc6.weight"], state["fc7.weight"]
    file = {n.removeprefix("trunk."): t for n, t in state.items() if n.startswith("trunk.features.")}
    if names == "torchvision":
        file |= {"classifier.0.weight": fc6, "classifier.3.weight": fc7}
        first, second = "classifier.0.bias", "classifier.3.bias"
    else:
        file |= {"pre_logits.fc1.weight": fc6.view(len(fc6), -1, 2, 2)}
        file |= {"pre_logits.fc2.weight": fc7[..., None, None]}
        first, second = "pre_logits.fc1.bias", "pre_logits.fc2.bias"
    file |= {first: state["trunk.fc6.bias"], second: state["fc7.bias"]}
    file |= {"head.fc.weight": torch.zeros(3, 2)}
    path = tmp_path / ("vgg.pth" if names == "torchvision" else "vgg.safetensors")
    if names == "torchvision":
        torch.save(file, path)
    else:
        save_file({n: t.contiguous() for n, t in file.items()}, path)
    net = stage(1)
    start = start_stage(net, path, 0)
    assert {name.split(".")[0] for name in start.fresh} == {"labels", "positions", "visibility"}
    for name in ("trunk.features.0.weight", "trunk.fc6.weight", "fc7.weight", "fc7.bias"):
        assert torch.equal(net.state_dict()[name], state[name]), name


def test_gle_takes_a_published_vgg(tmp_path):
    source = shaken(Network("tiny", 8, 1), 4)
    file = {
        n.replace("trunk.", "features.", 1): t
        for n, t in source.state_dict().items()
        if n.startswith("trunk.")
    }
    torch.save({"features.0.weight": torch.zeros(1), **file}, tmp_path / "vgg.pth")
    net = Network("tiny", 8, 1, joined=False)
    start_gle(net, tmp_path / "vgg.pth")
    pairs = zip(net.trunk.parameters(), source.trunk.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs) and not net.has_joined
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"train_gle\.start_from: .*other\.pth: is no VGG"):
        start_gle(net, tmp_path / "other.pth")


def test_trained_modules_of_gle_take_part_from_the_start(other):
    """The started network computes what the other one does."""
    source = GLEPredictor.load(other.gle, CPU).model
    net = Network("tiny", 8, 1, joined=False)
    start = start_gle(net, other.gle)
    assert net.has_joined and bool(net.joined) and start.fresh == ["joined"]
    pixels = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(net.eval()(pixels), source(pixels))


def test_modules_that_do_not_fit_join_later(other, tmp_path):
    """Two modules from one, and modules that never took part: both start afresh and wait."""
    net = Network("tiny", 8, 2, joined=False)
    start = start_gle(net, other.gle)
    assert not net.has_joined and not bool(net.joined)
    assert {name.split(".")[0] for name in start.fresh} == {"embed", "joined"}

    make_gle(tmp_path / "alone")
    weights = tmp_path / "alone" / "weights.safetensors"
    save_file({**load_file(weights), "joined": torch.tensor(False)}, weights)
    net = Network("tiny", 8, 1, joined=False)
    before = {n: t.clone() for n, t in net.embed.state_dict().items()}
    start_gle(net, tmp_path / "alone")
    assert not net.has_joined
    assert all(torch.equal(before[n], t) for n, t in net.embed.state_dict().items())
    net.join(torch.rand(2, 3, 32, 32))
    assert net.has_joined and isinstance(net.embed[0], GlobalLocal)


def test_what_is_no_model_of_the_method_is_named(other, tmp_path):
    with pytest.raises(ValueError, match="method is 'gle', expected 'dfa'"):
        start_stage(stage(1), other.gle, 0)
    with pytest.raises(FileNotFoundError, match="no model here"):
        start_gle(Network("tiny", 8, 1), tmp_path)
