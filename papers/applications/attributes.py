"""Attributes from features of four localisations: top-5 recall, DFA's section 4.4 and Figure 7 (a)."""

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from papers.alignment import SEEDS, open_source
from papers.applications import paper
from papers.applications.features import Scale
from papers.applications.localisations import (
    ROWS,
    Localiser,
    describe,
    train_localiser,
)
from papers.applications.perceptron import predict_scores, train_classifier
from papers.applications.ranking import topk_recall
from papers.config import TableConfig
from papers.table import Column, PaperColumn, Table

TOP = 5
MACRO, MICRO = "top-5 recall", "micro"


def run(config: TableConfig, localiser: Localiser | None = None) -> Table:
    """Train a perceptron on each localisation's features with each seed; evaluate the test split.

    Args:
        config: options of the table.
        localiser: networks for joints and landmarks; None trains them.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: a split is empty.
    """
    catalog = open_source(config, "category_attribute")
    train, test = catalog.points("train"), catalog.points("test")
    if not len(train) or not len(test):
        raise ValueError(
            f"{catalog.folder}: needs garments in the splits train (has {len(train)}) and test "
            f"(has {len(test)})"
        )
    localiser = localiser or train_localiser(config)
    train_features = localiser.features(catalog, train)
    test_features = localiser.features(catalog, test)
    train_labels, test_labels = labels(catalog, train), labels(catalog, test)
    kinds = catalog.attributes["kind"].to_numpy()
    seeds, rows = config.seeds or SEEDS, {}
    for row in ROWS:
        scale = Scale.of(train_features[row])
        recalls = []
        for seed in seeds:
            net = train_classifier(scale(train_features[row]), train_labels, seed)
            scores = predict_scores(net, scale(test_features[row]))
            recalls.append(topk_recall(scores, test_labels, TOP))
        per_attribute = np.mean([recall.per_attribute for recall in recalls], axis=0)
        rows[row] = {
            MACRO: np.mean([recall.macro for recall in recalls]),
            MICRO: np.mean([recall.micro for recall in recalls]),
            **{kind: float(np.nanmean(per_attribute[kinds == kind])) for kind in dict.fromkeys(kinds)},
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "localisation"
    frequency = np.broadcast_to((train_labels > 0).mean(0), test_labels.shape)
    common = topk_recall(frequency, test_labels, TOP)
    return Table(
        name="attributes",
        title="DFA section 4.4: attributes by where the features come from",
        columns=tuple(Column(name) for name in table.columns),
        rows=table,
        ours=f"{describe(catalog, ('train', 'test'))}; mean of {len(seeds)} seeds; {localiser.name}",
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
    """Attributes (N, A) of garments, int8: 1 present, -1 absent, 0 unknown."""
    rows = catalog.garments.set_index("garment_id").loc[points.garment_id, "attributes"]
    return np.stack([np.asarray(row, np.int8) for row in rows])
