"""What the plan assumes beside the device; every number can be set (``--assume NAME=VALUE``).

``docs/decisions.md`` has the reasons.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace

from fashion_ops.distributed.planning.devices import Device


@dataclass(frozen=True)
class Assumptions:
    """The numbers of a plan. Rates are per core, unless they say otherwise."""

    launch_us: float = 10.0  # microseconds to start one operation of a network on a GPU, not compiled
    cores_per_gpu: float = 16.0  # of a node; loaders use them in prediction
    gpus_per_node: float = 8.0
    network_gbit: float = 100.0  # of a node, 10^9 bits a second, each way
    decode_mpx: float = 150.0  # 10^6 pixels of JPEG decoded a second
    warp_mpx: float = 70.0  # 10^6 pixels of training input cut out, resized and augmented a second
    image_mpx: float = 0.51  # 10^6 pixels of a photo
    image_kb: float = 61.0  # 10^3 bytes of a photo's file
    start_s: float = 40.0  # until a job computes: process, torch, model, first batch
    photos: float = 1e7  # of the bulk prediction

    def describe(self, device: Device) -> str:
        """All of them and those of the device, under the names of the command line."""
        numbers = {name: getattr(device, name) for name in DEVICE_NUMBERS} | asdict(self)
        return ", ".join(f"{name} {value:g}" for name, value in numbers.items())


DEVICE_NUMBERS = ("tflops", "utilisation", "link_gb_s")


def apply(words: Iterable[str], device: Device, assumptions: Assumptions) -> tuple[Device, Assumptions]:
    """Apply ``NAME=VALUE`` to the device or to the assumptions.

    Raises:
        ValueError: a name is unknown, or a value is not a number above 0; utilisation is at most 1.
    """
    names = [field.name for field in fields(Assumptions)]
    for word in words:
        name, _, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if name not in (*names, *DEVICE_NUMBERS):
            known = ", ".join((*names, *DEVICE_NUMBERS))
            raise ValueError(f"--assume {word}: unknown {name!r}; known: {known}")
        if not 0 < value < float("inf") or (name == "utilisation" and value > 1):
            most = " and at most 1" if name == "utilisation" else ""
            raise ValueError(f"--assume {word}: must be a number above 0{most}, as in {name}=0.5")
        if name in DEVICE_NUMBERS:
            device = replace(device, **{name: value})
        else:
            assumptions = replace(assumptions, **{name: value})
    return device, assumptions
