"""What ``bench.gpu`` measures: every method at the size of ``configs/``, or tiny for a test.

Each method trains by its own training function on drawn photos, decoded from JPEG and cut for every
batch as with data sets that do not fit in memory, then predicts by its own predictor.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fashion_ops.catalog.alignment.reader import AlignmentLandmarks
from fashion_ops.catalog.reader import decode_rgb
from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.alignment import crops as alignment_crops
from fashion_ops.methods.alignment.crops import Crops, frame_of
from fashion_ops.methods.alignment.data import AlignmentData, AlignmentSamples, Shapes
from fashion_ops.methods.alignment.deeppose.inference import DeepPose
from fashion_ops.methods.alignment.deeppose.training import train_deeppose
from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.training import train_stage
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.gle.training import train_gle
from fashion_ops.methods.alignment.idpr.inference import Idpr
from fashion_ops.methods.alignment.idpr.training import train_idpr
from fashion_ops.methods.centernet import data as centernet_data
from fashion_ops.methods.centernet.data import Images
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.centernet.training import DetectorData, train_detector
from fashion_ops.methods.detection.data import LabelledImages
from fashion_ops.methods.detection.inference import BoxDetector
from fashion_ops.methods.detection.model import resizer
from fashion_ops.methods.detection.training import train_box_detector, untrained_model
from fashion_ops.methods.parts import regions
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.heatmaps import STRIDE, soft_argmax
from fashion_ops.methods.parts.precision import autocast
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.methods.posefix.data import RefinerData
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.posefix.training import refine_config, train_refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.methods.top_down.loss import as_logits
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.training import landmarker_spec, train_landmarker
from fashion_ops.params import (
    CategoryTraining,
    DfaStage,
    GLEConfig,
    Params,
    Refine,
    TrainBoxDetector,
    TrainDetector,
    TrainLandmarker,
    load_params,
    read_yaml,
)
from fashion_ops.params.section import read_mapping
from fashion_ops.taxonomy import CATEGORIES, Grouping, category, load_grouping
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES, point_set

CONFIGS = Path(__file__).parent.parent / "configs"
WIDTH, HEIGHT = 600, 800  # of a photo
PHOTOS = 48
ONE_RUN = {"epochs": 1, "lr_steps": None, "pretrained": None, "precision": "auto"}


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        name: of the method and its network.
        size: of its input, pixels.
        batch: images or garments of a step.
        data: its data set's class.
        train: (samples, batch, options, an empty folder) -> the trained model; one epoch.
        predict: (model, device) -> number of images or garments that it predicted.
        points: (model, device, precision) -> coordinates in pixels of its input that change little when
            the outputs of the network change little, unlike peaks of an untrained network.
    """

    name: str
    size: str
    batch: int
    data: type
    train: Callable[[int, int, TrainerOptions, Path], Any]
    predict: Callable[[Any, torch.device], int]
    points: Callable[[Any, torch.device, str], np.ndarray]


class Photos:
    """JPEGs of smooth noise, by image id; any id is one of a few photos."""

    def __init__(self, count: int, width: int, height: int) -> None:
        rng = np.random.default_rng(0)
        self.size = width, height
        self.files = []
        for _ in range(count):
            image = np.full((height, width, 3), 128.0, np.float32)
            for cells, strength in ((4, 60), (24, 30), (120, 14)):
                coarse = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
                image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
            self.files.append(bytes(cv2.imencode(".jpg", image.clip(0, 255).astype(np.uint8))[1]))

    def __call__(self, image_id: int, shrink: int = 1) -> np.ndarray:
        """Decode a photo, RGB uint8 (H, W, 3)."""
        return decode_rgb(self.files[image_id % len(self.files)], "photo", shrink=shrink)

    def boxes(self, count: int) -> np.ndarray:
        """Draw boxes (N, 4) that take some two thirds of a photo's sides."""
        ends = np.random.default_rng(1).uniform((0, 0, 0.65, 0.65), (0.3, 0.3, 1, 1), (count, 4))
        return (ends * (*self.size, *self.size)).astype(np.float32)

    def points(self, boxes: np.ndarray, landmarks: int) -> np.ndarray:
        """Draw visible landmarks (N, n, 3) within boxes."""
        share = np.random.default_rng(2).uniform(0.05, 0.95, (len(boxes), landmarks, 2))
        xy = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
        return np.concatenate([xy, np.full((*xy.shape[:2], 1), 2.0)], 2).astype(np.float32)

    def garments(self, count: int, grouping: Grouping, only: str | None = None) -> TrainingGarments:
        """One garment on each of ``count`` photos, of all categories or of one."""
        boxes = self.boxes(count)
        kinds = np.arange(count) % len(CATEGORIES) + 1
        if only is not None:
            kinds = np.full(count, category(only).id)
        landmarks = np.stack(
            [
                grouping.group(int(kind), self.points(box[None], CATEGORIES[kind - 1].num_landmarks)[0])
                for kind, box in zip(kinds, boxes, strict=True)
            ]
        )
        return TrainingGarments(
            np.arange(count), kinds, boxes, landmarks, np.zeros((count, 0), np.float32)
        )

    def aligned(self, count: int) -> AlignmentLandmarks:
        """One garment with FLD's eight landmarks on each of ``count`` photos."""
        boxes = self.boxes(count)
        points = self.points(boxes, 8)
        ids, zeros = np.arange(count), np.zeros(count, np.int64)
        kinds = np.full(count, CLOTHES_TYPES.index("full") + 1)
        present = np.ones((count, 8), bool)
        visibility = points[..., 2].astype(np.int64)
        return AlignmentLandmarks(
            ids, ids, ids, kinds, zeros, boxes, points[..., :2], visibility, present
        )


@contextmanager
def nothing_cached() -> Iterator[None]:
    """Let data sets cut every sample anew within the block, as those of the papers' sizes do."""
    with (
        mock.patch.object(regions, "CACHE_BYTES", -1),
        mock.patch.object(centernet_data, "CACHE_BYTES", -1),
        mock.patch.object(alignment_crops, "CACHE_BYTES", -1),
    ):
        yield


def methods(small: bool) -> list[Method]:
    """All methods, at the sizes of ``configs/`` or tiny."""
    photos = Photos(4, 90, 120) if small else Photos(PHOTOS, WIDTH, HEIGHT)
    if small:
        return _small(photos)
    params = load_params(CONFIGS / "deepfashion2.yaml")
    recipes = ("mdla34_256", "dla34_256", "resnet50_256", "hourglass_512")
    w32 = params.train_landmarker.model_copy(
        update={"backbone": "hrnet_w32", "crop": (192, 256), "heatmap_sigma": 2.0}
    )
    gle = read_yaml(GLEConfig, CONFIGS / "gle" / "fld.yaml")
    return [
        detector(params.train_detector, photos),
        landmarker(params.train_landmarker, photos),
        refiner(params, photos),
        box_detector(params.train_box_detector, photos),
        detector(_recipe(recipes[0]), photos),
        landmarker(w32, photos),
        dfa(params.dfa_stage, photos),
        deeppose(params.dfa_stage, photos),
        idpr(params.dfa_stage, photos),
        full_resolution(gle, photos),
        *(detector(_recipe(name), photos) for name in recipes[1:]),
    ]


def _recipe(name: str) -> TrainDetector:
    section = read_mapping(CONFIGS / "deepmark" / f"{name}.yaml")["train_detector"]
    return TrainDetector.model_validate(section)


def _small(photos: Photos) -> list[Method]:
    tiny = TrainDetector(backbone="tiny", neck_width=16, head_width=16, input_size=64, batch_size=2)
    top_down = TrainLandmarker(backbone="hrnet_w8_tiny", crop=(64, 64), batch_size=2)
    params = Params(train_landmarker=top_down, refine=Refine(batch_size=2, pose_sigma=3.0))
    boxes = {"kind": "cascade_rcnn", "backbone": "small", "short_side": 64, "long_side": 96}
    stage = DfaStage(backbone="tiny", input_size=48, batch_size=2, clusters=2, epsilon=None)
    return [
        detector(tiny, photos),
        landmarker(top_down, photos),
        refiner(params, photos),
        box_detector(TrainBoxDetector.model_validate({**boxes, "samples": 8, "batch_size": 2}), photos),
        dfa(stage, photos),
        deeppose(stage, photos),
        idpr(stage, photos),
        full_resolution(GLEConfig(backbone="tiny", batch_size=2), photos),
    ]


def detector(config: TrainDetector, photos: Photos) -> Method:
    """CenterNet on whole photos."""
    grouping = load_grouping("agg81")

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> Detector:
        run = config.model_copy(update={**ONE_RUN, "batch_size": batch, "start_from": None})
        width, height = photos.size
        images = pd.DataFrame({"image_id": np.arange(samples), "width": width, "height": height})
        data = DetectorData(images, photos.garments(samples, grouping), grouping, photos)
        train_detector(run, data, folder, 0, options)
        return Detector.load(folder, torch.device("cpu"))

    def predict(model: Detector, device: torch.device) -> int:
        images = [photos(i) for i in range(16)]
        assert isinstance(model.network, TorchNetwork)
        network = replace(model.network, model=model.network.model.to(device), device=device)
        replace(model, network=network).detect(images)
        return len(images)

    def points(model: Detector, device: torch.device, precision: str) -> np.ndarray:
        assert isinstance(model.network, TorchNetwork)
        network = TorchNetwork(model.network.model.to(device), precision, device)
        square = np.stack([cv2.resize(photos(i), (config.input_size,) * 2) for i in range(2)])
        maps = network(torch.from_numpy(square).permute(0, 3, 1, 2))
        return (maps["hps"] * STRIDE).cpu().numpy()

    size = f"{config.input_size}x{config.input_size}"
    name = f"detector {config.backbone}"
    return Method(name, size, config.batch_size, Images, train, predict, points)


def landmarker(config: TrainLandmarker, photos: Photos) -> Method:
    """The universal landmarker."""
    grouping = load_grouping("agg81")

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> LandmarkPredictor:
        run = config.model_copy(update={**ONE_RUN, "batch_size": batch})
        torch.manual_seed(0)
        model = Landmarker(config.backbone, grouping.num_groups)
        spec = landmarker_spec(run, grouping.name, 0)
        garments = photos.garments(samples, grouping)
        train_landmarker(run, model, spec, garments, photos, folder, options, seed=0)
        return LandmarkPredictor.load(folder, torch.device("cpu"))

    def predict(model: LandmarkPredictor, device: torch.device) -> int:
        garments = photos.garments(64, grouping)
        here = replace(model, model=model.model.to(device), device=device)
        here.predict(photos, garments.image_id, garments.boxes, garments.category_id)
        return len(garments)

    def points(model: LandmarkPredictor, device: torch.device, precision: str) -> np.ndarray:
        pixels = _pixels(photos, config.crop, device)
        with torch.inference_mode(), autocast(precision, device):
            heat = model.model.to(device)(pixels)
        return (soft_argmax(as_logits(heat, config.loss)) * STRIDE).cpu().numpy()

    name = f"landmarker {config.backbone}"
    return Method(name, _text(config.crop), config.batch_size, Regions, train, predict, points)


def refiner(params: Params, photos: Photos) -> Method:
    """PoseFix for skirts, beside an untrained landmarker."""
    grouping, kind, config = load_grouping("agg81"), category("skirt"), params.train_landmarker

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> Refiner:
        refine = params.refine.model_copy(update={"pretrained": None, "precision": "auto"})
        run = refine_config(refine, CategoryTraining(lr=5e-4, epochs=1))
        torch.manual_seed(0)
        landmarks = LandmarkPredictor(
            Landmarker(config.backbone, grouping.num_groups).eval(),
            landmarker_spec(config, grouping.name, 0),
            torch.device("cpu"),
        )
        garments = photos.garments(samples, grouping, kind.name)
        # an untrained landmarker's predictions are not needed
        poses = photos.points(garments.boxes, kind.num_landmarks)
        train_refiner(
            run.model_copy(update={"batch_size": batch}),
            refine,
            landmarks,
            RefinerData(garments, photos, poses),
            folder,
            options,
            seed=0,
        )
        return Refiner.load(folder, torch.device("cpu"))

    def predict(model: Refiner, device: torch.device) -> int:
        boxes = photos.boxes(64)
        here = replace(model, model=model.model.to(device), device=device)
        here.refine_garments(photos, np.arange(64), boxes, photos.points(boxes, kind.num_landmarks))
        return len(boxes)

    def points(model: Refiner, device: torch.device, precision: str) -> np.ndarray:
        crops = torch.from_numpy(np.stack([_cut(photos, i, config.crop) for i in range(2)]))
        whole = np.tile(np.array([[0, 0, *config.crop]], np.float32), (2, 1))
        pose = torch.from_numpy(photos.points(whole, kind.num_landmarks))
        spec = {**model.spec, "precision": precision}
        here = replace(model, model=model.model.to(device), device=device, spec=spec)
        return here.refine(crops.permute(0, 3, 1, 2), pose)[..., :2].numpy()

    name = f"refiner {params.refine.backbone}"
    return Method(name, _text(config.crop), params.refine.batch_size, Regions, train, predict, points)


def box_detector(config: TrainBoxDetector, photos: Photos) -> Method:
    """Cascade R-CNN or HTC."""

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> BoxDetector:
        run = config.model_copy(update={**ONE_RUN, "batch_size": batch})
        boxes = photos.boxes(samples)
        corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
        garments = pd.DataFrame(
            {
                "image_id": np.arange(samples),
                "garment_id": np.arange(samples),
                "category_id": np.arange(samples) % len(CATEGORIES) + 1,
                "box": list(boxes),
                "polygons": [[outline] for outline in corners],
            }
        )
        torch.manual_seed(0)
        model, ids = untrained_model(run), np.arange(samples)
        train_box_detector(run, model, ids, garments, photos, folder, 0, options)
        return BoxDetector.load(folder, torch.device("cpu"))

    def predict(model: BoxDetector, device: torch.device) -> int:
        model.model.to(device)
        images = [photos(i) for i in range(8)]
        model.detect(images)
        return len(images)

    def points(model: BoxDetector, device: torch.device, precision: str) -> np.ndarray:
        network = model.model.to(device).eval()
        resize = resizer((config.short_side,), config.long_side).eval()
        pixels = torch.from_numpy(photos(0)).to(device).permute(2, 0, 1).float() / 255
        with torch.inference_mode(), autocast(precision, device):
            batch, _ = resize([pixels])
            _, deltas = network.rpn.head(list(network.backbone(batch.tensors).values()))
        return (deltas[0].float() * config.smallest_anchor).cpu().numpy()

    size = f"{config.short_side}x{config.long_side}"
    name = f"box detector {config.kind} {config.backbone}"
    return Method(name, size, config.batch_size, LabelledImages, train, predict, points)


def dfa(config: DfaStage, photos: Photos) -> Method:
    """Stage 1 of DFA, with pseudo-labels."""

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> TrainedStage:
        return train_stage(
            _alone(config, batch), 1, _aligned(config, photos, samples), 0, options=options
        )

    def points(model: TrainedStage, device: torch.device, precision: str) -> np.ndarray:
        for net in model.nets:
            net.to(device)
        here = replace(model, spec={**model.spec, "precision": precision})
        return here.predict(_aligned(config, photos, 2).crops).positions * config.input_size

    return _regression("DFA stage 1", config, photos, train, points)


def deeppose(config: DfaStage, photos: Photos) -> Method:
    """DeepPose; the step that counts is that of its last stage: a network for each landmark."""

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> DeepPose:
        return train_deeppose(
            _alone(config, batch), _aligned(config, photos, samples), 0, options=options
        )

    def points(model: DeepPose, device: torch.device, precision: str) -> np.ndarray:
        for net in (*model.first.nets, *model.patches):
            net.to(device)
        first = replace(model.first, spec={**model.first.spec, "precision": precision})
        crops = _aligned(config, photos, 2).crops
        return replace(model, first=first).predict(crops).positions * config.input_size

    return _regression("DeepPose", config, photos, train, points)


def idpr(config: DfaStage, photos: Photos) -> Method:
    """IDPR with pseudo-labels; its readout is the mean place of each landmark."""
    points_of_fld = point_set("fld8")
    full = point_set("full")
    slots = np.zeros(points_of_fld.num_points, bool)
    slots[full.slots] = True
    links = tuple((int(full.slots[a]), int(full.slots[b])) for a, b in full.links)

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> Idpr:
        data = _aligned(config, photos, samples)
        return train_idpr(_alone(config, batch), data, [(slots, links)], 0, options)

    def points(model: Idpr, device: torch.device, precision: str) -> np.ndarray:
        net = model.nets[0].to(device).eval()
        crops = _aligned(config, photos, 2).crops.take(np.arange(2)).to(device)
        with torch.inference_mode(), autocast(precision, device):
            out = net(normalize(crops / 255).contiguous(memory_format=torch.channels_last))
        maps = out.places.float().unflatten(-1, (out.side, out.side))
        return (soft_argmax(maps) * config.input_size / out.side).cpu().numpy()

    method = _regression("IDPR", config, photos, train, points)

    def predict(model: Idpr, device: torch.device) -> int:
        for net in model.nets:
            net.to(device)
        data = _aligned(config, photos, 64)
        model.predict(data.crops, data.shapes.slots)
        return 64

    return replace(method, predict=predict)


def full_resolution(config: GLEConfig, photos: Photos) -> Method:
    """GLE: heatmaps as large as the crop."""

    def train(samples: int, batch: int, options: TrainerOptions, folder: Path) -> GLEPredictor:
        run = config.model_copy(update={**ONE_RUN, "batch_size": batch})
        return train_gle(run, photos.aligned(samples), photos, options=options)

    def predict(model: GLEPredictor, device: torch.device) -> int:
        here = replace(model, model=model.model.to(device), device=device)
        here.predict(photos, np.arange(64), photos.boxes(64))
        return 64

    def points(model: GLEPredictor, device: torch.device, precision: str) -> np.ndarray:
        with torch.inference_mode(), autocast(precision, device):
            heat = model.model.to(device)(_pixels(photos, config.crop, device))
        return soft_argmax(as_logits(heat, config.loss)).cpu().numpy()

    name = f"GLE {config.backbone}, k = {config.modules}"
    return Method(name, _text(config.crop), config.batch_size, Regions, train, predict, points)


def _regression(
    name: str,
    config: DfaStage,
    photos: Photos,
    train: Callable[[int, int, TrainerOptions, Path], Any],
    points: Callable[[Any, torch.device, str], np.ndarray],
) -> Method:
    """A method on square crops, with a ``predict`` of 64 crops that are cut within it."""

    def predict(model: Any, device: torch.device) -> int:
        nets = (*model.first.nets, *model.patches) if isinstance(model, DeepPose) else model.nets
        for net in nets:
            net.to(device)
        model.predict(_aligned(config, photos, 64).crops)
        return 64

    size = f"{config.input_size}x{config.input_size}"
    name = f"{name} {config.backbone}"
    return Method(name, size, config.batch_size, AlignmentSamples, train, predict, points)


def _alone(config: DfaStage, batch: int) -> DfaStage:
    """One epoch, with the batches of a step."""
    return config.model_copy(update={**ONE_RUN, "batch_size": batch})


def _aligned(config: DfaStage, photos: Photos, count: int) -> AlignmentData:
    """Training data of garments with FLD's landmarks."""
    rows = photos.aligned(count)
    positions = frame_of(config.frame, rows.box).apply(rows.xy)
    crops = Crops(rows.image_id, rows.box, photos, config.input_size, config.frame)
    shapes = Shapes(positions, rows.visibility, rows.present)
    return AlignmentData(crops, shapes, point_set("fld8").mirror)


def _cut(photos: Photos, image_id: int, crop: tuple[int, int]) -> np.ndarray:
    """A photo resized to the crop's size."""
    return cv2.resize(photos(image_id), crop)


def _pixels(photos: Photos, crop: tuple[int, int], device: torch.device) -> Tensor:
    """Two photos as normalised crops."""
    crops = torch.from_numpy(np.stack([_cut(photos, i, crop) for i in range(2)]))
    pixels = normalize(crops.permute(0, 3, 1, 2).to(device).float() / 255)
    return pixels.contiguous(memory_format=torch.channels_last)


def _text(crop: tuple[int, int]) -> str:
    return f"{crop[0]}x{crop[1]}"
