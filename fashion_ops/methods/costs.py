"""Counting what a network computes, on torch's meta device: no memory, no arithmetic.

``describe`` says what the numbers mean and which network is counted.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Run = Callable[[], Any]


def _deformable_flops(x: list[int], weight: list[int], *_: Any, out_shape: list[int], **__: Any) -> int:
    """Of torchvision's operator, as of the plain convolution of the same weights (2 a MAC)."""
    return 2 * x[0] * prod(weight) * prod(out_shape[2:])


def _macs(run: Run) -> tuple[int, dict[str, int]]:
    """MACs of a run, and of each module entered in it by its dotted name below the model."""
    counted = {torch.ops.torchvision.deform_conv2d: _deformable_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=counted) as counter:
        run()
    modules = {
        name.partition(".")[2]: sum(by_operator.values()) // 2
        for name, by_operator in counter.get_flop_counts().items()
        if "." in name
    }
    return counter.get_total_flops() // 2, modules


def _parts(model: nn.Module) -> dict[str, str]:
    """Parts by the name to show and the dotted name within the model; each head is a part."""
    out = {}
    for name, child in model.named_children():
        if name == "heads":
            out |= {head: f"heads.{head}" for head, _ in child.named_children()}
        elif any(True for _ in child.parameters()):
            out["base" if name == "backbone" else name] = name
    return out | {name: name for name, _ in model.named_parameters(recurse=False)}


def _under(part: str, modules: dict[str, int]) -> int:
    """MACs of the modules in a part; a part whose inner modules alone were called counts too."""
    inside = {n for n in modules if n == part or n.startswith(f"{part}.")}
    tops = (n for n in inside if not any(n.startswith(f"{m}.") for m in inside))
    return sum(modules[n] for n in tops)


def costs(model: nn.Module, infer: Run, train: Run) -> dict[str, Any]:
    """``parameters``, ``macs``, ``parts`` and ``training_only`` of a description.

    Args:
        model: on the meta device.
        infer: calls the model as at inference.
        train: runs everything that training runs.
    """
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    parameters = sum(sizes.values())
    macs, modules = _macs(infer)
    training_macs, _ = _macs(train)
    parts, idle = {}, 0
    for part, where in _parts(model).items():
        own = sum(n for name, n in sizes.items() if name == where or name.startswith(f"{where}."))
        own_macs = _under(where, modules)
        if not own_macs and where not in sizes:  # a module that inference never enters
            idle += own
        parts[part] = {
            "parameters": own,
            "parameters_share": own / parameters,
            "macs": own_macs,
            "macs_share": own_macs / macs,
        }
    return {
        "parameters": parameters,
        "macs": macs,
        "parts": parts,
        "training_only": {"parameters": idle, "macs": training_macs - macs},
    }


def published_operations(model: nn.Module, run: Run) -> int:
    """Operations of a run as DeepMark++'s Table 6 counts (thop 0.0.31).

    Those of a convolution, its bias included, at every output value, for transposed ones too, and 2 a
    value of a batch norm. Functions outside modules are not seen.
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
        run()
    for hook in hooks:
        hook.remove()
    return total
