"""From crops and shapes to a trained stage: cluster, start from the stage before, train, route."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fashion_ops.methods.alignment.crops import AlignmentSamples, Crops, Shapes
from fashion_ops.methods.alignment.dfa.labels import SPACES, PseudoLabels, Space, fit_labels
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.dfa.module import StageModule, StageSettings
from fashion_ops.methods.alignment.dfa.routing import EASY, HARD, halving_epsilon, route
from fashion_ops.methods.alignment.dfa.stage import Estimate, Stage, build
from fashion_ops.methods.parts.augment import Warp
from fashion_ops.methods.parts.position_constraint import constraint_of
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.params import DfaStage, TrainingConfig

STAGES = (1, 2, 3)
OnEpoch = Callable[[str, int, dict[str, float]], None]  # network, epochs done, mean losses


@dataclass(frozen=True)
class Before:
    """The stage before, on the training garments."""

    stage: Stage
    estimate: Estimate


def train_stage(
    number: int,
    params: DfaStage,
    crops: Crops,
    shapes: Shapes,
    mirror: np.ndarray,
    seed: int,
    before: Before | None = None,
    space: Space | None = None,
    on_epoch: OnEpoch | None = None,
) -> Stage:
    """Train stage 1, 2 or 3.

    Args:
        number: of the stage.
        params: of all three; ``clusters`` 0 trains without pseudo-labels.
        crops: of the training garments.
        shapes: their landmarks.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of weights, clusters, order and augmentation.
        before: the stage before; its networks are where this stage's start.
        space: of the pseudo-labels; None is the stage's own (Table 1).
        on_epoch: told the mean losses of each epoch.

    Raises:
        ValueError: a stage behind the first without the one before it.
    """
    if number not in STAGES or (number > 1) != (before is not None):
        raise ValueError(
            f"stage {number}: stages are {STAGES}, those behind the first need the one before"
        )
    previous = None if before is None else before.estimate.positions.astype(np.float64)
    labels = None
    if params.clusters:
        labels = fit_labels(
            space or SPACES[number - 1],
            shapes.positions,
            previous,
            shapes.observed,
            params.clusters,
            params.temperature,
            seed,
        )
    spec = stage_spec(number, params, shapes.slots.shape[1], labels)
    parts, router = _partition(number, params, shapes, before)
    nets = []
    for branch, rows in enumerate(parts):
        torch.manual_seed(seed + 1_000 * number + branch)
        net = _start(spec, params, before)
        samples = AlignmentSamples(crops, shapes, previous, rows)
        module = StageModule(
            net, as_long(params, len(rows), len(shapes)), settings(params, mirror), labels,
            torch.from_numpy(mirror), seed + 1_000 * number + branch,
        )  # fmt: skip
        name = f"stage {number}" + (f", branch {branch + 1}" if len(parts) > 1 else "")
        fit(
            module,
            samples,
            TrainerOptions(on_epoch=None if on_epoch is None else _telling(on_epoch, name)),
        )
        nets.append(net.eval())
    return Stage(tuple(nets), labels, spec, router)


def stage_spec(
    number: int, params: DfaStage, landmarks: int, labels: PseudoLabels | None
) -> dict[str, Any]:
    """What a reader needs to rebuild and feed the networks of a stage."""
    keys = {"backbone", "input_size", "frame", "dropout", "precision"}
    return {
        "stage": number,
        "landmarks": landmarks,
        "clusters": 0 if labels is None else len(labels.centers),
        **params.model_dump(mode="json", include=keys),
        "training": params.model_dump(mode="json"),
    }


def settings(params: DfaStage, mirror: np.ndarray) -> StageSettings:
    """Augmentation and losses that the parameters ask for; ``mirror`` as of ``train_stage``."""
    return StageSettings(
        warp=Warp(flip=params.flip, scale=params.scale, shift=params.shift, color=params.color),
        visibility_weight=params.visibility_weight,
        label_weight=params.label_weight,
        decay=params.decay,
        as_printed=params.schedule == "as_printed",
        optimizer=params.optimizer,
        constraint=constraint_of(
            params.position_constraint,
            params.position_constraint_k,
            params.position_constraint_parts,
            mirror,
        ),
    )


def _partition(
    number: int, params: DfaStage, shapes: Shapes, before: Before | None
) -> tuple[list[np.ndarray], tuple[np.ndarray, float] | None]:
    """Rows that each network of a stage trains on, and the router between two of them.

    A branch to which the router sends less than a batch learns from all garments.
    """
    everything = np.flatnonzero(shapes.observed.any(axis=1))
    if number < 3 or params.branches == "one":
        return [everything], None
    if params.branches == "average":
        return [everything, everything], None
    assert before is not None
    known = before.stage.labels
    if known is None:
        raise ValueError(
            "dfa_stage.branches: routing reads stage 2's pseudo-labels; set clusters above 0"
        )
    epsilon = params.epsilon
    if epsilon is None:
        epsilon = halving_epsilon(before.estimate.labels[everything], known.errors)
    branch = route(before.estimate.labels, known.errors, epsilon)
    parts = [everything[branch[everything] == which] for which in (EASY, HARD)]
    enough = min(params.batch_size, len(everything))
    return [p if len(p) >= enough else everything for p in parts], (known.errors, epsilon)


def _start(spec: dict[str, Any], params: DfaStage, before: Before | None) -> StageNet:
    """A network that begins where the stage before ended, or with pretrained or random weights."""
    if before is None:
        return StageNet(
            spec["backbone"], spec["input_size"], spec["landmarks"], spec["clusters"],
            cascade=False, pretrained=params.pretrained, dropout=params.dropout,
        )  # fmt: skip
    net = build(spec)
    net.start_from(before.stage.nets[0])
    return net


def as_long(params: DfaStage, rows: int, total: int) -> TrainingConfig:
    """As many steps on ``rows`` of the garments as on all ``total`` of them."""
    run = TrainingConfig.model_validate(params.model_dump(include=set(TrainingConfig.model_fields)))
    epochs = max(1, round(run.epochs * total / max(rows, 1)))
    if epochs == run.epochs:
        return run
    steps = run.lr_steps
    if steps is not None:
        steps = tuple((max(1, round(n * epochs / run.epochs)), lr) for n, lr in steps)
        epochs = sum(n for n, _ in steps)
    return run.model_copy(update={"epochs": epochs, "lr_steps": steps})


def _telling(on_epoch: OnEpoch, name: str) -> Callable[[int, dict[str, float]], None]:
    return lambda epoch, losses: on_epoch(name, epoch, losses)
