"""The landmarker: targets, losses, schedule; stop and resume; saved and loaded; learns."""

import math

import numpy as np
import pytest
import torch

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.parts import shape_fit
from fashion_ops.methods.parts.backbones import landmarker_backbone
from fashion_ops.methods.parts.crops import apply_matrices
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.heatmaps import CellGrid, heatmap_targets
from fashion_ops.methods.parts.schedule import auxiliary_weight
from fashion_ops.methods.parts.shape_prior import FILE
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.top_down.decode import activate
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.loss import heatmap_loss, label_loss
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import TrainLandmarker
from fashion_ops.taxonomy import category, load_grouping

TINY = TrainLandmarker(
    backbone="hrnet_w8_tiny", crop=(64, 64), lr=4e-3, epochs=3, batch_size=8, precision="fp32"
)
GROUPING = load_grouping("agg81")
SKIRT = category("skirt").id


def drawn_skirts(n: int, seed: int = 0) -> tuple[TrainingGarments, list[np.ndarray]]:
    """Bright trapezoids on noise, labelled as skirts."""
    import cv2

    rng = np.random.default_rng(seed)
    images, points, boxes = [], [], []
    for _ in range(n):
        x, y = rng.uniform(25, 45, 2)
        w, h, flare = rng.uniform(20, 35), rng.uniform(40, 55), rng.uniform(4, 14)
        p = np.array(
            [
                [x, y],
                [x + w / 2, y],
                [x + w, y],
                [x - flare / 2, y + h / 2],
                [x - flare, y + h],
                [x + w / 2, y + h],
                [x + w + flare, y + h],
                [x + w + flare / 2, y + h / 2],
            ]
        )
        image = rng.integers(0, 60, (120, 120, 3)).astype(np.uint8)
        cv2.fillPoly(image, [p[[0, 2, 6, 4]].round().astype(np.int32)], (200, 180, 90))
        images.append(image)
        points.append(np.concatenate([p, np.full((8, 1), 2.0)], 1))
        boxes.append(np.concatenate([p.min(0), p.max(0)]) + rng.uniform(-8, 8, 4))
    soft = np.eye(4, dtype=np.float32)[np.arange(n) % 4]
    landmarks = GROUPING.group(SKIRT, np.stack(points).astype(np.float32))
    return TrainingGarments(np.arange(n), np.full(n, SKIRT), np.array(boxes), landmarks, soft), images


def train(folder, garments, images, epochs=3, prior=True, **options):
    folder.mkdir()
    torch.manual_seed(0)
    model = Landmarker(TINY.backbone, 81, clusters=4)
    return train_landmarker(
        TINY.model_copy(update={"epochs": epochs, "decode_prior": prior}),
        model,
        landmarker_spec(TINY, "agg81", 4),
        garments,
        lambda i: images[i],
        folder,
        TrainerOptions(**options),
        seed=0,
    )


def test_targets_weigh_occluded_like_visible_and_absent_not_at_all():
    landmarks = torch.tensor([[[9.5, 13.5, 2.0], [1.5, 1.5, 1.0], [0.0, 0.0, 0.0]]])
    maps, weight = heatmap_targets(landmarks, CellGrid((48, 64)), 1.5)
    assert maps.shape == (1, 3, 16, 12)
    assert weight.tolist() == [[1, 1, 0]]
    assert maps[0, 0, 3, 2] == 1 and maps[0, 1, 0, 0] == 1  # 9.5 px is the middle of cell 2


def test_heatmap_loss_by_hand():
    predicted = torch.zeros(1, 3, 2, 2)
    target = torch.zeros(1, 3, 2, 2)
    target[0, 0] = 1.0  # four cells off by 1, one of two labelled maps
    target[0, 2] = 5.0  # not labelled: must not count
    assert heatmap_loss(predicted, target, torch.tensor([[1.0, 1.0, 0.0]]), "mse") == 0.5 * 4 / 2


def test_cross_entropy_loss_by_hand():
    predicted = torch.tensor([[[[0.0, math.log(2.0)], [math.log(3.0), 0.0]]]])  # softmax 1 2 3 1 / 7
    target = torch.tensor([[[[0.0, 0.5], [1.0, 0.0]]]])  # sums to 1 as 1/3, 2/3
    loss = heatmap_loss(predicted, target, torch.ones(1, 1), "cross_entropy")
    own = (math.log(1 / 3) + 2 * math.log(2 / 3)) / 3
    assert float(loss) == pytest.approx(own - (math.log(2 / 7) + 2 * math.log(3 / 7)) / 3)


def test_a_softmax_map_is_read_like_a_gaussian_of_peak_one():
    target, _ = heatmap_targets(torch.tensor([[[30.0, 21.0, 2.0]]]), CellGrid((64, 64)), 1.5)
    heat = activate(target.log(), "cross_entropy", 1.5)
    torch.testing.assert_close(heat, target, atol=2e-3, rtol=0)


def test_label_loss_reads_the_row_of_its_own_category():
    logits = torch.zeros(1, 13, 2)
    logits[0, SKIRT - 1] = torch.tensor([0.0, np.log(3.0)])
    loss = label_loss(logits, torch.tensor([[0.5, 0.5]]), torch.tensor([SKIRT]))
    assert float(loss) == pytest.approx(-0.5 * np.log(0.25) - 0.5 * np.log(0.75))


def test_label_weight_lets_go():
    values = [auxiliary_weight(t, 2.0, (0.25, 0.75)) for t in (0, 0.25, 0.5, 0.75, 1)]
    assert values == [2, 2, 1, 0, 0]
    printed = [auxiliary_weight(t, 2.0, (0.25, 0.75), True) for t in (0, 0.25, 0.5, 0.74, 0.75, 1)]
    assert printed == pytest.approx([2, 0, 1, 1.96, 0, 0])  # DFA's eq. 4 to the letter


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A landmarker trained for a few seconds on drawn skirts, and its history."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    garments, images = drawn_skirts(64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape_fit, "LEAST_GARMENTS", 64)
        history = train(folder, garments, images, epochs=12)
    return LandmarkPredictor.load(folder, CPU), history


def test_learns_drawn_skirts(trained):
    """Median error below 0.4 of the mean shape's on images it has not seen."""
    model, history = trained
    assert history[-1]["heatmap"] < 0.5 * history[0]["heatmap"]
    assert "label" in history[0] and "label" not in history[-1]  # the pseudo-labels let go
    assert (
        list(model.used_priors) == [SKIRT] and not model.with_decoding(decode_prior=False).used_priors
    )
    test, images = drawn_skirts(16, seed=9)
    found = model.predict(lambda i: images[i], test.image_id, test.boxes, test.category_id)
    truth = GROUPING.ungroup(SKIRT, test.landmarks)[..., :2]
    error = np.linalg.norm(np.stack(found)[..., :2] - truth, axis=-1)
    extent = (test.boxes[:, 2:] - test.boxes[:, :2])[:, None]
    relative = ((truth - test.boxes[:, None, :2]) / extent).mean(0)
    baseline = np.linalg.norm(test.boxes[:, None, :2] + relative * extent - truth, axis=-1)
    assert np.median(error) < 0.4 * np.median(baseline)


def test_without_decode_prior_the_folder_has_none_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(shape_fit, "LEAST_GARMENTS", 8)
    garments, images = drawn_skirts(8)
    train(tmp_path / "model", garments, images, epochs=1, prior=False)
    assert not (tmp_path / "model" / FILE).exists()
    model = LandmarkPredictor.load(tmp_path / "model", CPU)
    assert not model.used_priors
    with pytest.raises(ValueError, match="this model has no shape priors"):
        model.with_decoding(decode_prior=True)


def test_resumed_equals_undisturbed(tmp_path):
    garments, images = drawn_skirts(24)
    train(tmp_path / "whole", garments, images)

    class Killed(Exception):
        pass

    def die(epoch, losses):
        if epoch == 2:
            raise Killed

    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(Killed):
        train(tmp_path / "broken", garments, images, checkpoint=checkpoint, on_epoch=die)
    seen = []
    history = train(
        tmp_path / "resumed",
        garments,
        images,
        checkpoint=checkpoint,
        on_epoch=lambda epoch, _: seen.append(epoch),
    )
    assert seen == [3] and len(history) == 3
    for name in ("weights.safetensors", "model.json", "history.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes()


def test_loaded_model_predicts_the_same_and_is_equivariant_to_flips(tmp_path):
    garments, images = drawn_skirts(8)
    train(tmp_path / "m", garments, images, epochs=2)
    a, b = LandmarkPredictor.load(tmp_path / "m", CPU), LandmarkPredictor.load(tmp_path / "m", CPU)
    crops = torch.randint(0, 255, (3, 3, 64, 64), dtype=torch.uint8)
    ids = np.full(3, SKIRT)
    one, two = a.predict_crops(crops, ids), b.predict_crops(crops, ids)
    np.testing.assert_array_equal(np.stack(one), np.stack(two))
    flipped = np.stack(a.predict_crops(crops.flip(-1), ids))[:, category(SKIRT).mirror()]
    flipped[..., 0] = 63 - flipped[..., 0]
    np.testing.assert_allclose(flipped, np.stack(one), atol=0.05)


def test_predictions_come_back_in_image_pixels(trained):
    """The same garments in images enlarged twofold: landmarks double (pixel centres)."""
    import cv2

    model, _ = trained
    test, images = drawn_skirts(16, seed=9)
    small = model.predict(lambda i: images[i], test.image_id, test.boxes, test.category_id)
    big = model.predict(
        lambda i: cv2.resize(images[i], None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR),
        test.image_id,
        (test.boxes + 0.5) * 2 - 0.5,
        test.category_id,
    )
    wanted = (np.stack(small)[..., :2] + 0.5) * 2 - 0.5
    assert np.median(np.linalg.norm(np.stack(big)[..., :2] - wanted, axis=-1)) < 1


def test_boxes_that_are_empty_outside_or_no_numbers(trained):
    """Landmarks stay finite and within the crop, around an empty box as beside the image."""
    model, _ = trained
    image = np.zeros((120, 120, 3), np.uint8)
    boxes = np.array([[50.0, 50, 50, 50], [60, 60, 40, 40], [500, 500, 600, 700], [-90, -90, -10, -10]])
    found = model.predict(lambda _: image, np.zeros(4), boxes, np.full(4, SKIRT))
    extent = np.maximum(boxes[:, 2:] - boxes[:, :2], 1).max(1) * TINY.padding
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    off = np.abs(np.stack(found)[..., :2] - center[:, None]).max((1, 2))
    assert (off <= 0.55 * extent).all()
    boxes[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"box 1 is \[nan 60\. 40\. 40\.\], must be four finite"):
        model.matrices(boxes)


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model here"):
        LandmarkPredictor.load(tmp_path, CPU)
    (tmp_path / "model.json").write_text('{"method": "centernet"}')
    with pytest.raises(ValueError, match="method is 'centernet', expected 'top_down'"):
        LandmarkPredictor.load(tmp_path, CPU)


def test_backbone_errors():
    with pytest.raises(ValueError, match="unknown 'hrnet_w9000'"):
        landmarker_backbone("hrnet_w9000")
    with pytest.raises(ValueError, match=r"no pretrained weights; set train_landmarker\.pretrained"):
        landmarker_backbone("hrnet_w8_tiny", pretrained="ms_in1k")


def test_matrices_used_by_inference_match_training(tmp_path):
    """Training regions and inference crops place the same landmark at the same crop pixel."""
    from fashion_ops.methods.parts.regions import Regions

    garments, images = drawn_skirts(4)
    regions = Regions(garments, lambda i: images[i], TINY.crop, TINY.padding)
    margin = (np.array(regions.size) - np.array(TINY.crop)) / 2
    train(tmp_path / "m", garments, images, epochs=1)
    matrices = LandmarkPredictor.load(tmp_path / "m", CPU).matrices(garments.boxes)
    own = garments.landmarks[:, GROUPING.channels(SKIRT)]
    inference = apply_matrices(matrices, own[..., :2])
    training = regions.landmarks[:, GROUPING.channels(SKIRT), :2] - margin
    np.testing.assert_allclose(training, inference, atol=1e-4)
