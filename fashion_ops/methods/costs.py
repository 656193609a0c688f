"""Counting parameters and operations of a network on torch's meta device, without computing anything.

``describe`` says what the numbers mean.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

Forward = Callable[[], Any]  # runs a network once


def _deformable_flops(
    x: Sequence[int], weight: Sequence[int], *_: Any, out_shape: Sequence[int], **__: Any
) -> int:
    """Count the FLOPs, 2 a MAC, of torchvision's operator as those of a plain convolution.

    ``x``, ``weight`` and ``out_shape`` are the shapes of its input, weights and output.
    """
    return 2 * x[0] * prod(weight) * prod(out_shape[2:])


def _macs(forward: Forward) -> tuple[int, dict[str, int]]:
    """Count the MACs of a forward pass: in all, and by the dotted name of each module in the model."""
    counted = {torch.ops.torchvision.deform_conv2d: _deformable_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counted) as counter:
        forward()
    modules = {
        name.partition(".")[2]: sum(by_operator.values()) // 2
        for name, by_operator in counter.get_flop_counts().items()
        if "." in name
    }
    return counter.get_total_flops() // 2, modules


class _Launches(TorchDispatchMode):
    """Counts operations that compute something; views do not."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def count_launches(forward: Forward) -> int:
    """Count the operations that a forward pass starts, on a GPU one or more kernels each."""
    with torch.no_grad(), _Launches() as counter:
        forward()
    return counter.count


def _parts(model: nn.Module) -> dict[str, str]:
    """List the parts of a model: displayed name -> dotted name in the model. Each head is a part."""
    parts = {}
    for name, child in model.named_children():
        if name == "heads":
            parts |= {head: f"heads.{head}" for head, _ in child.named_children()}
        elif any(True for _ in child.parameters()):
            parts["base" if name == "backbone" else name] = name
    return parts | {name: name for name, _ in model.named_parameters(recurse=False)}


def _under(part: str, modules: dict[str, int]) -> int:
    """Add up the MACs of a part, also if only modules inside of it were called.

    Args:
        part: its dotted name.
        modules: MACs by dotted name.
    """
    inside = {n for n in modules if n == part or n.startswith(f"{part}.")}
    tops = (n for n in inside if not any(n.startswith(f"{m}.") for m in inside))
    return sum(modules[n] for n in tops)


def costs(model: nn.Module, infer: Forward, train: Forward) -> dict[str, Any]:
    """Count ``parameters``, ``macs``, ``launches``, ``parts`` and ``training_only``, see ``describe``.

    Args:
        model: on the meta device.
        infer: runs the model as at inference.
        train: runs the model as in training.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    parameters = sum(sizes.values())
    macs, modules = _macs(infer)
    training_macs, _ = _macs(train)
    parts, idle = {}, 0
    for part, where in _parts(model).items():
        count = sum(n for name, n in sizes.items() if name == where or name.startswith(f"{where}."))
        part_macs = _under(where, modules)
        if not part_macs and where not in sizes:  # a module that inference does not use
            idle += count
        parts[part] = {
            "parameters": count,
            "parameters_share": count / parameters,
            "macs": part_macs,
            "macs_share": part_macs / macs,
        }
    return {
        "parameters": parameters,
        "macs": macs,
        "launches": count_launches(infer),
        "parts": parts,
        "training_only": {"parameters": idle, "macs": training_macs - macs},
    }


def published_operations(model: nn.Module, forward: Forward) -> int:
    """Count the operations of a forward pass as DeepMark++'s Table 6 does (thop 0.0.31).

    Each output value of a convolution, plain or transposed, costs its taps and its bias; each value of
    a batch norm costs 2. Functions outside of modules are not counted.

    Args:
        model: on the meta device.
        forward: runs the model.
    """
    total = 0

    def count(module: nn.Module, _: Any, out: Any) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            taps = module.in_channels // module.groups * prod(module.kernel_size)
            total += out.numel() * (taps + (module.bias is not None))
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * out.numel()

    hooks = [m.register_forward_hook(count) for m in model.modules()]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    return total
