"""In which number format a device computes: bf16 where its hardware does, and what must stay fp32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def computes_bf16(precision: str, device_type: str) -> bool:
    """Whether ``precision`` means bf16: ``bf16`` does, ``auto`` does if the hardware computes it.

    GPUs before Ampere emulate bf16 in software, slower than fp32; that does not count.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``.
        device_type: ``cuda`` or ``cpu``.
    """
    if precision != "auto":
        return precision == "bf16"
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def training_dtype(precision: str, device_type: str) -> torch.dtype:
    """The format that a training computes in: with ``auto`` bf16, else fp16 on GPUs and fp32 on CPUs.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``.
        device_type: ``cuda`` or ``cpu``.
    """
    if computes_bf16(precision, device_type):
        return torch.bfloat16
    return torch.float16 if precision == "auto" and device_type == "cuda" else torch.float32


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute in fp32 as it is within the block, neither in bf16 (autocast) nor in TF32.

    Coordinates need it: an image position of 512 pixels is off by a quarter of a pixel in TF32, whose
    numbers have 10 bits as fp16's, and by two pixels in bf16.
    """
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)


def constants(values: tuple[float | int, ...], like: torch.Tensor) -> torch.Tensor:
    """Make a small tensor (N,) with the dtype and the device of another one.

    ``torch.tensor`` and ``new_tensor`` copy the values from the host to a GPU, for which the host waits
    until all work before is done; filling does not.
    """
    if like.device.type == "cpu":
        return like.new_tensor(values)
    return torch.stack([like.new_full((), value) for value in values])


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Make the autocast context of a forward pass for prediction on ``device``.

    ``precision`` is ``auto``, ``fp32`` or ``bf16``, see ``computes_bf16``. Without bf16 it is fp32:
    weights that were trained in bf16 or fp32 may overflow in fp16.
    """
    enabled = computes_bf16(precision, device.type)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)
