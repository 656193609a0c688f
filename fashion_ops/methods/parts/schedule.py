"""What changes during a run: the order of samples, the learning rate, weights of auxiliary losses.

All depend on seed, epoch and step alone, so that a resumed run equals an uninterrupted one.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.utils.data import Dataset, Sampler

from fashion_ops.params import TrainingConfig


class EpochSampler(Sampler[int]):
    """Draws the order of samples, which depends on (seed, epoch) only; Lightning calls ``set_epoch``.

    Of D devices each takes every D-th sample, so that their n-th batches together are the n-th batch of
    one device.

    Args:
        dataset: of N samples. If its ``differs_by_epoch`` is true, sample i of epoch e (from 0) is
            drawn as ``e * N + i``, so that a loader's process that outlives an epoch knows it.
        seed: of the run.
        weights: (N,) relative frequencies, with which N samples are drawn with replacement; None draws
            each sample once.
    """

    def __init__(self, dataset: Dataset[Any], seed: int, weights: np.ndarray | None = None) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0
        self.weights = None if weights is None else torch.from_numpy(weights)
        self.size: int = len(dataset)  # type: ignore[arg-type]

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch, counted from 0, whose order is drawn."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // _rank_and_world()[1]

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        rank, world = _rank_and_world()
        if self.weights is None:
            order = torch.randperm(self.size, generator=generator)
        else:
            order = torch.multinomial(self.weights, self.size, replacement=True, generator=generator)
        first = self.epoch * self.size if getattr(self.dataset, "differs_by_epoch", False) else 0
        return iter((order[rank::world][: len(self)] + first).tolist())


def _rank_and_world() -> tuple[int, int]:
    """Return the index of this process's device and the number of devices; (0, 1) for a single one."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def learning_rates(optimizer: Optimizer, config: TrainingConfig, steps: int) -> LRScheduler:
    """Make the learning rate schedule of a run; call its ``step`` after every optimizer step.

    Args:
        optimizer: created with ``lr=config.lr``.
        config: its ``lr_steps`` give the schedule; if they are None, it is one cycle up to ``lr`` and
            down again.
        steps: optimizer steps of the whole run, ``config.epochs`` times those of an epoch.
    """
    if config.lr_steps is None:
        steps = max(3, steps)
        rise = max(0.1, 2 / steps)  # a rise of a single step divides by zero
        # DFA's SGD has one momentum; Adam's first beta falls and rises against the learning rate.
        cycle = not isinstance(optimizer, SGD)
        return OneCycleLR(optimizer, config.lr, steps, pct_start=rise, cycle_momentum=cycle)
    steps_an_epoch = max(1, steps // config.epochs)
    factors = [lr / config.lr for _, lr in config.lr_steps]
    ends = list(accumulate(epochs * steps_an_epoch for epochs, _ in config.lr_steps))
    last = len(factors) - 1
    return LambdaLR(optimizer, lambda step: factors[min(bisect_right(ends, step), last)])


def auxiliary_weight(
    progress: float, alpha: float, decay: tuple[float, float], as_printed: bool = False
) -> float:
    """Weight of an auxiliary loss in DFA (eq. 4): alpha until t1, then linearly down to 0 at t2.

    As printed in the paper, the ramp between t1 and t2 rises from 0 to alpha and the weight is 0
    afterwards. The paper's text says that the weight decreases, so by default the ramp falls
    (docs/decisions.md, "DFA eq. 4").

    Args:
        progress: completed share of the run, 0..1, or completed iterations.
        alpha: weight at the start.
        decay: (t1, t2) in the unit of ``progress``.
        as_printed: use the rising ramp of the printed equation.
    """
    t1, t2 = decay
    left = min(1.0, max(0.0, (t2 - progress) / max(t2 - t1, 1e-9)))
    if as_printed and t1 <= progress < t2:
        left = 1 - left
    return alpha * left
