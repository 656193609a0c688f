"""Recipes: each is valid, says what the paper says, and is merged whole or not at all."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.methods.centernet.backbones.by_name import find_backbone
from fashion_ops.params import load_params
from fashion_ops.params.recipes import Change, configure

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "configs/deepmark").glob("*.yaml"))
H512, H768 = (ROOT / "configs/deepmark" / f"hourglass_{n}.yaml" for n in (512, 768))


@pytest.fixture(params=["params.yaml", "configs/deepfashion2.yaml"])
def params(request, tmp_path):
    return Path(shutil.copy(ROOT / request.param, tmp_path / "params.yaml"))


@pytest.fixture
def demo(tmp_path):
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def test_the_paper_has_five():
    assert [r.stem for r in RECIPES] == [
        "dla34_256", "hourglass_512", "hourglass_768", "mdla34_256", "resnet50_256",
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.stem)
def test_every_recipe_is_valid_and_published(recipe, params):
    changes = configure(params, [recipe])
    assert changes
    p = load_params(params)
    t = p.train_detector
    if recipe == H768:  # goes on top of the one for 512
        return
    assert t.grouping == "semantic62" and p.aggregate.grouping == "agg81"
    assert (t.random_crop, t.jitter, t.lighting, t.flip, t.color) == (True, 0.4, 0.1, 0.5, 0)
    assert (t.center_radius, t.center_reach, t.category_weight) == ("published", 0, 0)
    assert t.weight_decay == 0 and t.lr_steps is not None
    assert t.input_size % find_backbone(t.backbone).multiple == 0
    start = p.tune_postprocess.start
    assert (start.alpha, start.sigma_center, start.sigma_landmark, start.gamma) == (
        0.8,
        0.45,
        0.9,
        0.75,
    )


def test_hourglass_is_trained_as_section_4_2_1_says(params):
    configure(params, [H512])
    t = load_params(params).train_detector
    assert (t.input_size, t.batch_size, t.epochs) == (512, 46, 100)
    assert t.lr_steps == ((65, 1e-3), (20, 4e-4), (15, 4e-5))
    configure(params, [H768])
    t = load_params(params).train_detector
    assert (t.input_size, t.batch_size, t.epochs) == (768, 22, 25)
    assert t.lr_steps == ((20, 2e-5), (5, 1e-5))
    assert t.start_from == "models/hourglass_512" and t.backbone == "hourglass104" and t.random_crop


def test_only_what_the_recipe_names_changes(params, tmp_path):
    before = params.read_text().splitlines()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("train_detector:\n  lr: 0.125\n  pretrained: null\ndistributed: {devices: 4}\n")
    old = load_params(params)
    changes = configure(params, [recipe])
    after = params.read_text().splitlines()
    differing = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    expected = [Change("train_detector.lr", old.train_detector.lr, 0.125)]
    if old.train_detector.pretrained:
        expected.append(Change("train_detector.pretrained", old.train_detector.pretrained, None))
    expected.append(Change("distributed.devices", 1, 4))
    assert changes == expected
    assert len(differing) == len(expected)
    assert differing[0][1].startswith("  lr: 0.125") and differing[-1][1].startswith("  devices: 4 #")
    assert configure(params, [recipe]) == []
    assert params.read_text().splitlines() == after


def test_nothing_is_written_when_the_result_is_not_valid(demo, tmp_path):
    before = demo.read_bytes()
    bad = tmp_path / "bad.yaml"
    for text, message in (
        ("train_detector: {learning_rate: 1}", r"(?s)bad\.yaml.*train_detector\.learning_rate: Extra"),
        ("train_detektor: {lr: 1}", "train_detektor: Extra inputs"),
        ("train_detector: {epochs: 3}", "lr_steps last 100 epochs, epochs is 3"),
        ("train_detector: {epochs: 2, lr_steps: [[2, 0.01]]}", "start with 0.01, lr is 0.001"),
        ("evaluate: {also: [real, real]}", r"evaluate\.also: .*a catalog stands twice"),
        ("seed: -1", "seed: .*greater than or equal to 0"),
        ("train_detector: 5", r"train_detector: .*\(got 5\)"),
        ("- 1", r"bad\.yaml: holds \[1\]; must hold a mapping"),
        ("a: [", r"bad\.yaml: cannot be read as YAML"),
    ):
        bad.write_text(text)
        with pytest.raises(ValueError, match=message):
            configure(demo, [H512, bad])
        assert demo.read_bytes() == before
    with pytest.raises(ValueError, match=r"nowhere\.yaml: cannot be read"):
        configure(demo, [tmp_path / "nowhere.yaml"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.yaml", "params.yaml"]


def test_the_command_prints_old_and_new(demo, monkeypatch):
    monkeypatch.chdir(demo.parent)
    done = CliRunner().invoke(app, ["configure", str(H512), str(H768)])
    assert done.exit_code == 0, done.output
    assert "train_detector.grouping: None -> semantic62" in done.output
    assert "train_detector.lr_steps: None -> [[20, 2e-05], [5, 1e-05]]" in done.output
    assert "train_detector.start_from: None -> models/hourglass_512" in done.output
    again = CliRunner().invoke(app, ["configure", str(H512), str(H768)])
    assert again.output == "nothing to change\n"
    (demo.parent / "x.yaml").write_text("seed: many\n")
    failed = CliRunner().invoke(app, ["configure", "x.yaml"])
    assert failed.exit_code == 2 and "seed" in failed.output


def test_the_recipe_of_the_shipped_models_is_valid_and_frozen(demo):
    """Its photos are those that bench.shipped.photos links into the workspace."""
    configure(demo, [ROOT / "configs/shipped.yaml"])
    p = load_params(demo)
    assert p.synthesize.edition == 2 and p.synthesize.backgrounds == "data/photos/backgrounds"
    for section in (p.train_detector, p.train_landmarker):
        assert section.backbone == "tf_efficientnet_lite0" and section.pretrained == "package"
        assert section.freeze_backbone and section.start_from is None
    assert p.train_landmarker.decode_prior and p.train_landmarker.pseudo_label_weight == 0


def test_a_linked_file_of_parameters_is_changed_where_it_lies_and_stays_private(demo, tmp_path):
    (tmp_path / "shared").mkdir()
    demo.chmod(0o600)
    demo.rename(tmp_path / "shared/params.yaml")
    demo.symlink_to("shared/params.yaml")
    (tmp_path / "r.yaml").write_text("seed: 17\n")
    configure(demo, [tmp_path / "r.yaml"])
    assert demo.is_symlink() and load_params(tmp_path / "shared/params.yaml").seed == 17
    assert demo.stat().st_mode & 0o777 == 0o600
