"""What each step of the pipeline computes, for given parameters and numbers of photos and garments.

A step consists of jobs, a job of phases. The jobs of ``finetune`` and ``refine`` run side by side;
other steps have one job. A phase trains or predicts: it takes ``samples`` inputs through a network in
batches, and prepares each of them on a CPU. What only the driver does is in seconds of one core, per
unit, from ``driver.csv``.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from fashion_ops.distributed.planning.assumptions import Assumptions
from fashion_ops.distributed.planning.data import DataSize
from fashion_ops.distributed.planning.networks import (
    Network,
    box_detector,
    dfa_networks,
    gle_network,
    networks,
)
from fashion_ops.methods.parts.regions import CACHE_BYTES, region_size
from fashion_ops.methods.top_down.training import landmarker_warp
from fashion_ops.params import BOX_DETECTOR, Params, Refine, TrainLandmarker
from fashion_ops.taxonomy import CATEGORY_NAMES

DRIVER = Path(__file__).with_name("driver.csv")
BACKWARD = 3  # a training step computes the forward pass, and twice as much for the gradients
PREDICTION_BATCH = 32
BOXES_PER_PHOTO = 8  # that `evaluate` predicts landmarks in: detections with low scores too
MAP_STRIDE = 4  # of the detector
PREDICT = "predict"  # the bulk prediction, a command


@dataclass(frozen=True)
class Phase:
    """Inputs that go through a network, in training or in prediction.

    Attributes:
        trains: whether gradients are computed and exchanged after each batch.
        samples: number of inputs, over all epochs.
        macs: multiply-accumulates of one input, the backward pass included.
        launches: operations of one batch, the backward pass included.
        parameters: that devices exchange after each batch.
        batch: inputs of a batch, over all devices that share a training.
        decoded: photos decoded for one input.
        cut_mpx: 10^6 pixels cut out and resized on a CPU for one input.
        loaders: processes that load for one device; 0 if the training process loads itself.
        fetched_kb: 10^3 bytes that come over the network for one input.
        from_store: whether they come from an object store, by each node's link, or from the driver.
    """

    trains: bool
    samples: float
    macs: float
    launches: float
    parameters: int
    batch: int
    decoded: float = 0.0
    cut_mpx: float = 0.0
    loaders: float = 0.0
    fetched_kb: float = 0.0
    from_store: bool = False


@dataclass(frozen=True)
class Job:
    """One training or prediction, on ``width`` devices; None is as many as are of use."""

    name: str
    phases: tuple[Phase, ...]
    width: float | None = None


@dataclass(frozen=True)
class StepWork:
    """What a step computes; ``driver_s`` are seconds of one core of the driver."""

    step: str
    jobs: tuple[Job, ...] = ()
    driver_s: float = 0.0


def pipeline_work(params: Params, size: DataSize, a: Assumptions) -> list[StepWork]:
    """The work of all steps, in order, and that of the bulk prediction of ``a.photos`` photos.

    Raises:
        ValueError: ``params`` describe no valid networks.
    """
    nets, units = networks(params), _units(params, size)
    with DRIVER.open(encoding="utf-8", newline="") as file:
        driver = {
            r["step"]: float(r["start"]) + float(r["seconds"]) * units[r["unit"]]
            for r in csv.DictReader(file)
        }
    jobs = {
        "train_detector": _one(_train_detector(params, size, nets["detector"], a)),
        "tune_postprocess": _one(*_detect(params, params.tune_postprocess.images, nets["detector"], a)),
        "train_landmarker": _one(_train_landmarker(params, size.total, nets["landmarker"], a)),
        "finetune": tuple(_finetune(params, size, nets, a, name) for name in CATEGORY_NAMES),
        "refine": tuple(_refine(params, size, nets, a, name) for name in CATEGORY_NAMES),
        "evaluate": _one(*_evaluate(params, size, nets, a)),
    }
    if params.train_box_detector.kind:
        jobs["train_box_detector"] = _one(_train_box_detector(params, size, a))
    if size.alignment:
        jobs["dfa_stage"] = _one(*_dfa(params, size.alignment, a))
    if size.gle:
        jobs["train_gle"] = _one(_gle(params, size.gle, a))
    jobs[PREDICT] = _one(*_bulk(params, size, nets, a))
    order = [
        *("ingest", "aggregate", "pseudo_label", "drift", "train_detector", "tune_postprocess"),
        *("train_box_detector", "train_landmarker", "finetune", "refine", "evaluate", "register"),
        *("promote", "dfa_stage", "train_gle", PREDICT),
    ]
    return [StepWork(n, jobs.get(n, ()), driver.get(n, 0.0)) for n in order if n in jobs or n in driver]


def _units(params: Params, size: DataSize) -> dict[str, float]:
    """How many units of ``driver.csv`` the data have."""
    cells = (params.train_detector.input_size / MAP_STRIDE) ** 2 / 1e6
    return {
        "photo": size.train_photos + size.photos,
        "garment": size.total + size.garments,
        "megacell": cells * params.tune_postprocess.images * 2,
        "run": 1,
    }


def _one(*phases: Phase) -> tuple[Job, ...]:
    """The only job of a step, on as many devices as are of use."""
    return (Job("all", phases),)


def _training(
    params: Params, samples: float, batch: int, net: Network, mpx: float, cached: bool, a: Assumptions
) -> Phase:
    """A training on what is cut from photos; ``mpx``: 10^6 pixels that are cut for one input."""
    return Phase(
        trains=True,
        samples=samples,
        macs=BACKWARD * net.training_macs,
        launches=BACKWARD * net.launches,
        parameters=net.parameters,
        batch=batch,
        decoded=0.0 if cached else 1.0,
        cut_mpx=0.0 if cached else mpx,
        loaders=min(params.distributed.loader_workers, a.cores_per_gpu),
    )


def _train_detector(params: Params, size: DataSize, net: Network, a: Assumptions) -> Phase:
    p = params.train_detector
    mpx, n = p.input_size**2 / 1e6, size.train_photos
    cached = not p.random_crop and n * 3e6 * mpx <= CACHE_BYTES
    return _training(params, n * p.epochs, p.batch_size, net, mpx, cached, a)


def _train_box_detector(params: Params, size: DataSize, a: Assumptions) -> Phase:
    p = params.train_box_detector
    samples = size.train_photos * p.epochs
    return _training(params, samples, p.batch_size, box_detector(p), a.image_mpx, False, a)


def _crops(
    params: Params,
    augmentation: TrainLandmarker | Refine,
    garments: float,
    epochs: int,
    batch: int,
    net: Network,
    a: Assumptions,
) -> Phase:
    """A training on the landmarker's crops."""
    width, height = region_size(params.train_landmarker.crop, landmarker_warp(augmentation))
    cached = garments * 3 * width * height <= CACHE_BYTES
    return _training(params, garments * epochs, batch, net, width * height / 1e6, cached, a)


def _train_landmarker(params: Params, garments: float, net: Network, a: Assumptions) -> Phase:
    p = params.train_landmarker
    return _crops(params, p, garments, p.epochs, p.batch_size, net, a)


def _finetune(
    params: Params, size: DataSize, nets: dict[str, Network], a: Assumptions, name: str
) -> Job:
    epochs, batch = params.categories[name].finetune.epochs, params.finetune.batch_size
    garments, net = size.train_garments[name], nets["landmarker"]
    crops = _crops(params, params.train_landmarker, garments, epochs, batch, net, a)
    return Job(name, (crops,), params.distributed.gpus_for(name))


def _refine(params: Params, size: DataSize, nets: dict[str, Network], a: Assumptions, name: str) -> Job:
    """The landmarker's own outputs on all garments, by one device, and the training."""
    epochs, batch = params.categories[name].refine.epochs, params.refine.batch_size
    garments = size.train_garments[name]
    own = _predict(garments, [(nets["landmarker"], _passes(params))], 1.0, _crop_mpx(params), a)
    phases = (own, _crops(params, params.refine, garments, epochs, batch, nets["refiner"], a))
    return Job(name, phases, params.distributed.gpus_for(name))


def _predict(
    samples: float, nets: list[tuple[Network, float]], decoded: float, cut_mpx: float, a: Assumptions
) -> Phase:
    """A prediction by some networks, each with its number of passes for one input."""
    return Phase(
        trains=False,
        samples=samples,
        macs=sum(net.macs * passes for net, passes in nets),
        launches=sum(net.launches * max(1.0, passes) for net, passes in nets),
        parameters=0,
        batch=PREDICTION_BATCH,
        decoded=decoded,
        cut_mpx=cut_mpx,
        loaders=a.cores_per_gpu,
        fetched_kb=decoded * a.image_kb,
    )


def _passes(params: Params) -> float:
    """Forward passes of the landmarker for one garment."""
    return 2.0 if params.train_landmarker.flip_test else 1.0


def _crop_mpx(params: Params) -> float:
    """10^6 pixels of the landmarker's crop."""
    width, height = params.train_landmarker.crop
    return width * height / 1e6


def _detect(params: Params, photos: float, net: Network, a: Assumptions) -> list[Phase]:
    """CenterNet on photos, with the flip and scales of its post-processing."""
    post = params.tune_postprocess.start
    passes = (2.0 if post.flip else 1.0) * (1 + sum(scale**2 for scale in post.scales))
    return [_predict(photos, [(net, passes)], 1.0, params.train_detector.input_size**2 / 1e6, a)]


def _landmarks(
    params: Params,
    garments: float,
    photos: float,
    nets: dict[str, Network],
    a: Assumptions,
    variants: int,
) -> Phase:
    """Landmarks by ``variants`` landmarkers (one, or universal and finetuned) and a refiner."""
    refiner = 2.0 if params.refine.flip_test else 1.0
    used = [(nets["landmarker"], variants * _passes(params)), (nets["refiner"], refiner)]
    decoded = photos / garments if garments else 0.0
    return _predict(garments, used, decoded, _crop_mpx(params), a)


def _boxes(params: Params, photos: float, nets: dict[str, Network], a: Assumptions) -> list[Phase]:
    """The boxes that ``evaluate.boxes`` names."""
    p = params.train_box_detector
    if params.evaluate.boxes == BOX_DETECTOR and p.kind:
        sides = p.test_short_sides or (p.short_side,)
        passes = (2 if p.flip_test else 1) * sum((side / p.short_side) ** 2 for side in sides)
        return [_predict(photos, [(box_detector(p), passes)], 1.0, a.image_mpx, a)]
    return _detect(params, photos, nets["detector"], a)


def _evaluate(params: Params, size: DataSize, nets: dict[str, Network], a: Assumptions) -> list[Phase]:
    """CenterNet, the boxes, and landmarks in the ground truth's boxes and in these."""
    phases = _detect(params, size.photos, nets["detector"], a) + _boxes(params, size.photos, nets, a)
    phases += [_landmarks(params, size.garments, size.photos, nets, a, 2)]
    return [*phases, _landmarks(params, BOXES_PER_PHOTO * size.photos, size.photos, nets, a, 2)]


def _bulk(params: Params, size: DataSize, nets: dict[str, Network], a: Assumptions) -> list[Phase]:
    """CenterNet on each photo, and the refined landmarks of its garments, decoded once.

    A photo has as many garments as one of the training data.
    """
    garments = a.photos * size.total / max(1, size.train_photos)
    [detect] = _detect(params, a.photos, nets["detector"], a)
    landmarks = _landmarks(params, garments, 0.0, nets, a, 1)
    return [replace(detect, from_store=True), landmarks]


def _dfa(params: Params, garments: int, a: Assumptions) -> list[Phase]:
    """The trainings of DFA's three stages."""
    p = params.dfa_stage
    return [
        _training(params, garments * p.epochs, p.batch_size, net, p.input_size**2 / 1e6, True, a)
        for net in dfa_networks(p)
    ]


def _gle(params: Params, garments: int, a: Assumptions) -> Phase:
    """The training of GLE on regions with the margin that augmentation needs."""
    p = params.train_gle
    width, height = region_size(p.crop)
    cached = garments * 3 * width * height <= CACHE_BYTES
    samples = garments * p.epochs
    mpx = width * height / 1e6
    return _training(params, samples, p.batch_size, gle_network(p), mpx, cached, a)
