"""Which device computes: one setting for every load, step and command."""

from typing import Literal

import torch

DeviceSetting = Literal["auto", "cpu", "cuda"]

CPU = torch.device("cpu")


def select_device(setting: str = "auto") -> torch.device:
    """The device that ``setting`` means in this process.

    Args:
        setting: ``auto`` (CUDA where this process sees a GPU, else the CPU), ``cpu`` or ``cuda``.

    Raises:
        ValueError: ``cuda`` where this process sees no GPU, or another word.
    """
    if setting not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {setting!r}: must be auto, cpu or cuda")
    if setting == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device cuda: this process sees no GPU; set distributed.device to auto or cpu, or give Ray "
            "tasks a GPU by distributed.gpus_per_task"
        )
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(setting)
