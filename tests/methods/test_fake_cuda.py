"""Every network's training loss and prediction on a GPU that is not there (``fake_cuda``).

A tensor made on the wrong device fails here as it would on a GPU. The numbers are the CPU's, and where
torch's ``FakeTensorMode`` can follow, no step waits for the GPU.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from detection_networks import ONCE, SMALL_HTC, target
from drawn_quads import LINKS, MIRROR, PARAMS, quads
from fake_cuda import CUDA, GpuGenerator, numbers_on_gpu, shapes_on_gpu, to_gpu
from torch import nn
from torch.utils._pytree import tree_map
from untrained_models import DETECTOR

from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.alignment.data import AlignmentSamples
from fashion_ops.methods.alignment.deeppose.inference import DeepPose
from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.deeppose.module import PatchModule
from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.dfa.module import StageModule
from fashion_ops.methods.alignment.dfa.targets import fit_labels
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.module import GLEModule
from fashion_ops.methods.alignment.idpr.inference import Idpr, Router
from fashion_ops.methods.alignment.idpr.model import IdprNet
from fashion_ops.methods.alignment.idpr.module import IdprModule
from fashion_ops.methods.alignment.idpr.relations import make_trees
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.candidates import decode_candidates
from fashion_ops.methods.centernet.decode import decode_fixed, grouping_slots
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.module import CenterNetModule, DetectorSettings
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.model import CascadeRCNN
from fashion_ops.methods.detection.module import DetectionModule
from fashion_ops.methods.parts.augment import Warp, warp_batch
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.position_constraint import Constraint, left_and_right
from fashion_ops.methods.parts.regions import region_size
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.posefix.model import LandmarkerPoseFix, PoseFix
from fashion_ops.methods.posefix.module import RefinerModule, RefinerSettings
from fashion_ops.methods.top_down.decode import DecodeConfig, decode, predict_heatmaps
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.module import LandmarkerModule, LandmarkerSettings
from fashion_ops.params import GLEConfig, PostProcess, TrainLandmarker
from fashion_ops.taxonomy import CATEGORIES, category, load_grouping
from fashion_ops.taxonomy.alignment import point_set

GROUPING = load_grouping("agg81")
SKIRT = category("skirt")
FLD = point_set("fld8")
WARP = Warp(flip=0.5, rotation=15, scale=0.1, shift=0.03, color=0.2)
CONSTRAINT = Constraint(0.1, left_and_right(GROUPING), 5)
RNG = np.random.default_rng(0)
LITE = "tf_efficientnet_lite0"


def points(*shape, size):
    """Points in a picture of ``size`` pixels, of visibility 0 to 2."""
    xy = RNG.uniform(0, size, (*shape, 2))
    return torch.from_numpy(np.concatenate([xy, RNG.integers(0, 3, (*shape, 1))], -1)).float()


def pixels(*shape):
    return torch.from_numpy(RNG.integers(0, 256, shape, np.uint8))


def detector(warp=None, jitter=0.4, backbone="tiny", pretrained=None):
    """Without ``scale`` the images are only flipped; pretrained backbones are frozen."""
    torch.manual_seed(0)
    net = CenterNet(backbone, 81, 16, 16, pretrained)
    if pretrained:
        net.freeze_backbone()
    warp = warp or Warp(flip=0.5, scale=0.1, shift=0.03, color=0.1)
    settings = DetectorSettings(warp, "published", 1, 1.0, jitter, 0.1, CONSTRAINT)
    corners = np.sort(RNG.uniform(0, 64, (2, 3, 2, 2)), 2).reshape(2, 3, 4)
    batch = {
        "image": pixels(2, 3, 64, 64),
        "boxes": torch.from_numpy(corners).float(),
        "category": torch.tensor([[1, 9, 0], [13, 0, 0]]),
        "landmarks": points(2, 3, 81, size=64),
    }
    return CenterNetModule(net, ONCE, settings, torch.from_numpy(GROUPING.mirror()), 0), batch


def landmarker(
    loss="cross_entropy", mask=False, head="heatmap", backbone="hrnet_w8_tiny", pretrained=None
):
    torch.manual_seed(0)
    config = TrainLandmarker(backbone=backbone, precision="fp32")
    decoding = DecodeConfig(channel_mask=mask, head=head)
    settings = LandmarkerSettings((64, 64), 1.5, loss, WARP, decoding, CONSTRAINT, 0.1)
    model = Landmarker(config.backbone, 81, 4, pretrained, head=head, crop=(64, 64))
    if pretrained:
        model.freeze_backbone()
    module = LandmarkerModule(model, config.backbone, config, settings, GROUPING, 0)
    width, height = region_size((64, 64))
    batch = {
        "region": pixels(3, 3, height, width),
        "landmarks": points(3, 81, size=64),
        "category": torch.tensor([1, 9, 13]),
        "soft_label": torch.full((3, 4), 0.25),
    }
    return module, batch


def refiner(backbone="landmarker"):
    torch.manual_seed(0)
    n = SKIRT.num_landmarks
    net = PoseFix(backbone, n, 3.0) if backbone != "landmarker" else None
    net = net or LandmarkerPoseFix("hrnet_w8_tiny", n, 3.0)
    module = RefinerModule(net, ONCE, RefinerSettings((64, 64), WARP, 0.5), SKIRT, 0)
    width, height = region_size((64, 64))
    batch = {"region": pixels(3, 3, height, width), "landmarks": points(3, 3 * n + 2, size=64)}
    return module, batch


def gle(loss="cross_entropy"):
    torch.manual_seed(0)
    config = GLEConfig(position_constraint=0.1, loss=loss, flip=0.5, rotation=5.0, scale=0.1)
    module = GLEModule(GLE("tiny", 8, 1, joined=False), config, FLD.mirror, 0)
    width, height = region_size(config.crop)
    batch = {"region": pixels(3, 3, height, width), "landmarks": points(3, 8, size=48)}
    return module, batch


DATA = quads(12, 5)
OBSERVED = DATA.shapes.observed
PREVIOUS = DATA.shapes.positions + RNG.normal(0, 0.02, DATA.shapes.positions.shape)
DFA = PARAMS.model_copy(update={"position_constraint": 0.1, "clusters": 3})


def dfa(space, cascade):
    torch.manual_seed(0)
    previous = PREVIOUS if cascade else None
    labels = fit_labels(DFA, space, DATA.shapes.positions, previous, OBSERVED, 0)
    net = StageNet("tiny", 32, 4, len(labels.centers), cascade=cascade, dropout=0.0)
    samples = AlignmentSamples(DATA.crops, DATA.shapes, previous)
    return StageModule(net, DFA, labels, MIRROR, 0), samples.__getitems__([0, 1, 2, 3])


def deeppose():
    torch.manual_seed(0)
    samples = AlignmentSamples(DATA.crops, DATA.shapes, PREVIOUS)
    return PatchModule(PatchStage("tiny", 32, 4, None, 0.0), DFA, MIRROR, 0), samples.__getitems__(
        [0, 1, 2, 3]
    )


def idpr():
    torch.manual_seed(0)
    trees = make_trees(DATA.shapes, LINKS, 0)
    labels = fit_labels(DFA, "configuration", DATA.shapes.positions, None, OBSERVED, 0)
    net = IdprNet("tiny", 32, 4, trees, len(labels.centers))
    samples = AlignmentSamples(DATA.crops, DATA.shapes)
    return IdprModule(net, DFA, trees, labels, MIRROR, 0), samples.__getitems__([0, 1, 2, 3])


def boxes(kind):
    torch.manual_seed(0)
    net = CascadeRCNN(replace(SMALL_HTC, kind=kind), short_sides=(48, 64))
    garments = [target([[4, 4, 40, 40], [10, 20, 60, 60]], [1, 9]), target([[8, 8, 50, 50]], [13])]
    batch = {"images": [pixels(3, 64, 64), pixels(3, 64, 64)], "targets": garments}
    return DetectionModule(net, ONCE, 0.5, 0), batch


LOSSES = {
    "detector": detector,
    "detector, flips only": lambda: detector(Warp(flip=0.5), 0.0),
    "detector, frozen lite": lambda: detector(backbone=LITE, pretrained="package"),
    "landmarker": landmarker,
    "landmarker, frozen lite": lambda: landmarker(backbone=LITE, pretrained="package"),
    "landmarker, squared error, masked": lambda: landmarker("mse", True),
    "landmarker, simcc": lambda: landmarker(head="simcc", backbone="vit_w32_tiny"),
    "landmarker, rle": lambda: landmarker(head="rle"),
    "landmarker, dinov3": lambda: landmarker(backbone="vit_tiny_patch16_dinov3_qkvb"),
    "refiner": refiner,
    "refiner, published": lambda: refiner("resnet50"),
    "gle": gle,
    "gle, squared error": lambda: gle("mse"),
    "dfa 1": lambda: dfa("configuration", False),
    "dfa 2": lambda: dfa("offset", True),
    "dfa 3": lambda: dfa("context", True),
    "deeppose": deeppose,
    "idpr": idpr,
    "cascade_rcnn": lambda: boxes("cascade_rcnn"),
    "htc": lambda: boxes("htc"),
}
# Their shapes depend on data: selected garments, sampled boxes.
WAITING = ("detector", "detector, flips only", "detector, frozen lite", "cascade_rcnn", "htc")


@pytest.fixture(autouse=True)
def start_of_the_run(monkeypatch):
    monkeypatch.setattr(TrainingModule, "progress", property(lambda _: 0.5))


def there(batch):
    return tree_map(lambda x: x.to(CUDA) if isinstance(x, torch.Tensor) else x, batch)


@pytest.mark.parametrize("name", LOSSES)
def test_a_training_loss_stays_on_the_gpu_and_equals_the_cpus(name):
    module, batch = LOSSES[name]()
    twin = copy.deepcopy(module)
    expected = module.losses(copy.deepcopy(batch), torch.Generator().manual_seed(3))
    with numbers_on_gpu():
        losses = to_gpu(twin).losses(there(batch), GpuGenerator().manual_seed(3))
        assert {str(loss.device) for loss in losses.values()} == {"cuda:0"}
        losses = {k: loss.cpu() for k, loss in losses.items()}
    torch.testing.assert_close(losses, {k: v.detach() for k, v in expected.items()})


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in WAITING])
def test_a_training_loss_does_not_wait_for_the_gpu(name):
    module, batch = LOSSES[name]()
    with shapes_on_gpu():
        losses = to_gpu(module).losses(there(batch), GpuGenerator())
        assert {str(loss.device) for loss in losses.values()} == {"cuda:0"}


def test_flips_alone_do_not_wait_for_the_gpu():
    batch = pixels(4, 3, 32, 32), points(4, 81, size=32), torch.from_numpy(GROUPING.mirror())
    with shapes_on_gpu():
        images, landmarks, mirror = there(batch)
        flipped, _ = warp_batch(images, landmarks, (32, 32), mirror, Warp(flip=0.5), GpuGenerator())
        assert str(flipped.device) == "cuda:0"


@pytest.mark.parametrize("on_gpu", [shapes_on_gpu, numbers_on_gpu])
def test_a_tensor_on_the_wrong_device_fails(on_gpu, monkeypatch):
    import fashion_ops.methods.top_down.module as module_file

    real = module_file.heatmap_targets
    monkeypatch.setattr(
        module_file, "heatmap_targets", lambda *args: tuple(t.cpu() for t in real(*args))
    )
    module, batch = landmarker()
    with on_gpu(), pytest.raises(RuntimeError, match="same device"):
        to_gpu(module).losses(there(batch), GpuGenerator())


def test_reading_a_number_of_the_gpu_fails_in_a_step_and_numpy_everywhere(monkeypatch):
    with shapes_on_gpu(), pytest.raises(Exception, match="local_scalar_dense"):
        float(torch.ones((), device=CUDA))
    with numbers_on_gpu() as mode:
        assert float(torch.ones((), device=CUDA)) == 1.0 and len(mode.reads) == 1
        with pytest.raises(TypeError, match="cpu"):
            torch.ones(3, device=CUDA).numpy()


def equal_on_gpu(predict, *models):
    """What ``predict`` returns with the models on the CPU, and whether it is the same on the GPU."""
    twins = copy.deepcopy(models)
    expected = predict(CPU, *models)
    with numbers_on_gpu() as mode:
        result = predict(CUDA, *map(to_gpu, twins))
        reads = len(mode.reads)
    np.testing.assert_equal(tree_map(np.asarray, result), tree_map(np.asarray, expected))
    return expected, reads


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A detector and a landmarker, untrained."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    detector = CenterNet("tiny", 81, 16, 16)
    with torch.no_grad():
        detector.heads["wh"].out.bias.fill_(4.0)  # boxes of some size
    for name, model, spec in (
        ("detector", detector, DETECTOR),
        ("landmarker", Landmarker("hrnet_w8_tiny", 81), LANDMARKER),
    ):
        (folder / name).mkdir()
        save_model(folder / name, model, spec)
    return folder


PHOTO = RNG.integers(0, 256, (90, 70, 3), np.uint8)
LANDMARKER = {
    "method": "top_down",
    "backbone": "hrnet_w8_tiny",
    "grouping": "agg81",
    "clusters": 0,
    "crop": [64, 64],
    "padding": 1.25,
    "precision": "fp32",
    "heatmap": {"loss": "cross_entropy", "sigma": 1.5},
}


def test_a_photo_has_the_same_garments_on_the_gpu(folder):
    def predict(device):
        detector = Detector.load(folder / "detector", device)
        landmarker = LandmarkPredictor.load(folder / "landmarker", device)
        answers = []
        for nms, on in (("hard", True), ("soft", False)):
            model = landmarker.with_decoding(
                flip_test=on, channel_mask=on, decode="dark" if on else "argmax"
            )
            pipeline = LandmarkPipeline(model, {c.id: model for c in CATEGORIES}, {})
            post = PostProcess(nms=nms, scales=(0.75,), mask=on, flip=on)
            predictor = Predictor(detector.with_post(post), pipeline)
            for g in predictor.predict(PHOTO, 0.0, "finetuned"):
                answers.append((g.category, g.score, g.box, list(g.landmarks.values())))
        return answers

    garments, _ = equal_on_gpu(predict)
    assert len(garments) > 2


def test_the_search_reads_the_same_candidates_on_the_gpu(folder):
    def candidates(device):
        detector = Detector.load(folder / "detector", device)
        slots, post = grouping_slots(detector.grouping).to(device), detector.post
        inputs, _ = detector.letterbox([PHOTO, PHOTO[::-1]])
        with torch.inference_mode():
            maps = detector.maps(inputs)
            found = decode_candidates(maps, slots, post, (0.0, 0.5), (0.5, 1.0), 0.01, 20)
        return list(vars(found).values())

    found, _ = equal_on_gpu(candidates)
    assert len(found[0])


@pytest.mark.parametrize("kind", ["cascade_rcnn", "htc"])
def test_a_box_detector_finds_the_same_boxes_on_the_gpu(kind):
    torch.manual_seed(0)
    model = CascadeRCNN(replace(SMALL_HTC, kind=kind)).eval()
    for stage in model.roi_heads.stages:
        nn.init.normal_(stage.box_predictor["category"].weight, std=0.5)
        nn.init.normal_(stage.box_predictor["box"].weight, std=0.1)

    def detect(device, model):
        spec = {"score_threshold": 0.1, "precision": "fp32"}
        found = BoxDetector(model, spec, (1.0, 0.75), flip=True).detect([PHOTO, PHOTO[:60]])
        return [[(b.box, b.score, b.category_id) for b in image] for image in found]

    found, _ = equal_on_gpu(detect, model)
    assert all(found)


@pytest.mark.parametrize(
    ("loss", "head"),
    [("mse", "heatmap"), ("cross_entropy", "heatmap"), ("mse", "simcc"), ("mse", "rle")],
)
def test_a_landmarker_reads_the_gpu_once_a_batch(loss, head, monkeypatch):
    import fashion_ops.methods.top_down.inference as inference

    monkeypatch.setattr(inference, "BATCH", 4)
    torch.manual_seed(0)
    model = Landmarker("hrnet_w8_tiny", 81, head=head, crop=(64, 64)).eval()
    crops = pixels(9, 3, 64, 64)
    spec = {
        "head": head,
        "grouping": "agg81",
        "crop": [64, 64],
        "precision": "fp32",
        "heatmap": {"loss": loss, "sigma": 1.5},
        "flip_test": True,
        "channel_mask": True,
    }

    def predict(device, model):
        predictor = LandmarkPredictor(model, spec, device)
        return predictor.predict_channels_and_stds(crops, np.arange(1, 10))

    _, reads = equal_on_gpu(predict, model)
    assert reads == 3  # 9 crops


def test_a_refiner_refines_alike_on_the_gpu():
    torch.manual_seed(0)
    n = SKIRT.num_landmarks
    model, crops = LandmarkerPoseFix("hrnet_w8_tiny", n, 3.0).eval(), pixels(2, 3, 64, 64)
    spec = {"category": "skirt", "crop": [64, 64], "precision": "fp32", "flip_test": True}
    poses = points(2, n, size=64)
    equal_on_gpu(lambda device, m: Refiner(m, spec, device).refine(crops, poses).cpu(), model)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_gle_predicts_alike_on_the_gpu(loss):
    torch.manual_seed(0)
    spec = {
        "points": "fld8",
        "settings": GLEConfig(backbone="tiny", loss=loss, precision="fp32").model_dump(),
    }
    crops = pixels(2, 3, 48, 48)
    model = GLE("tiny", 8, 1).eval()
    equal_on_gpu(lambda device, m: GLEPredictor(m, spec, device).predict_crops(crops), model)


def test_the_cascades_of_alignment_predict_alike_on_the_gpu():
    first, _ = dfa("configuration", False)
    third, _ = dfa("context", True)
    spec = {"precision": "fp32"}
    router = (np.array([0.1, 0.2, 0.3]), 0.2)

    def predict(device, easy, hard, patches):
        one = TrainedStage((easy,), None, spec).predict(DATA.crops)
        routed = TrainedStage((hard, hard), None, spec, router).predict(DATA.crops, one)
        mean = TrainedStage((hard, hard), None, spec).predict(DATA.crops, one)
        corrected = DeepPose(TrainedStage((easy,), None, spec), (patches,)).predict(DATA.crops)
        return [value for found in (routed, mean, corrected) for value in vars(found).values()]

    equal_on_gpu(predict, first.model, third.model, deeppose()[0].model)


def test_idpr_predicts_alike_on_the_gpu():
    module, _ = idpr()
    net, trees = module.model, make_trees(DATA.shapes, LINKS, 0)
    head = nn.Linear(32, 3)

    def predict(device, net, head):
        router = Router(net, head, np.array([0.1, 0.2, 0.3]), 0.2)
        return Idpr((net, net), trees, 0.3, "fp32", router).predict(DATA.crops, DATA.shapes.slots)

    equal_on_gpu(predict, net, head)


@pytest.mark.parametrize(
    "backbone",
    ["small", "hrnet_w18_small", "mdla34", "dla34_dcn", "resnet50", "hourglass104"],
)
def test_a_detector_of_published_size_predicts_on_the_gpu(backbone):
    spec = {"grouping": "agg81", "backbone": backbone, "input_size": 512}
    with shapes_on_gpu():
        with torch.device(CUDA):
            model = CenterNet(backbone, 81).eval()
        detector = Detector(TorchNetwork(model, "auto", CUDA), spec, PostProcess())
        maps = detector.maps(torch.zeros(2, 3, 512, 512, dtype=torch.uint8))
        assert {(str(m.device), m.dtype) for m in maps.values()} == {("cuda:0", torch.float32)}
        slots = grouping_slots(GROUPING).to(CUDA)
        decoded = decode_fixed(maps, slots, detector.post, 100)
        assert {str(values.device) for values in decoded} == {"cuda:0"}


@pytest.mark.parametrize("backbone", ["hrnet_w18_small", "resnet50"])
def test_a_landmarker_and_its_refiner_of_published_size_run_on_the_gpu(backbone):
    with shapes_on_gpu():
        with torch.device(CUDA):
            model = Landmarker(backbone, 294, 20).eval()
            refine = LandmarkerPoseFix(backbone, 39, 3.0).eval()
        crops = torch.zeros(2, 3, 384, 288, device=CUDA)
        mirror = torch.from_numpy(load_grouping("none").mirror())
        heat = predict_heatmaps(model, crops, mirror, "mse", 3.0)
        for name in ("argmax", "dark", "integral"):
            found = decode(heat, (288, 384), DecodeConfig(name))
            assert found.device == CUDA and found.shape == (2, 294, 3)
        known = torch.ones(2, 39, dtype=torch.bool, device=CUDA)
        assert refine(crops, found[:, :39, :2], known).device == CUDA


def test_alignment_networks_of_published_size_run_on_the_gpu():
    backbone = "vgg16"
    with shapes_on_gpu():
        with torch.device(CUDA):
            gle = GLE(backbone, 8, 3).eval()
            stage = StageNet(backbone, 224, 8, 20, cascade=True).eval()
            patches = PatchStage(backbone, 224, 8, None, 0.5).eval()
        crops, previous = torch.zeros(2, 3, 224, 224, device=CUDA), torch.zeros(2, 8, 2, device=CUDA)
        assert gle(crops).device == CUDA
        assert stage(crops, previous).positions.device == CUDA
        assert {part.device for part in patches(crops, previous)} == {CUDA}
