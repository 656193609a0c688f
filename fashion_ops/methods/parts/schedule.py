"""Learning rate over a run, set before each step: one-cycle, or the papers' steps.

A function of the step alone, so a resumed run goes on where it was.
"""

from bisect import bisect_right
from itertools import accumulate

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from fashion_ops.params import Fit


def learning_rates(optimizer: Optimizer, fit: Fit, steps: int) -> LRScheduler:
    """The schedule that ``fit`` asks for.

    Args:
        optimizer: made with ``lr=fit.lr``.
        fit: ``lr_steps`` or, without them, one cycle up to ``lr`` and down.
        steps: of the optimizer in the whole run, ``fit.epochs`` times those of an epoch.
    """
    if fit.lr_steps is None:
        steps = max(3, steps)
        rise = max(0.1, 2 / steps)  # a rise of a single step divides by zero
        return OneCycleLR(optimizer, max_lr=fit.lr, total_steps=steps, pct_start=rise)
    an_epoch = max(1, steps // fit.epochs)
    factors = [lr / fit.lr for _, lr in fit.lr_steps]
    ends = list(accumulate(epochs * an_epoch for epochs, _ in fit.lr_steps))
    last = len(factors) - 1
    return LambdaLR(optimizer, lambda step: factors[min(bisect_right(ends, step), last)])
