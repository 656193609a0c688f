"""The whole pipeline in OpenVINO on a CPU: detector, landmarkers and refiners, any number at a time.

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
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.centernet.deploy.export import export_detector
from fashion_ops.methods.centernet.deploy.graph import ExportConfig
from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.precision import computes_bf16
from fashion_ops.methods.posefix.inference import Refiner
from fashion_ops.methods.top_down.inference import LandmarkPredictor
from fashion_ops.taxonomy import CATEGORIES

DETECTOR = "detector"
_TRACED = 2  # crops in the example that a network is traced with; the number stays free


class OpenvinoModule(nn.Module):
    """A network in OpenVINO that is called like the torch network that it was made from.

    Args:
        path: of the OpenVINO IR.
        threads: number of CPU threads; 0 uses all cores.
        inputs: how many of the arguments the network takes; the others are ignored.
    """

    def __init__(self, path: Path, threads: int, inputs: int) -> None:
        super().__init__()
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if not computes_bf16("auto", "cpu"):
            config["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        self.request = ov.Core().compile_model(path, "CPU", config).create_infer_request()
        self.inputs = inputs

    def forward(self, *arguments: Tensor) -> Tensor:
        """Compute the first output from fp32 tensors on the CPU."""
        arrays = [a.float().contiguous().numpy() for a in arguments[: self.inputs]]
        return torch.from_numpy(self.request.infer(arrays, share_inputs=True)[0])


class _Refiner(nn.Module):
    """A refiner whose landmarks are all known, which is how ``Refiner`` calls it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor, points: Tensor) -> Tensor:
        """Compute the logits of crops (B, 3, H, W) and points (B, K, 2)."""
        known = torch.ones_like(points[..., 0]) > 0
        return self.model(crops, points, known)


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
            precision = "bf16" if computes_bf16("auto", "cpu") else "fp32"
            config = ExportConfig(format="openvino", precision=precision, dynamic_batch=True)
            export_detector(detector_folder, folder / DETECTOR, config, detector.post, CPU)
        _write(pipeline.universal.model, [_crops(pipeline.universal)], folder / "universal.xml")
        for c in CATEGORIES:
            finetuned, refiner = pipeline.finetuned[c.id], pipeline.refined[c.id]
            _write(finetuned.model, [_crops(finetuned)], folder / f"finetuned-{c.name}.xml")
            points = torch.full((_TRACED, c.num_landmarks, 2), 8.0)
            _write(_Refiner(refiner.model), [_crops(refiner), points], folder / f"refined-{c.name}.xml")


def load_pipeline(predictor: Predictor, folder: Path, threads: int = 0) -> Predictor:
    """Return a predictor with the same settings whose networks run in OpenVINO.

    Args:
        predictor: the one that ``export_pipeline`` wrote ``folder`` from.
        folder: written by ``export_pipeline``.
        threads: number of CPU threads; 0 uses all cores.

    Raises:
        RuntimeError: a file is missing or cannot be read.
    """
    detector, pipeline = predictor.detector, predictor.pipeline
    if isinstance(detector, Detector) and (folder / DETECTOR).is_dir():
        detector = ExportedDetector.open(folder / DETECTOR, "openvino", detector.post, threads)

    def network(name: str, inputs: int) -> OpenvinoModule:
        return OpenvinoModule(folder / f"{name}.xml", threads, inputs)

    universal = replace(pipeline.universal, model=network("universal", 1), device=CPU)
    finetuned = {
        c.id: replace(pipeline.finetuned[c.id], model=network(f"finetuned-{c.name}", 1), device=CPU)
        for c in CATEGORIES
    }
    refined = {
        c.id: replace(pipeline.refined[c.id], model=network(f"refined-{c.name}", 2), device=CPU)
        for c in CATEGORIES
    }
    networks = LandmarkPipeline(universal, finetuned, refined)
    return replace(predictor, detector=detector, pipeline=networks)


def _crops(model: LandmarkPredictor | Refiner) -> Tensor:
    """Noise (2, 3, H, W) of the size of a model's crops, the same every time."""
    width, height = model.crop
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.standard_normal((_TRACED, 3, height, width), np.float32))


@torch.inference_mode()
def _write(model: nn.Module, example: list[Tensor], path: Path) -> None:
    """Write a network with a free first dimension, and compare it with torch in fp32.

    Raises:
        ValueError: they differ by more than a thousandth of the largest value.
    """
    free = [ov.PartialShape([-1, *tensor.shape[1:]]) for tensor in example]
    plain = [tensor.contiguous() for tensor in example]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and OpenVINO's only reader of torch that is fast
        traced = torch.jit.trace(model, tuple(plain), check_trace=False)
        converted = ov.convert_model(traced, example_input=tuple(plain), input=free)
    ov.save_model(converted, path, compress_to_fp16=False)
    exact: Callable[..., Any] = ov.Core().compile_model(
        converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    one = [tensor[:1] for tensor in plain]  # another number of crops than it was traced with
    expected = model(*one).numpy()
    difference = float(np.abs(exact([t.numpy() for t in one])[0] - expected).max())
    if not difference <= 1e-3 * max(float(np.abs(expected).max()), 1.0):
        raise ValueError(
            f"{path.stem}: in OpenVINO it differs from torch by {difference:.1e}; serve it with "
            "--engine torch"
        )
