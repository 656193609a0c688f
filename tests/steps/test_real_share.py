"""``real_share``: the share of a training's samples that are photos, among images of the wardrobe."""

import json
import shutil

import numpy as np
import pytest
import torch
from raw_data import Data, item, jpeg
from untrained_models import make_models, tiny_params

from fashion_ops.catalog.origin_names import WARDROBE
from fashion_ops.catalog.provenance import DRAWN, are_real
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import TrainingGarments, load_garments
from fashion_ops.methods.artifact import SPEC, save_model
from fashion_ops.methods.centernet import training as detector_training
from fashion_ops.methods.parts import shape_fit
from fashion_ops.methods.parts.real_share import share_weights
from fashion_ops.methods.parts.schedule import EpochSampler
from fashion_ops.methods.parts.shape_prior import ShapePrior, load_priors, save_priors
from fashion_ops.methods.top_down import training as landmarker_training
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import inherit_priors, landmarker_spec
from fashion_ops.params import TrainDetector, TrainLandmarker
from fashion_ops.steps import aggregate, finetune, ingest, pseudo_label, synthesize
from fashion_ops.steps import train_detector as detector_step
from fashion_ops.steps import train_landmarker as landmarker_step
from fashion_ops.taxonomy import category, load_grouping
from fashion_ops.workspace import Workspace

PHOTOS = 3
SMALL = {"backbone": "tiny", "neck_width": 16, "head_width": 16, "input_size": 64, "epochs": 1}


def params_of(ws, share):
    made = tiny_params(ws, train_landmarker={"real_share": share}, synthesize={"validation": 2})
    detector = TrainDetector(**SMALL, batch_size=8, precision="fp32", real_share=share)
    return made.model_copy(update={"train_detector": detector})


@pytest.fixture(scope="module")
def ws(tmp_path_factory):
    """A wardrobe, and an accepted batch of three photos with a skirt each."""
    ws = Workspace(tmp_path_factory.mktemp("mixed"))
    batch = Data(ws.root)
    batch.root = ws.batches / "0001-shop"
    for seed in range(PHOTOS):
        batch.add(f"{seed:06d}", item(), data=jpeg(seed=seed))
    for step in (synthesize, ingest, aggregate, pseudo_label):
        step.run(params_of(ws, 0.5), ws)
    return ws


def test_images_of_batches_are_photos_and_those_of_the_wardrobe_are_not(ws):
    images = Catalog(ws.catalog).images
    real = are_real(Catalog(ws.catalog), images["image_id"].to_numpy())
    assert list(images["file_name"][real].str.startswith("batches/0001-shop/")) == [True] * PHOTOS
    assert images["file_name"][~real].str.match(r"(train|validation)/").all()


def test_a_batch_that_the_wardrobe_drew_holds_no_photos(tmp_path):
    root, batch = Data(tmp_path), Data(tmp_path)
    batch.root = root.ws.batches / "0001-drawn"
    root.add("000001", item(), data=jpeg(seed=1))
    batch.add("000001", item(), data=jpeg(seed=2))
    (batch.root / WARDROBE).write_text("{}")
    catalog = root.ingest()
    assert are_real(catalog, np.array([1, 2, 1])).tolist() == [True, False, True]


def test_an_older_catalog_does_not_say_what_was_drawn(tmp_path):
    made = Data(tmp_path)
    made.add("000001", item())
    catalog = made.ingest()
    (made.ws.catalog / DRAWN).unlink()
    with pytest.raises(FileNotFoundError, match=r"drawn\.json: missing.*`fashion-ops ingest` makes it"):
        are_real(catalog, np.array([1]))


def sampled(monkeypatch, module, train):
    """The weights that a training gives to ``fit``, and its data set."""
    given = {}

    def stop(trained, dataset, options=None, weights=None):
        given.update(dataset=dataset, weights=weights, identity=trained.identity())
        raise InterruptedError

    monkeypatch.setattr(module, "fit", stop)
    with pytest.raises(InterruptedError):
        train()
    return given


@pytest.mark.parametrize(
    ("step", "module"),
    [(landmarker_step, landmarker_training), (detector_step, detector_training)],
    ids=["landmarker", "detector"],
)
def test_the_share_of_the_drawn_samples_is_that_of_the_parameters(ws, monkeypatch, step, module):
    def given(share):
        params = params_of(ws, share)
        return sampled(monkeypatch, module, lambda: step.work(step.prepare(params, ws)))

    mixed = given(0.7)
    assert mixed["identity"]["real_share"] == "0.7"
    dataset, weights = mixed["dataset"], mixed["weights"]
    ids = dataset.image_ids if hasattr(dataset, "image_ids") else dataset.garments.image_id
    real = are_real(Catalog(ws.catalog), ids)
    assert real.sum() == PHOTOS and weights[real].sum() == pytest.approx(0.7)
    sampler, same = (EpochSampler(dataset, 4, weights) for _ in range(2))
    drawn = []
    for epoch in range(60):
        sampler.set_epoch(epoch)
        same.set_epoch(epoch)
        order = list(sampler)
        assert order == list(same) and len(order) == len(dataset)
        drawn += order
    share = real[np.array(drawn) % len(dataset)].mean()
    assert share == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / len(drawn)))  # four deviations
    assert given(None)["weights"] is None


def test_balanced_categories_keep_their_ratios_within_the_photos_and_within_the_drawings():
    real = np.array([True, True, False, False, False])
    balanced = np.array([1.0, 3.0, 2.0, 2.0, 4.0])
    weights = share_weights(0.25, real, "train_landmarker", balanced)
    np.testing.assert_allclose(weights, [0.0625, 0.1875, 0.1875, 0.1875, 0.375])
    only = share_weights(1.0, real, "train_landmarker")
    np.testing.assert_allclose(only, [0.5, 0.5, 0, 0, 0])


def test_finetuning_mixes_only_categories_that_have_photos_and_drawings(ws, tmp_path):
    other = Workspace(tmp_path)
    shutil.copytree(ws.root / "data", other.root / "data")
    params = params_of(other, 0.5)
    make_models(params, other)
    mixed, plain = (finetune.prepare(params, other, name) for name in ("skirt", "trousers"))
    assert mixed.config.real_share == 0.5 and mixed.garments.real.sum() == PHOTOS
    assert plain.config.real_share is None


def test_the_share_is_written_into_the_model(ws):
    config = TrainLandmarker(real_share=0.5)
    assert landmarker_spec(config, "agg81", 0)["training"]["real_share"] == 0.5


@pytest.mark.parametrize("step", [landmarker_step, detector_step])
def test_a_share_of_photos_that_are_not_there_is_refused_in_one_line(ws, tmp_path, step):
    name = step.__name__.rpartition(".")[2]
    other = Workspace(tmp_path)
    shutil.copytree(ws.root / "data", other.root / "data")
    path = other.catalog / DRAWN
    path.write_text(json.dumps({"root": True, "batches": ["0001-shop"]}))
    said = rf"{name}\.real_share is 0\.5, but none of the \d+ training .*`fashion-ops batches`.*null"
    with pytest.raises(ValueError, match=said) as error:
        step.prepare(params_of(other, 0.5), other)
    assert "\n" not in str(error.value)
    path.write_text(json.dumps({"root": False, "batches": []}))
    with pytest.raises(ValueError, match=rf"{name}\.real_share is 0\.5, but all \d+ .*set it to null"):
        step.prepare(params_of(other, 0.5), other)
    assert step.prepare(params_of(other, 1.0), other).config.real_share == 1.0


def test_garments_of_several_sets_know_their_photos_only_if_all_sets_do(ws):
    _, garments = load_garments(ws, "train", real=True)
    both = TrainingGarments.concatenate([garments, garments.take(garments.real)])
    assert both.real.sum() == 2 * PHOTOS and len(both) == len(garments) + PHOTOS
    _, unknown = load_garments(ws, "train")
    assert TrainingGarments.concatenate([garments, unknown]).real is None


def test_a_landmarker_keeps_the_priors_that_it_started_with_where_its_labels_are_too_few(
    ws, tmp_path, monkeypatch
):
    _, garments = load_garments(ws, "train")
    labels = garments.category_id, garments.boxes, garments.landmarks
    monkeypatch.setattr(shape_fit, "LEAST_GARMENTS", 1)
    priors = shape_fit.fit_shape_priors(load_grouping("agg81"), *labels)
    config = TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64))
    skirt, start, trained = category("skirt").id, tmp_path / "start", tmp_path / "trained"
    torch.manual_seed(0)
    model, spec = Landmarker(config.backbone, 81), landmarker_spec(config, "agg81", 0)
    for folder in (start, trained):
        folder.mkdir()
        save_model(folder, model, {**spec, "decode_prior": True})
    save_priors(start, priors)
    own = {skirt: ShapePrior(*(part + 1 for part in vars(priors[skirt]).values()))}
    save_priors(trained, own)
    inherit_priors(trained, start)
    after = load_priors(trained)
    assert after.keys() == priors.keys()
    np.testing.assert_array_equal(after[skirt].mean, own[skirt].mean)
    trousers = category("trousers").id
    np.testing.assert_array_equal(after[trousers].mean, priors[trousers].mean)
    plain = tmp_path / "plain"
    plain.mkdir()
    save_model(plain, model, spec)  # no prior of its own
    inherit_priors(plain, start)
    assert load_priors(plain).keys() == priors.keys()
    assert json.loads((plain / SPEC).read_text())["decode_prior"] is True
