"""Training of a stage: cluster the garments, start from the previous stage, train, route."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fashion_ops.methods.alignment.data import AlignmentData, AlignmentSamples, Shapes
from fashion_ops.methods.alignment.dfa.inference import Estimate, TrainedStage, build
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.dfa.module import StageModule
from fashion_ops.methods.alignment.dfa.routing import EASY, HARD, halving_epsilon, route
from fashion_ops.methods.alignment.dfa.targets import SPACES, PseudoLabels, Space, fit_labels
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.params import DfaStage

STAGES = (1, 2, 3)


@dataclass(frozen=True)
class PreviousStage:
    """The stage before the one that is trained, and its predictions for the training garments."""

    stage: TrainedStage
    estimate: Estimate


def train_stage(
    config: DfaStage,
    number: int,
    data: AlignmentData,
    seed: int,
    previous: PreviousStage | None = None,
    space: Space | None = None,
    options: TrainerOptions | None = None,
) -> TrainedStage:
    """Train stage 1, 2 or 3.

    Args:
        config: of all three stages; ``clusters`` 0 trains without pseudo-labels.
        number: of the stage, 1 to 3.
        data: the training garments.
        seed: of weights, clusters, order and augmentation.
        previous: the previous stage, from whose weights this one starts; None for stage 1.
        space: of the pseudo-labels; None takes the stage's space of Table 1.
        options: how each network's training is carried out. A stage of two networks trains them one
            after the other; the checkpoint of the second ends in ``.1``.

    Raises:
        ValueError: ``number`` is none of the stages, or ``previous`` does not fit it.
    """
    if number not in STAGES or (number > 1) != (previous is not None):
        raise ValueError(
            f"stage {number}: stages are {STAGES}; stages 2 and 3 need the previous stage, 1 has none"
        )
    shapes = data.shapes
    estimate = None if previous is None else previous.estimate.positions.astype(np.float64)
    labels = None
    if config.clusters:
        space = space or SPACES[number - 1]
        labels = fit_labels(config, space, shapes.positions, estimate, shapes.observed, seed)
    spec = stage_spec(config, number, shapes.slots.shape[1], labels)
    parts, router = _partition(config, number, shapes, previous)
    nets, history = [], []
    options = options or TrainerOptions()
    for branch, rows in enumerate(parts):
        net_seed = seed + 1_000 * number + branch
        torch.manual_seed(net_seed)
        net = _initial_network(config, spec, previous)
        module = StageModule(
            net, scale_epochs(config, len(rows), len(shapes)), labels, data.mirror, net_seed
        )
        samples = AlignmentSamples(data.crops, shapes, estimate, rows)
        checkpoint = options.checkpoint
        if checkpoint is not None and branch:
            checkpoint = checkpoint.with_name(f"{checkpoint.name}.{branch}")
        history += fit(module, samples, replace(options, checkpoint=checkpoint))
        nets.append(net.eval())
    return TrainedStage(tuple(nets), labels, spec, router, tuple(history))


def stage_spec(
    config: DfaStage, number: int, landmarks: int, labels: PseudoLabels | None
) -> dict[str, Any]:
    """Make what ``model.json`` needs to rebuild the networks of a stage and to prepare their input.

    Args:
        config: that the stage is trained with.
        number: of the stage, 1 to 3.
        landmarks: n.
        labels: the pseudo-labels of the stage, or None.
    """
    keys = {"backbone", "input_size", "frame", "dropout", "precision"}
    return {
        "stage": number,
        "landmarks": landmarks,
        "clusters": 0 if labels is None else len(labels.centers),
        **config.model_dump(mode="json", include=keys),
        "training": config.model_dump(mode="json"),
    }


def _partition(
    config: DfaStage, number: int, shapes: Shapes, previous: PreviousStage | None
) -> tuple[list[np.ndarray], tuple[np.ndarray, float] | None]:
    """Choose the garments that each network of a stage is trained on.

    Returns:
        Indices of the garments of each network, and the router between two networks (``errors`` and
        epsilon), or None.

    Raises:
        ValueError: stage 3 is routed and stage 2 has no pseudo-labels.
    """
    if number < 3 or config.branches == "one":
        return [shapes.labelled], None
    if config.branches == "average":
        return [shapes.labelled, shapes.labelled], None
    assert previous is not None
    clusters = previous.stage.labels
    if clusters is None:
        raise ValueError(
            "dfa_stage.branches: routing reads stage 2's pseudo-labels; set clusters above 0"
        )
    return split_by_route(config, shapes, previous.estimate.labels, clusters.errors)


def split_by_route(
    config: DfaStage, shapes: Shapes, labels: np.ndarray, errors: np.ndarray
) -> tuple[list[np.ndarray], tuple[np.ndarray, float]]:
    """Divide the training garments between the easy and the hard network.

    Args:
        config: ``epsilon`` None takes the value that halves the garments.
        shapes: of the training garments.
        labels: their predicted pseudo-labels (N, K).
        errors: e(C_k) (K,), mean error of each cluster, see ``routing``.

    Returns:
        Indices of the easy and of the hard garments, and the router: ``errors`` and epsilon. A part
        with fewer garments than a batch is replaced by all labelled garments.
    """
    labelled, epsilon = shapes.labelled, config.epsilon
    if epsilon is None:
        epsilon = halving_epsilon(labels[labelled], errors)
    branch = route(labels, errors, epsilon)[labelled]
    parts = [labelled[branch == b] for b in (EASY, HARD)]
    enough = min(config.batch_size, len(labelled))
    return [part if len(part) >= enough else labelled for part in parts], (errors, epsilon)


def _initial_network(
    config: DfaStage, spec: dict[str, Any], previous: PreviousStage | None
) -> StageNet:
    """Build a network that starts from the weights of the previous stage.

    In stage 1, where ``previous`` is None, weights are pretrained or random.
    """
    if previous is None:
        return build(spec, config.pretrained)
    net = build(spec)
    net.warm_start(previous.stage.nets[0])
    return net


def scale_epochs(config: DfaStage, count: int, total: int) -> DfaStage:
    """Raise the epochs so that training on ``count`` garments takes as many steps as on all ``total``.

    The epochs of ``lr_steps`` are raised by the same factor.
    """
    epochs = max(1, round(config.epochs * total / max(count, 1)))
    steps = config.lr_steps
    if epochs == config.epochs:
        return config
    if steps is not None:
        steps = tuple((max(1, round(n * epochs / config.epochs)), lr) for n, lr in steps)
        epochs = sum(n for n, _ in steps)
    return config.model_copy(update={"epochs": epochs, "lr_steps": steps})
