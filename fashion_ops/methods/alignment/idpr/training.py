"""Training of IDPR, alone and with DFA's pseudo-labels and routing (Table 4 of the DFA paper)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fashion_ops.methods.alignment.data import AlignmentData, AlignmentSamples
from fashion_ops.methods.alignment.dfa.targets import fit_labels
from fashion_ops.methods.alignment.dfa.training import scale_epochs, split_by_route
from fashion_ops.methods.alignment.idpr.inference import Idpr, Router, batches, infer, scores_of
from fashion_ops.methods.alignment.idpr.model import IdprNet
from fashion_ops.methods.alignment.idpr.module import IdprModule
from fashion_ops.methods.alignment.idpr.relations import Links, make_trees
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.params import DfaStage

WEIGHTS = (0.0, 0.1, 0.3, 1.0)  # candidates for ``Idpr.weight``
WEIGHT_GARMENTS = 200  # training garments on which they are compared
ROUTER_STEPS, ROUTER_LR = 200, 0.01


def train_idpr(
    config: DfaStage,
    data: AlignmentData,
    links: Sequence[tuple[np.ndarray, Links]],
    seed: int,
    options: TrainerOptions | None = None,
) -> Idpr:
    """Train one network with DFA's data and protocol, and select the weight of its relations.

    Args:
        config: the section of DFA; ``clusters`` 0 trains without pseudo-labels.
        data: the training garments.
        links: for each kind of garment a mask (n,) of its landmarks and the links of its tree.
        seed: of weights, clusters, order and augmentation.
        options: how the training is carried out.
    """
    shapes = data.shapes
    trees = make_trees(shapes, links, seed)
    labels = None
    if config.clusters:
        labels = fit_labels(config, "configuration", shapes.positions, None, shapes.observed, seed)
    torch.manual_seed(seed)
    clusters = 0 if labels is None else len(labels.centers)
    net = IdprNet(
        config.backbone, config.input_size, len(data.mirror), trees, clusters, config.pretrained
    )
    rows = shapes.labelled
    run = scale_epochs(config, len(rows), len(shapes))
    module = IdprModule(net, run, trees, labels, data.mirror, seed)
    fit(module, AlignmentSamples(data.crops, shapes, rows=rows), options)
    model = Idpr((net,), trees, 0.0, config.precision)
    return replace(model, weight=_best_weight(model, data, seed))


def add_routing(
    config: DfaStage, model: Idpr, data: AlignmentData, seed: int, options: TrainerOptions | None = None
) -> Idpr:
    """Train an easy and a hard network, each on the garments that a router sends to it.

    Both start from the weights of ``model``. The router is a linear head on the features of the network
    in ``model``. It learns the pseudo-labels of the errors of that network, as stage 2 of DFA learns
    those of stage 1.

    Args:
        config: the section of DFA.
        model: of ``train_idpr``, with one network.
        data: the training garments.
        seed: of the router, clusters, order and augmentation.
        options: how both trainings are carried out; they take no ``checkpoint``.
    """
    first, shapes = model.nets[0], data.shapes
    predicted = model.predict(data.crops, shapes.slots).astype(np.float64)
    labels = fit_labels(config, "offset", shapes.positions, predicted, shapes.observed, seed)
    soft = labels.soft(shapes.positions, predicted, shapes.observed)
    head, routed = _train_router(first, data, soft, config.precision, seed)
    parts, (errors, epsilon) = split_by_route(config, shapes, routed, labels.errors)
    nets = []
    for branch, rows in enumerate(parts):
        net = IdprNet(config.backbone, config.input_size, len(data.mirror), model.trees, first.clusters)
        net.load_state_dict(first.state_dict())
        run = scale_epochs(config, len(rows), len(shapes))
        module = IdprModule(net, run, model.trees, None, data.mirror, seed + 1 + branch)
        fit(module, AlignmentSamples(data.crops, shapes, rows=rows), options)
        nets.append(net)
    return replace(model, nets=tuple(nets), router=Router(first, head, errors, epsilon))


@torch.no_grad()
def _best_weight(model: Idpr, data: AlignmentData, seed: int) -> float:
    """Choose the one of ``WEIGHTS`` with the smallest mean error on up to 200 training garments."""
    count = len(data.shapes)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(count, min(WEIGHT_GARMENTS, count), replace=False))
    totals = np.zeros(len(WEIGHTS))
    for part in batches(len(rows)):
        shapes = data.shapes.take(rows[part])
        scores = scores_of(model.nets[0], data.crops.take(rows[part]), model.precision)
        for k, weight in enumerate(WEIGHTS):
            positions = infer(scores, model.trees, shapes.slots, weight).cpu().numpy()
            errors = np.linalg.norm(positions - shapes.positions, axis=-1)
            totals[k] += errors[shapes.observed].sum()
    return WEIGHTS[int(totals.argmin())]


def _train_router(
    net: IdprNet, data: AlignmentData, soft: np.ndarray, precision: str, seed: int
) -> tuple[nn.Linear, np.ndarray]:
    """Train a linear head from pooled features to soft labels.

    Args:
        net: computes the features; it is not trained.
        data: N garments.
        soft: their soft labels (N, K).
        precision: ``auto``, ``fp32`` or ``bf16``.
        seed: of the head's weights.

    Returns:
        The head, and the labels (N, K) that it predicts.
    """
    with torch.no_grad():
        parts = batches(len(data.crops))
        x = torch.cat([scores_of(net, data.crops.take(p), precision).pooled for p in parts])
    torch.manual_seed(seed)
    head = nn.Linear(x.shape[1], soft.shape[1]).to(x.device)
    optimizer = torch.optim.Adam(head.parameters(), ROUTER_LR)
    target = torch.from_numpy(soft).to(x)
    for _ in range(ROUTER_STEPS):
        optimizer.zero_grad()
        F.cross_entropy(head(x), target).backward()
        optimizer.step()
    with torch.no_grad():
        return head, head(x).softmax(-1).cpu().numpy()
