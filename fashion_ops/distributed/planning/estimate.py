"""How long the work of each step takes on some devices, and what limits it.

In each batch a device computes, its process starts operations, its loaders prepare the next batch, and
a training exchanges gradients. They overlap, so the slowest of them is the time of the batch and the
bound of the phase. On a CPU, and where the training process loads itself, loading comes on top.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fashion_ops.distributed.planning.assumptions import Assumptions
from fashion_ops.distributed.planning.devices import Device
from fashion_ops.distributed.planning.work import Job, Phase, StepWork
from fashion_ops.distributed.schedule import Schedule, longest_first, lower_bound, tasks_at_once
from fashion_ops.params import Distributed

GRADIENT_BYTES = 4
BOUNDS = {
    "compute": "multiply-accumulates",
    "launch": "starting the network's operations one by one (batches too small for the device)",
    "data": "decoding and cutting photos on the CPUs",
    "network": "exchanging gradients, or fetching photos",
    "longest job": "one category, while other GPUs wait",
    "start": "starting processes",
    "driver": "one core of the driver",
}
Causes = dict[str, float]  # key of ``BOUNDS`` -> seconds
Rates = Mapping[str, float]  # step -> samples a second on one device, measured


@dataclass(frozen=True)
class Estimate:
    """One step on one number of GPUs.

    Attributes:
        step: its name.
        gpus: number of GPUs that there are.
        gpus_used: the most that it uses at once.
        seconds: from its start to its end.
        gpu_seconds: of GPUs that it holds, busy or not.
        bound: key of ``BOUNDS`` that most of the time is due to.
        measured: whether a measured rate replaced the estimated one.
        schedule: of a step with many jobs.
        shared: the number of GPUs that share one training of the step, which
            ``distributed.devices`` sets; 1 for a step without one.
    """

    step: str
    gpus: int
    gpus_used: int
    seconds: float
    gpu_seconds: float
    bound: str
    measured: bool = False
    schedule: Schedule | None = None
    shared: int = 1


def estimate(
    work: StepWork, gpus: int, device: Device, a: Assumptions, settings: Distributed, rates: Rates
) -> Estimate:
    """Estimate a step on ``gpus`` devices.

    Raises:
        ValueError: a job of the step needs more GPUs.
    """
    rate = rates.get(work.step)
    causes = {"driver": work.driver_s}
    if len(work.jobs) > 1:
        return _side_by_side(work, gpus, device, a, settings, rate, causes)
    seconds, used, shared = work.driver_s, 0, 1
    for job in work.jobs:
        used, spent = _best_width(job, gpus, device, a, rate)
        for cause, amount in spent.items():
            causes[cause] = causes.get(cause, 0.0) + amount
        seconds += sum(spent.values())
        if any(phase.trains for phase in job.phases):
            shared = max(shared, used)
    held = used * (seconds - work.driver_s)
    bound = max(causes, key=lambda name: causes[name])
    measured = rate is not None and bool(used)
    return Estimate(work.step, gpus, used, seconds, held, bound, measured, shared=shared)


def _best_width(
    job: Job, gpus: int, device: Device, a: Assumptions, rate: float | None
) -> tuple[int, Causes]:
    """The number of devices that ends soonest (of equal ones the smallest), and seconds by cause."""
    most = gpus
    if any(phase.trains for phase in job.phases):
        most = min(gpus, *(phase.batch for phase in job.phases if phase.trains))
    options = ((width, job_seconds(job, width, device, a, rate)) for width in range(1, most + 1))
    return min(options, key=lambda option: (round(sum(option[1].values()), 3), option[0]))


def job_seconds(
    job: Job, width: int, device: Device, a: Assumptions, rate: float | None = None
) -> Causes:
    """Seconds of a job on ``width`` devices, by cause."""
    causes = {"start": a.start_s if not device.is_cpu else a.start_s / 10}
    covered = rate is not None and any(phase.trains for phase in job.phases)  # by the measured rate
    for phase in job.phases:
        if phase.samples and (phase.trains or not covered):
            seconds, bound = phase_seconds(phase, width, device, a, rate)
            causes[bound] = causes.get(bound, 0.0) + seconds
    return causes


def phase_seconds(
    phase: Phase, width: int, device: Device, a: Assumptions, rate: float | None = None
) -> tuple[float, str]:
    """Seconds of a phase on ``width`` devices, and its bound.

    Args:
        phase: the phase.
        width: number of devices.
        device: what they are.
        a: the assumptions.
        rate: samples a second on one device, measured, loading included; it replaces what is estimated
            for a training (prediction is estimated all the same).
    """
    nodes = max(1.0, width / a.gpus_per_node)
    batches = phase.samples / phase.batch / (1 if phase.trains else width)
    own = phase.batch / width if phase.trains else phase.batch  # inputs of a batch on one device
    parts = {
        "compute": 2 * phase.macs * own / (device.tflops * 1e12 * device.utilisation),
        "launch": phase.launches * a.launch_us * 1e-6 if not device.is_cpu else 0.0,
        "network": _exchange(phase, width, device, a) if phase.trains else 0.0,
    }
    loading = own * (phase.decoded * a.image_mpx / a.decode_mpx + phase.cut_mpx / a.warp_mpx)
    loading /= max(1.0, min(phase.loaders, a.cores_per_gpu)) if not device.is_cpu else 1.0
    if rate is not None and phase.trains:
        parts, loading = {"compute": own / rate, "network": parts["network"]}, 0.0
    bound = max(parts, key=lambda name: parts[name])
    if device.is_cpu or not phase.loaders:
        seconds = parts[bound] + loading
        bound = bound if parts[bound] >= loading else "data"
    else:
        seconds, bound = max((parts[bound], bound), (loading, "data"))
    seconds *= batches
    link = a.network_gbit * 1e9 / 8 * (nodes if phase.from_store else 1.0)
    fetching = phase.samples * phase.fetched_kb * 1e3 / link
    return max((seconds, bound), (fetching, "network"))


def _exchange(phase: Phase, width: int, device: Device, a: Assumptions) -> float:
    """Seconds in which ``width`` devices add up their gradients, in a ring."""
    sent = 2 * (width - 1) / width * GRADIENT_BYTES * phase.parameters
    within = sent / (device.link_gb_s * 1e9)
    return within if width <= a.gpus_per_node else max(within, sent * 8 / (a.network_gbit * 1e9))


def _side_by_side(
    work: StepWork,
    gpus: int,
    device: Device,
    a: Assumptions,
    settings: Distributed,
    rate: float | None,
    causes: Causes,
) -> Estimate:
    """Jobs on slots, the longest first, as the driver starts them."""
    share = settings.gpus_per_task or 1.0
    slots = tasks_at_once(gpus, gpus, 1 / 1024, share)
    if slots < 1:
        raise ValueError(f"{gpus} GPUs: distributed.gpus_per_task is {share:g}; plan for more")
    alone, widths = {}, {}
    for job in work.jobs:
        wide = min(int(max(1.0, job.width or 1.0)), gpus)
        spent = job_seconds(job, wide, device, a, rate)
        for cause, seconds in spent.items():
            causes[cause] = causes.get(cause, 0.0) + seconds / max(1.0, 1 / share)
        widths[job.name] = max(1, round(wide / share)) if share >= 1 else 1
        slowdown = 1 / share if share < 1 else 1.0  # tasks that share a GPU share its time
        alone[job.name] = sum(spent.values()) * min(widths[job.name], slots) * slowdown
    schedule = longest_first(alone, slots, widths)
    seconds = schedule.makespan + work.driver_s
    longest = max(alone[name] / min(widths[name], slots) for name in alone)
    spread = lower_bound(dict.fromkeys(alone, 0.0) | {"all": sum(alone.values()) / slots}, slots)
    bound = max(causes, key=lambda name: causes[name])
    if longest > 0.9 * schedule.makespan and longest > 1.2 * spread:
        bound = "longest job"
    busy = sum((bar.end - bar.start) * min(1.0, share) for bar in schedule.bars)
    busy *= max(1.0, share)
    used = min(gpus, round(len({bar.slot for bar in schedule.bars}) * share + 0.499))
    return Estimate(work.step, gpus, used, seconds, busy, bound, rate is not None, schedule)
