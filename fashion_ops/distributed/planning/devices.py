"""The catalogue of devices, ``devices.csv``: speed, memory and links of a GPU, or of a CPU core."""

import csv
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("devices.csv")
CPU = "cpu"
NUMBERS = ("utilisation", "memory_gb", "memory_gb_s", "link_gb_s")


@dataclass(frozen=True)
class Device:
    """One GPU, or one core of a CPU.

    Attributes:
        name: as in the catalogue.
        precision: of matrix products in training and inference: bf16, fp16 or fp32.
        tflops: dense matrix products in that precision, 10^12 operations a second (2 a MAC).
        utilisation: share of them that training and predicting with convolutions reaches.
        memory_gb: 10^9 bytes.
        memory_gb_s: bandwidth of the memory, 10^9 bytes a second.
        link_gb_s: to another device of the same node, each way, 10^9 bytes a second.
        source: where the numbers come from.
    """

    name: str
    precision: str
    tflops: float
    utilisation: float
    memory_gb: float
    memory_gb_s: float
    link_gb_s: float
    source: str

    @property
    def is_cpu(self) -> bool:
        """Whether loading and computing share its time."""
        return self.name == CPU


def devices() -> dict[str, Device]:
    """The catalogue by name, each device in the precision that training uses on it: bf16, else fp16."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return {row["name"]: _device(row) for row in csv.DictReader(file)}


def find_device(name: str) -> Device:
    """Find a device, whatever the case of its name.

    Raises:
        ValueError: it is not in the catalogue.
    """
    known = {key.lower(): device for key, device in devices().items()}
    if name.lower() not in known:
        names = ", ".join(device.name for device in known.values())
        mend = "for another one give the nearest and its numbers, as in --assume tflops=120"
        raise ValueError(f"--device {name}: unknown; known: {names}; {mend}")
    return known[name.lower()]


def _device(row: dict[str, str]) -> Device:
    """Read a row of the catalogue."""
    precision = next(p for p in ("bf16", "fp16", "fp32") if row[f"{p}_tflops"])
    numbers = {name: float(row[name]) for name in NUMBERS}
    return Device(
        row["name"], precision, float(row[f"{precision}_tflops"]), source=row["source"], **numbers
    )
