"""The whole pipeline in OpenVINO on a CPU: detector, landmarkers and refiners.

``export_pipeline`` writes one network a model; ``load_pipeline`` reads them into a ``Predictor`` whose
pre- and post-processing are those of torch, so only the networks differ. Networks compute in bf16 where
the processor does, else in fp32. A Cascade R-CNN or HTC detector, and a detector with several scales,
stay in torch: their graphs have no fixed input.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import Tensor, nn

from fashion_ops.files.publishing import publish
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.openvino_networks import (
    OpenvinoDetector,
    OpenvinoLandmarker,
    OpenvinoMaps,
    OpenvinoModule,
    OpenvinoRefiner,
    TracedLandmarker,
    TracedRefiner,
)
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.centernet.deploy.export import export_detector
from fashion_ops.methods.centernet.deploy.graph import NETWORK, ExportConfig, Graph
from fashion_ops.methods.centernet.inference import METHOD, Detector
from fashion_ops.methods.parts.augment import normalize
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.openvino_core import CORE
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import CATEGORIES, Category

DETECTOR = "detector"
UNIVERSAL = "universal.xml"  # of models without finetuned landmarkers
LAYOUT = 2  # of the folder; another number for other inputs or outputs of the networks


def export_pipeline(predictor: Predictor, detector_folder: Path, out: Path) -> None:
    """Write the networks of a predictor as OpenVINO files; the folder appears whole or not at all.

    Args:
        predictor: loaded on the CPU.
        detector_folder: of CenterNet, which ``predictor`` was loaded from.
        out: folder to write.

    Raises:
        ValueError: a network in OpenVINO does not equal the one in torch.
    """
    pipeline, detector = predictor.pipeline, predictor.detector
    with publish(out) as folder:
        if isinstance(detector, Detector) and not detector.post.scales:
            config = ExportConfig(format="openvino", precision="fp32", dynamic_batch=True)
            export_detector(detector_folder, folder / DETECTOR, config, detector.post, CPU)
        for c in CATEGORIES:
            if c.id in pipeline.finetuned:
                write_landmarker(pipeline.finetuned[c.id], c, folder / f"finetuned-{c.name}.xml")
            if c.id in pipeline.refined:
                write_refiner(pipeline.refined[c.id], folder / f"refined-{c.name}.xml")
        if not pipeline.finetuned:
            crop = normalize(_crop(pipeline.universal).float() / 255)
            _write(pipeline.universal.model, [crop], folder / UNIVERSAL)


def load_pipeline(predictor: Predictor, folder: Path, threads: int = 0) -> Predictor:
    """Return a predictor with the same settings whose networks run in OpenVINO.

    Beside finetuned landmarkers the universal one runs in torch: nothing that is served reads it.

    Args:
        predictor: the one that ``export_pipeline`` wrote ``folder`` from.
        folder: written by ``export_pipeline``.
        threads: number of CPU threads; 0 uses all cores.

    Raises:
        RuntimeError: a file is missing or cannot be read.
    """
    detector, pipeline = predictor.detector, predictor.pipeline
    if isinstance(detector, Detector) and (folder / DETECTOR).is_dir():
        graph, spec = Graph.read(folder / DETECTOR), read_spec(folder / DETECTOR, METHOD)
        maps = OpenvinoMaps(folder / DETECTOR / NETWORK[graph.format], list(graph.outputs), threads)
        detector = OpenvinoDetector(maps, spec, detector.post, graph=graph)

    def network(name: str) -> dict[str, Any]:
        return {"model": OpenvinoModule(folder / f"{name}.xml", threads), "device": CPU}

    universal = pipeline.universal
    if not pipeline.finetuned:
        universal = replace(universal, model=OpenvinoModule(folder / UNIVERSAL, threads), device=CPU)
    finetuned: dict[int, LandmarkPredictor] = {}
    refined: dict[int, Refiner] = {}
    for c in CATEGORIES:
        if landmarker := pipeline.finetuned.get(c.id):
            network_of = network(f"finetuned-{c.name}")
            finetuned[c.id] = OpenvinoLandmarker(**{**vars(landmarker), **network_of})
        if refiner := pipeline.refined.get(c.id):
            refined[c.id] = OpenvinoRefiner(**{**vars(refiner), **network(f"refined-{c.name}")})
    networks = LandmarkPipeline(universal, finetuned, refined)
    return replace(predictor, detector=detector, pipeline=networks)


def write_landmarker(landmarker: LandmarkPredictor, kind: Category, path: Path) -> None:
    """Write the network of a category's landmarker, with the channels of its landmarks.

    Raises:
        ValueError: in OpenVINO it does not equal the one in torch.
    """
    graph = TracedLandmarker(landmarker.model, landmarker.grouping.channels(kind.id))
    _write(graph, [_crop(landmarker)], path)


def write_refiner(refiner: Refiner, path: Path) -> None:
    """Write the network of a refiner.

    Raises:
        ValueError: in OpenVINO it does not equal the one in torch.
    """
    graph = TracedRefiner(refiner.model, refiner.spec.get("takes_pose", True))
    places = torch.rand(refiner.category.num_landmarks, 2, generator=torch.Generator().manual_seed(0))
    _write(graph, [_crop(refiner), (places * torch.tensor(refiner.crop))[None]], path)


def _crop(model: LandmarkPredictor | Refiner) -> Tensor:
    """Noise uint8 (1, 3, H, W) of the size of a model's crops, the same every time."""
    width, height = model.crop
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (1, 3, height, width), np.uint8))


@torch.inference_mode()
def _write(model: nn.Module, example: list[Tensor], path: Path) -> None:
    """Write a network that takes inputs of the shapes of ``example``; compare it with torch in fp32.

    Raises:
        ValueError: they differ by more than a thousandth of the largest value.
    """
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and OpenVINO's only reader of torch that is fast
        traced = torch.jit.trace(model, tuple(example), check_trace=False)
        shapes = [ov.PartialShape(list(tensor.shape)) for tensor in example]
        converted = ov.convert_model(traced, example_input=tuple(example), input=shapes)
    ov.save_model(converted, path, compress_to_fp16=False)
    exact: Callable[..., Any] = CORE.compile_model(
        converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    expected = model(*example).numpy()
    difference = float(np.abs(exact([t.numpy() for t in example])[0] - expected).max())
    if not difference <= 1e-3 * max(float(np.abs(expected).max()), 1.0):
        raise ValueError(
            f"{path.stem}: in OpenVINO it differs from torch by {difference:.1e}; serve it with "
            "--engine torch"
        )
