"""Training of a stage: cluster the garments, start from the previous stage, train, route."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fashion_ops.methods.alignment.data import AlignmentData, AlignmentSamples, Shapes
from fashion_ops.methods.alignment.dfa.inference import Estimate, TrainedStage, build
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.alignment.dfa.module import StageModule
from fashion_ops.methods.alignment.dfa.routing import EASY, HARD, halving_epsilon, route
from fashion_ops.methods.alignment.dfa.targets import SPACES, PseudoLabels, Space, fit_labels
from fashion_ops.methods.alignment.dfa.warm_start import warm_start
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
    start: Path | None = None,
) -> TrainedStage:
    """Train stage 1, 2 or 3.

    Args:
        config: of all three stages; ``clusters`` 0 trains without pseudo-labels.
        number: of the stage, 1 to 3.
        data: the training garments.
        seed: of weights, clusters, order and augmentation.
        previous: the previous stage, from whose weights this one starts if ``config.inherit``; None
            for stage 1.
        space: of the pseudo-labels; None takes the stage's space of Table 1.
        options: how each network's training is carried out. A stage of two networks trains them one
            after the other; the checkpoint of the second ends in ``.1``.
        start: model or file that it starts from instead, see ``dfa.warm_start``.

    Raises:
        ValueError: ``number`` is none of the stages, ``previous`` does not fit it or the settings, or
            nothing of ``start`` fits.
    """
    if number not in STAGES or (number > 1) != (previous is not None):
        raise ValueError(
            f"stage {number}: stages are {STAGES}; stages 2 and 3 need the previous stage, 1 has none"
        )
    shapes = data.shapes
    estimate, input_labels, before = None, None, None
    if previous is not None:
        _check_previous(config, number, previous.stage)
        estimate = previous.estimate.positions.astype(np.float64)
        if number == 3 and config.label_input:
            input_labels, before = previous.stage.labels, previous.estimate.labels
    labels = None
    if config.clusters:
        space = space or SPACES[number - 1]
        labels = fit_labels(config, space, shapes.positions, estimate, shapes.observed, seed)
    spec = stage_spec(config, number, shapes.slots.shape[1], labels)
    spec["label_inputs"] = 0 if before is None else before.shape[1]
    parts, router = _partition(config, number, shapes, previous)
    nets, history, starts = [], [], []
    options = options or TrainerOptions()
    for branch, rows in enumerate(parts):
        net_seed = seed + 1_000 * number + branch
        torch.manual_seed(net_seed)
        net = _initial_network(config, spec, None if start else previous, start is None)
        if start is not None:
            starts.append(warm_start(net, start, branch))
        run = scale_epochs(config, len(rows), len(shapes))
        module = StageModule(net, run, labels, data.mirror, net_seed, input_labels)
        samples = AlignmentSamples(data.crops, shapes, estimate, before, rows)
        checkpoint = options.checkpoint
        if checkpoint is not None and branch:
            checkpoint = checkpoint.with_name(f"{checkpoint.name}.{branch}")
        history += fit(module, samples, replace(options, checkpoint=checkpoint))
        nets.append(net.eval())
    if starts:
        spec["start"] = [of_net.spec for of_net in starts]
    return TrainedStage(tuple(nets), labels, spec, router, tuple(history), tuple(starts))


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
    keys = {"backbone", "input_size", "frame", "padding", "dropout", "precision"}
    return {
        "stage": number,
        "landmarks": landmarks,
        "clusters": 0 if labels is None else len(labels.centers),
        **config.model_dump(mode="json", include=keys),
        "training": config.model_dump(mode="json", exclude={"start_from"}),
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


def _check_previous(config: DfaStage, number: int, previous: TrainedStage) -> None:
    """Check that a stage can follow the one before it.

    Raises:
        ValueError: the positions of the stage before are in other crops, its network is another one, or
            it has no pseudo-labels and stage 3 takes them as input.
    """
    here = config.model_dump(mode="json")
    keys = ("input_size", "frame", "padding", *(["backbone"] if config.inherit else []))
    differ = [
        f"{key} {previous.spec[key]} (here {here[key]})"
        for key in keys
        if previous.spec.get(key, here[key]) != here[key]
    ]
    if differ:
        raise ValueError(
            f"stage {number - 1} was trained with {', '.join(differ)}; run "
            f"`fashion-ops dfa_stage --stage {number - 1}` again, or set dfa_stage back"
        )
    if number == 3 and config.label_input and previous.labels is None:
        raise ValueError(
            "dfa_stage.label_input: stage 3 takes stage 2's pseudo-labels; set clusters above 0"
        )


def _initial_network(
    config: DfaStage, spec: dict[str, Any], previous: PreviousStage | None, pretrained: bool
) -> StageNet:
    """Build a network that starts from the weights of the previous stage.

    In stage 1, where ``previous`` is None, and without ``inherit``, weights are those of
    ``config.pretrained`` or random; only random unless ``pretrained``.
    """
    if previous is None or not config.inherit:
        return build(spec, config.pretrained if pretrained else None)
    net = build(spec)
    net.warm_start(previous.stage.nets[0])
    return net


def scale_epochs(config: DfaStage, count: int, total: int) -> DfaStage:
    """Raise the epochs so that training on ``count`` garments takes as many steps as on all ``total``.

    The epochs of ``lr_steps`` are raised by the same factor.
    """
    return config.with_epochs(max(1, round(config.epochs * total / max(count, 1))))
