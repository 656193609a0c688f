"""Networks as ONNX graphs of standard operators; their inputs and outputs, and parity with torch."""

import logging
import warnings
from collections.abc import Sequence

import onnx
import torch
from torch import Tensor, nn

from fashion_ops.params import Section

OPSET = 19  # the first with DeformConv
TOLERANCE = 1e-4  # of an output, from torch in fp32: absolute, and relative to the value


class Port(Section):
    """An input or output of a graph; "batch" in its shape stands for any number of images."""

    dtype: str
    shape: tuple[int | str, ...]
    meaning: str


def to_onnx(
    network: nn.Module,
    example: Tensor,
    names: tuple[str, Sequence[str]],
    label: str,
    *,
    dynamic: bool,
) -> onnx.ModelProto:
    """Convert a network to ONNX, without metadata that tells where it was made.

    Args:
        network: on the CPU, in eval mode.
        example: an input (B, ...).
        names: of the input, and of the outputs.
        label: name of the graph.
        dynamic: whether the graph takes any number of inputs B.

    Raises:
        ValueError: it has an operator outside the ONNX standard, or its batch size is fixed against
            ``dynamic``.
    """
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it logs about torch's internals
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[names[0]],
            output_names=list(names[1]),
            dynamic_shapes=({0: torch.export.Dim("batch")},) if dynamic else None,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    if dynamic and not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ValueError(
            "the graph has a fixed batch size, though any number was requested; not exported"
        )
    foreign = {n.op_type for n in proto.graph.node if n.domain not in ("", "ai.onnx")}
    if foreign or proto.functions:
        raise ValueError(f"not in the ONNX standard: {sorted(foreign)}")
    for holder in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    proto.producer_name, proto.producer_version, proto.graph.name = "fashion-ops", "", label
    onnx.checker.check_model(proto)
    return proto


def check_parity(name: str, value: Tensor, expected: Tensor, where: str) -> float:
    """Return the largest difference of an output from torch.

    Raises:
        ValueError: one of its values is off by more than ``TOLERANCE``.
    """
    off = (value - expected).abs()
    far = ~(off <= TOLERANCE * (1 + expected.abs()))
    if far.any():
        raise ValueError(
            f"{where}: output {name!r} is {float(off.max()):.2g} off torch in fp32 ({int(far.sum())} "
            f"of {far.numel()} values by more than {TOLERANCE:g}); not exported"
        )
    return float(off.double().max())
