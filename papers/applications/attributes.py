"""Attributes from features of four localisations: the top-5 recall of section 4.4 and Figure 7 (a)."""

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from papers.alignment import SEEDS
from papers.applications import paper
from papers.applications.features import Scale
from papers.applications.localisations import (
    ROWS,
    Localiser,
    described,
    open_source,
    train_localiser,
)
from papers.applications.perceptron import predict_scores, train_classifier
from papers.applications.ranking import topk_recall
from papers.config import Request
from papers.table import Column, PaperColumn, Table

TOP = 5
MACRO, MICRO = "top-5 recall", "micro"


def run(request: Request, localiser: Localiser | None = None) -> Table:
    """Train a perceptron on each localisation's features with every seed and judge the test split.

    Args:
        request: what was asked for.
        localiser: what finds joints and landmarks; None trains one.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: a split is empty.
    """
    catalog = open_source(request, "category_attribute")
    train, test = catalog.points("train"), catalog.points("test")
    if not len(train) or not len(test):
        raise ValueError(
            f"{catalog.folder}: needs garments to train on ({len(train)}) and to judge ({len(test)})"
        )
    localiser = localiser or train_localiser(request)
    before, after = localiser.features(catalog, train), localiser.features(catalog, test)
    known, wanted = labels(catalog, train), labels(catalog, test)
    kinds = catalog.attributes["kind"].to_numpy()
    seeds, rows = request.seeds or SEEDS, {}
    for row in ROWS:
        scale = Scale.of(before[row])
        found = []
        for seed in seeds:
            net = train_classifier(scale(before[row]), known, seed)
            found.append(topk_recall(predict_scores(net, scale(after[row])), wanted, TOP))
        each = np.mean([f.per_attribute for f in found], axis=0)
        rows[row] = {
            MACRO: np.mean([f.macro for f in found]),
            MICRO: np.mean([f.micro for f in found]),
            **{kind: float(np.nanmean(each[kinds == kind])) for kind in dict.fromkeys(kinds)},
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "localisation"
    common = topk_recall(np.broadcast_to((known > 0).mean(0), wanted.shape), wanted, TOP)
    return Table(
        name="attributes",
        title="DFA section 4.4: attributes by where the features come from",
        columns=tuple(Column(name) for name in table.columns),
        rows=table,
        ours=f"{described(catalog, ('train', 'test'))}; mean of {len(seeds)} seeds; {localiser.name}",
        theirs=paper.DATA,
        same_data=False,
        paper=(PaperColumn(MACRO, paper.TOP5_RECALL),),
        notes=(
            f"`{MACRO}`: the mean over attributes, as in the paper; `{MICRO}`: over all attributes of "
            "all images; the other columns: the mean over the attributes of a kind.",
            f"The {TOP} commonest attributes, whatever the image: {common.macro:.3f}, micro "
            f"{common.micro:.3f}.",
        ),
        paper_data="DeepFashion",
    )


def labels(catalog: AlignmentCatalog, points: AlignmentLandmarks) -> np.ndarray:
    """Attributes (N, A) of garments: 1 has it, -1 has it not, 0 unknown."""
    own = catalog.garments.set_index("garment_id").loc[points.garment_id, "attributes"]
    return np.stack([np.asarray(row, np.int8) for row in own])
