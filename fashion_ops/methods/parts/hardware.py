"""What the bits of a network's output depend on besides its weights and its input.

Two runs of a network give equal bits only where the processor, the number of threads, torch and the
precision are equal. Elsewhere they differ by rounding.
"""

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_ops.errors.reading import read_json

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, order=True)
class Hardware:
    """Where and how a process ran its networks.

    Attributes:
        device: ``cpu`` or ``cuda``.
        name: model of the GPU or of the CPU.
        instructions: the CPU's instruction set that torch uses, such as ``AVX512``; a GPU's compute
            capability, such as ``9.0``.
        threads: of the CPU that share one operation; 0 on a GPU.
        precision: of networks whose precision is ``auto``, and of matrix products in fp32.
        torch: its version.
    """

    device: str
    name: str
    instructions: str
    threads: int
    precision: str
    torch: str

    @classmethod
    def of(cls, device: "torch.device") -> "Hardware":
        """Describe ``device`` in this process."""
        import torch  # ``register`` reads records and needs no torch

        from fashion_ops.methods.parts.precision import autocast

        with autocast("auto", device):
            lowered = torch.is_autocast_enabled(device.type)
            dtype = torch.get_autocast_dtype(device.type) if lowered else torch.float32
        precision = f"{str(dtype).removeprefix('torch.')}, {torch.get_float32_matmul_precision()}"
        if device.type == "cuda":
            capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
            name = torch.cuda.get_device_name(device)
            return cls("cuda", name, capability, 0, precision, torch.__version__)
        instructions = torch.backends.cpu.get_cpu_capability()
        return cls("cpu", _cpu(), instructions, torch.get_num_threads(), precision, torch.__version__)

    def __str__(self) -> str:
        threads = f", {self.threads} threads" if self.device == "cpu" else ""
        return f"{self.name} ({self.instructions}{threads}), {self.precision}, torch {self.torch}"


def equal_bits(then: Iterable[Hardware], now: Iterable[Hardware]) -> bool:
    """Whether two runs must agree in every bit: each had one kind of hardware, and it is the same."""
    before, after = set(then), set(now)
    return len(before) == 1 and before == after


def dump_hardware(hardware: Iterable[Hardware], **more: str) -> str:
    """Write hardware as JSON text, with further values by name."""
    content: dict[str, Any] = {**more, "hardware": [asdict(h) for h in sorted(hardware)]}
    return json.dumps(content, indent=1) + "\n"


def read_hardware(path: Path, **expected: str) -> frozenset[Hardware]:
    """Read a file with the text of ``dump_hardware``.

    Returns:
        The hardware; empty if there is no file, or if it has other ``expected`` values.

    Raises:
        ValueError: the file holds something else.
    """
    if not path.is_file():
        return frozenset()
    content = read_json(path)
    try:
        if any(content.get(name) != value for name, value in expected.items()):
            return frozenset()
        return frozenset(Hardware(**h) for h in content["hardware"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no record of hardware ({error!r}); delete it") from error


def _cpu() -> str:
    """Model of this machine's CPU, as the operating system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
