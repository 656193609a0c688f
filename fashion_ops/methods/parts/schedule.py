"""What changes over a run: the learning rate (one-cycle, or the papers' steps), auxiliary weights.

Functions of the step alone, so a resumed run goes on where it was.
"""

from bisect import bisect_right
from itertools import accumulate

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from fashion_ops.params import TrainingConfig


def learning_rates(optimizer: Optimizer, config: TrainingConfig, steps: int) -> LRScheduler:
    """The schedule that ``fit`` asks for.

    Args:
        optimizer: made with ``lr=config.lr``.
        fit: ``lr_steps`` or, without them, one cycle up to ``lr`` and down.
        steps: of the optimizer in the whole run, ``config.epochs`` times those of an epoch.
    """
    if config.lr_steps is None:
        steps = max(3, steps)
        rise = max(0.1, 2 / steps)  # a rise of a single step divides by zero
        return OneCycleLR(optimizer, max_lr=config.lr, total_steps=steps, pct_start=rise)
    an_epoch = max(1, steps // config.epochs)
    factors = [lr / config.lr for _, lr in config.lr_steps]
    ends = list(accumulate(epochs * an_epoch for epochs, _ in config.lr_steps))
    last = len(factors) - 1
    return LambdaLR(optimizer, lambda step: factors[min(bisect_right(ends, step), last)])


def auxiliary_weight(
    progress: float, alpha: float, decay: tuple[float, float], as_printed: bool = False
) -> float:
    """DFA's schedule of an auxiliary loss (eq. 4): alpha until t1, then linearly down to 0 at t2.

    As printed the ramp between t1 and t2 rises, from 0 to alpha, after which the weight is 0; the text
    around it says that it lets go, so we let it fall (docs/decisions.md, "DFA eq. 4").

    Args:
        progress: share of the run that is done, 0..1.
        alpha: weight at the start.
        decay: (t1, t2) as shares of the run.
        as_printed: the rising ramp.
    """
    t1, t2 = decay
    left = min(1.0, max(0.0, (t2 - progress) / max(t2 - t1, 1e-9)))
    if as_printed and t1 <= progress < t2:
        left = 1 - left
    return alpha * left
