"""Post-training INT8 quantization of an exported network (ONNX QDQ, which OpenVINO also reads).

Convolutions use 8 bits: weights per output channel, activations by their range on calibration images.
The heads' last layers and everything after them stay in fp32: a displacement of tens of cells in 256
steps would be off by pixels, and they are a small part of the work.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from fashion_ops.methods.centernet.deploy.graph import INPUT


class _Images(CalibrationDataReader):
    """Yields letterboxed images one at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override]
        """Return the next image as the network's input, None after the last."""
        image = next(self._images, None)
        return None if image is None else {INPUT: image[None]}


def quantize(source: Path, target: Path, images: np.ndarray) -> None:
    """Quantize a network to INT8.

    Args:
        source: fp32 ONNX file to read.
        target: QDQ ONNX file to write.
        images: letterboxed calibration images, uint8 (N, S, S, 3).
    """
    with tempfile.TemporaryDirectory() as scratch:
        shaped = Path(scratch) / "shaped.onnx"
        quant_pre_process(source, shaped, skip_symbolic_shape=True)
        quantize_static(
            shaped,
            target,
            _Images(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # 8-bit weights saturate in 16 bits on processors without VNNI
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=last_convolutions(onnx.load(shaped)),
            calibrate_method=CalibrationMethod.MinMax,
        )


def last_convolutions(network: onnx.ModelProto) -> list[str]:
    """List the names of convolutions whose output reaches no other convolution but depthwise ones."""
    feeding: set[str] = set()
    last = []
    for node in reversed(network.graph.node):
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        dense = node.op_type == "Conv" and groups == 1
        later = any(name in feeding for name in node.output)
        if node.op_type == "Conv" and not later:
            last.append(node.name)
        if dense or later:
            feeding.update(node.input)
    return last
