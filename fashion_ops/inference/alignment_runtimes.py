"""Alignment models with a detector in ONNX Runtime or OpenVINO."""

from pathlib import Path

from fashion_ops.files.publishing import publish
from fashion_ops.inference.alignment_predictor import AlignmentFolder, AlignmentPredictor
from fashion_ops.methods.alignment.export import export_alignment
from fashion_ops.methods.alignment.exported import AlignmentGraph, Format, open_exported
from fashion_ops.methods.centernet.deploy.export import export_detector
from fashion_ops.methods.centernet.deploy.graph import GRAPH, ExportConfig
from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.parts.precision import computes_bf16

DETECTOR, METHOD = "detector", "alignment"  # folders of the service's networks


def open_beside_detector(folder: Path, runtime: Format) -> AlignmentPredictor:
    """Open an exported alignment model and the exported detector beside it.

    Args:
        folder: written by ``export dfa`` or ``export gle``; beside it lies ``detector-FORMAT``, as
            ``export detector`` writes it.
        runtime: ``onnx`` or ``openvino``.

    Raises:
        FileNotFoundError: one of them is missing.
        ValueError: a file is invalid, or is for another runtime.
    """
    method, graph = open_exported(folder, runtime), AlignmentGraph.find(folder)
    assert graph is not None
    beside = folder.resolve().parent / f"detector-{graph.format}"
    if not (beside / GRAPH).is_file():
        raise FileNotFoundError(
            f"{beside}: no exported detector here, which finds the garments; `fashion-ops export "
            f"detector --format {graph.format} --out {beside}` makes one"
        )
    detector = ExportedDetector.open(beside, runtime)
    return AlignmentPredictor(detector.without_landmark_scores(), method)


def export_networks(bundle: Path, predictor: AlignmentPredictor, out: Path) -> None:
    """Write the networks of a bundle for OpenVINO; the folder appears whole or not at all.

    A detector other than CenterNet, or with several scales, stays in torch and is left out.

    Args:
        bundle: of an alignment model.
        predictor: loaded from it on the CPU.
        out: folder to write.

    Raises:
        ValueError: a network in OpenVINO does not equal the one in torch.
    """
    found, detector = AlignmentFolder.find(bundle), predictor.detector
    assert found is not None
    with publish(out) as folder:
        if isinstance(detector, Detector) and not detector.post.scales:
            precision = "bf16" if computes_bf16("auto", "cpu") else "fp32"
            config = ExportConfig(format="openvino", precision=precision, dynamic_batch=True)
            export_detector(found.boxes / "detector", folder / DETECTOR, config, detector.post, CPU)
        export_alignment(found.method, found.model, folder / METHOD, "openvino")


def load_networks(predictor: AlignmentPredictor, folder: Path, threads: int = 0) -> AlignmentPredictor:
    """Return a predictor with the same settings whose networks run in OpenVINO.

    Args:
        predictor: the one that ``export_networks`` wrote ``folder`` from.
        folder: written by ``export_networks``.
        threads: number of CPU threads; 0 uses all cores.
    """
    detector = predictor.detector
    if isinstance(detector, Detector) and (folder / DETECTOR).is_dir():
        detector = ExportedDetector.open(folder / DETECTOR, "openvino", detector.post, threads)
    return AlignmentPredictor(detector, open_exported(folder / METHOD, "openvino", threads))
