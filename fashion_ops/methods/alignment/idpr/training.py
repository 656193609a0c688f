"""Training and predicting with IDPR, alone and with DFA's pseudo-labels and routing (Table 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.alignment.crops import AlignmentSamples, Crops, Shapes, from_pixels
from fashion_ops.methods.alignment.dfa.labels import PseudoLabels, fit_labels
from fashion_ops.methods.alignment.dfa.loss import label_loss
from fashion_ops.methods.alignment.dfa.routing import EASY, HARD, halving_epsilon, route
from fashion_ops.methods.alignment.dfa.training import as_long, settings
from fashion_ops.methods.alignment.idpr.model import (
    IdprNet,
    Scores,
    Tree,
    cell_of,
    cells,
    place_loss,
    refine,
)
from fashion_ops.methods.alignment.idpr.relations import Relation, fit_relations, nearest_type
from fashion_ops.methods.alignment.idpr.tree import max_sum
from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.schedule import auxiliary_weight
from fashion_ops.methods.parts.trainer import TrainingModule, autocast, fit
from fashion_ops.params import DfaStage, TrainingConfig

TYPES = 6
BATCH = 32
WEIGHTS = (0.0, 0.1, 0.3, 1.0)  # of the relations against the appearance, tried on training garments
TRIED = 200  # garments
ROUTER_STEPS, ROUTER_LR = 200, 0.01


class IdprModule(TrainingModule):
    """Places, types of relations, and pseudo-labels where there are any."""

    def __init__(
        self,
        model: IdprNet,
        config: TrainingConfig,
        warp: Warp,
        trees: Sequence[Tree],
        labels: PseudoLabels | None,
        weight: tuple[float, tuple[float, float]],
        mirror: Tensor,
        seed: int,
    ) -> None:
        super().__init__(config, seed)
        self.model, self.warp, self.trees, self.labels = model, warp, trees, labels
        self.weight = weight
        self.register_buffer("mirror", mirror, persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Cross entropies of places and types; the pseudo-labels' loss as DFA's eq. 4 weighs it."""
        crops = batch["crop"]
        size = crops.shape[-1]
        pixels, points = warp_batch(
            crops, batch["landmarks"], (size, size), self.get_buffer("mirror"), self.warp, generator
        )
        true, observed = from_pixels(points[..., :2], size), points[..., 2] > 0
        out: Scores = self.model(normalize(pixels).contiguous(memory_format=torch.channels_last))
        place = place_loss(out.places, true, observed, out.side)
        kind = _type_loss(self.trees, out, true, observed, batch["slots"])
        loss, told = place + kind, {"place": place, "type": kind}
        if self.labels is not None:
            soft = self.labels.soft(true.double().cpu().numpy(), None, observed.cpu().numpy())
            told["label"] = label_loss(out.labels, torch.from_numpy(soft).to(true))
            loss = loss + auxiliary_weight(self.progress, *self.weight) * told["label"]
        return {"loss": loss, **told}


def _type_loss(
    trees: Sequence[Tree], out: Scores, true: Tensor, observed: Tensor, slots: Tensor
) -> Tensor:
    """Cross entropy of each relation's type at the true cell of its start, mean over relations."""
    losses = []
    positions = true.double().cpu().numpy()
    for tree, types in zip(trees, out.types, strict=True):
        own = (slots == torch.from_numpy(tree.slots).to(slots.device)).all(1)
        for relation, scores in zip(tree.relations, types, strict=True):
            rows = (own & observed[:, relation.start] & observed[:, relation.end]).nonzero()[:, 0]
            if not len(rows):
                continue
            at = cell_of(true[rows, relation.start], out.side)
            named = nearest_type(relation, positions[rows.cpu().numpy()])
            wanted = torch.from_numpy(named).to(true.device)
            losses.append(F.nll_loss(scores[rows, :, at], wanted))
    return torch.stack(losses).mean() if losses else out.places.new_zeros(())


@dataclass(frozen=True)
class Idpr:
    """A trained model: one network, or an easy and a hard one behind a router.

    ``weight``: of the relations against the appearance; ``router``: network that is asked first, head
    that reads its pooled features, (e(C_k), epsilon).
    """

    nets: tuple[IdprNet, ...]
    trees: tuple[Tree, ...]
    weight: float
    precision: str
    router: tuple[IdprNet, nn.Linear, np.ndarray, float] | None = None

    @torch.no_grad()
    def predict(self, crops: Crops, slots: np.ndarray) -> np.ndarray:
        """Positions (N, n, 2), normalised; ``slots`` (N, n) says which tree each garment has."""
        out = np.zeros((len(crops), self.nets[0].landmarks, 2), np.float32)
        for rows in np.array_split(np.arange(len(crops)), max(1, -(-len(crops) // BATCH))):
            pixels = normalize(crops.take(rows) / 255).contiguous(memory_format=torch.channels_last)
            branch = np.zeros(len(rows), np.int64)
            if self.router is not None:
                first, head, errors, epsilon = self.router
                labels = head(_run(first, pixels, self.precision).pooled).softmax(-1).numpy()
                branch = route(labels, errors, epsilon)
            for which in np.unique(branch):
                own = np.flatnonzero(branch == which)
                scores = _run(self.nets[which], pixels[torch.from_numpy(own)], self.precision)
                out[rows[own]] = infer(scores, self.trees, slots[rows[own]], self.weight).numpy()
        return out


def _run(net: IdprNet, pixels: Tensor, precision: str) -> Scores:
    net.eval()
    with autocast(precision, pixels.device):
        return net(pixels)


def infer(scores: Scores, trees: Sequence[Tree], slots: np.ndarray, weight: float) -> Tensor:
    """The best configuration of each garment, (B, n, 2); by appearance alone where it has no tree."""
    places, side = scores.places, scores.side
    chosen = places.argmax(-1)
    where = cells(side, places.device)
    between = where[None] - where[:, None]  # (start's cells, end's cells, 2)
    for tree, types in zip(trees, scores.types, strict=True):
        rows = np.flatnonzero((slots == tree.slots).all(axis=1))
        if not len(rows) or not weight:
            continue
        nodes = np.flatnonzero(tree.slots)
        index = {int(node): k for k, node in enumerate(nodes)}
        links = [(index[a], index[b]) for a, b in tree.links]
        own = [t[torch.from_numpy(rows)] for t in types]

        def pairwise(k: int, own: list[Tensor] = own, tree: Tree = tree) -> Tensor:
            there = _directed(tree.relations[2 * k], own[2 * k], between)
            back = _directed(tree.relations[2 * k + 1], own[2 * k + 1], between)
            return weight * (there + back.transpose(1, 2))

        best = max_sum(places[torch.from_numpy(rows)][:, torch.from_numpy(nodes)], links, pairwise)
        chosen[torch.from_numpy(rows)[:, None], torch.from_numpy(nodes)] = best
    return refine(places, chosen, side)


def _directed(relation: Relation, types: Tensor, between: Tensor) -> Tensor:
    """Best type's log probability at the start less its misfit, (B, start's cells, end's cells)."""
    best = None
    for t in range(len(relation.means)):
        mean, spread = (torch.from_numpy(v[t]).to(between) for v in (relation.means, relation.spread))
        misfit = 0.5 * ((between - mean) / spread).square().sum(-1)
        score = types[:, t, :, None] - misfit
        best = score if best is None else torch.maximum(best, score)
    assert best is not None
    return best


def make_trees(
    shapes: Shapes, links: Sequence[tuple[np.ndarray, Sequence[tuple[int, int]]]], seed: int
) -> tuple[Tree, ...]:
    """Fit the relations of each kind of garment: its slots (n,) and the links between them."""
    trees = []
    for slots, pairs in links:
        own = shapes.take((shapes.slots == slots).all(axis=1))
        pairs = tuple(pairs)
        trees.append(Tree(slots, pairs, fit_relations(own, pairs, TYPES, seed)))
    return tuple(trees)


def train_idpr(
    params: DfaStage,
    crops: Crops,
    shapes: Shapes,
    mirror: np.ndarray,
    links: Sequence[tuple[np.ndarray, Sequence[tuple[int, int]]]],
    seed: int,
) -> Idpr:
    """Train one network with DFA's data and protocol; ``clusters`` 0 leaves out the pseudo-labels."""
    trees = make_trees(shapes, links, seed)
    labels = None
    if params.clusters:
        labels = fit_labels(
            "configuration", shapes.positions, None, shapes.observed,
            params.clusters, params.temperature, seed,
        )  # fmt: skip
    torch.manual_seed(seed)
    clusters = 0 if labels is None else len(labels.centers)
    net = IdprNet(params.backbone, params.input_size, len(mirror), trees, clusters, params.pretrained)
    rows = np.flatnonzero(shapes.observed.any(axis=1))
    _fit(net, params, crops, shapes, mirror, trees, labels, rows, seed)
    model = Idpr((net,), trees, 0.0, params.precision)
    return replace(model, weight=_best_weight(model, crops, shapes, seed))


def add_routing(
    model: Idpr, params: DfaStage, crops: Crops, shapes: Shapes, mirror: np.ndarray, seed: int
) -> Idpr:
    """Two networks that start from ``model``'s, each trained on with its own garments.

    The router is a linear head on the first network's features: it learns the labels of that network's
    errors, as DFA's stage 2 does those of stage 1.
    """
    first = model.nets[0]
    found = model.predict(crops, shapes.slots).astype(np.float64)
    labels = fit_labels(
        "offset", shapes.positions, found, shapes.observed, params.clusters, params.temperature, seed
    )
    soft = labels.soft(shapes.positions, found, shapes.observed)
    head, predicted = _train_router(first, crops, soft, params.precision, seed)
    everything = np.flatnonzero(shapes.observed.any(axis=1))
    epsilon = params.epsilon
    if epsilon is None:
        epsilon = halving_epsilon(predicted[everything], labels.errors)
    branch = route(predicted, labels.errors, epsilon)
    nets = []
    for which in (EASY, HARD):
        rows = everything[branch[everything] == which]
        rows = rows if len(rows) >= min(params.batch_size, len(everything)) else everything
        net = IdprNet(params.backbone, params.input_size, len(mirror), model.trees, first.clusters)
        net.load_state_dict(first.state_dict())
        _fit(net, params, crops, shapes, mirror, model.trees, None, rows, seed + 1 + which)
        nets.append(net)
    return replace(model, nets=tuple(nets), router=(first, head, labels.errors, epsilon))


def _fit(
    net: IdprNet,
    params: DfaStage,
    crops: Crops,
    shapes: Shapes,
    mirror: np.ndarray,
    trees: Sequence[Tree],
    labels: PseudoLabels | None,
    rows: np.ndarray,
    seed: int,
) -> None:
    samples = AlignmentSamples(crops, shapes, rows=rows)
    run = as_long(params, len(rows), len(shapes))
    weight = (params.label_weight, params.decay)
    warp = settings(params, mirror).warp
    fit(IdprModule(net, run, warp, trees, labels, weight, torch.from_numpy(mirror), seed), samples)


@torch.no_grad()
def _best_weight(model: Idpr, crops: Crops, shapes: Shapes, seed: int) -> float:
    """Of ``WEIGHTS``, the one with the smallest mean error on some training garments."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(shapes), min(TRIED, len(shapes)), replace=False))
    own = shapes.take(rows)
    totals = np.zeros(len(WEIGHTS))
    for part in np.array_split(np.arange(len(rows)), max(1, -(-len(rows) // BATCH))):
        scores = _run(model.nets[0], normalize(crops.take(rows[part]) / 255), model.precision)
        for k, weight in enumerate(WEIGHTS):
            found = infer(scores, model.trees, own.slots[part], weight).numpy()
            off = np.linalg.norm(found - own.positions[part], axis=-1)
            totals[k] += off[own.observed[part]].sum()
    return WEIGHTS[int(totals.argmin())]


def _train_router(
    net: IdprNet, crops: Crops, soft: np.ndarray, precision: str, seed: int
) -> tuple[nn.Linear, np.ndarray]:
    """A head on the network's pooled features, and what it says of the crops (N, K)."""
    with torch.no_grad():
        parts = np.array_split(np.arange(len(crops)), max(1, -(-len(crops) // BATCH)))
        x = torch.cat([_run(net, normalize(crops.take(p) / 255), precision).pooled for p in parts])
    torch.manual_seed(seed)
    head = nn.Linear(x.shape[1], soft.shape[1])
    optimizer = torch.optim.Adam(head.parameters(), ROUTER_LR)
    wanted = torch.from_numpy(soft).to(x)
    for _ in range(ROUTER_STEPS):
        optimizer.zero_grad()
        F.cross_entropy(head(x), wanted).backward()
        optimizer.step()
    with torch.no_grad():
        return head, head(x).softmax(-1).numpy()
