"""Attributes from features of four localisations: top-5 recall, DFA's section 4.4 and Figure 7 (a)."""

from functools import partial

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from papers.alignment import SEEDS, open_source
from papers.applications import paper
from papers.applications.features import Scale
from papers.applications.localisations import ROWS, Localisers, describe, train_localiser
from papers.applications.perceptron import predict_scores, train_classifier
from papers.applications.ranking import topk_recall
from papers.applications.seeds import INTERVAL, claims, over_seeds
from papers.config import TableConfig
from papers.table import Column, PaperColumn, Table

TOP = 5
MACRO, MICRO = "top-5 recall", "micro"


def run(config: TableConfig, localisers: Localisers | None = None) -> Table:
    """With each seed, train networks and a perceptron on each row's features; evaluate the test split.

    Args:
        config: options of the table.
        localisers: networks for joints and landmarks by seed; None trains them.

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
    localisers = localisers or partial(train_localiser, config)
    train_labels, test_labels = labels(catalog, train), labels(catalog, test)
    kinds = catalog.attributes["kind"].to_numpy()
    seeds = config.seeds or SEEDS
    by_seed: list[pd.DataFrame] = []
    networks = ""
    for seed in seeds:
        localiser = localisers(seed)
        networks = localiser.name
        train_features = localiser.features(catalog, train)
        test_features = localiser.features(catalog, test)
        rows = {}
        for row in ROWS:
            scale = Scale.of(train_features[row])
            net = train_classifier(scale(train_features[row]), train_labels, seed)
            recall = topk_recall(predict_scores(net, scale(test_features[row])), test_labels, TOP)
            each = recall.per_attribute
            rows[row] = {
                MACRO: recall.macro,
                MICRO: recall.micro,
                **{kind: float(np.nanmean(each[kinds == kind])) for kind in dict.fromkeys(kinds)},
            }
        by_seed.append(pd.DataFrame.from_dict(rows, orient="index"))
    table = over_seeds(by_seed, (MACRO, MICRO))
    frequency = np.broadcast_to((train_labels > 0).mean(0), test_labels.shape)
    common = topk_recall(frequency, test_labels, TOP)
    return Table(
        name="attributes",
        title="DFA section 4.4: attributes by where the features come from",
        columns=tuple(Column(name, drawn=not name.startswith(INTERVAL)) for name in table.columns),
        rows=table,
        ours=f"{describe(catalog, ('train', 'test'))}; mean of {len(seeds)} seeds; {networks}",
        theirs=paper.DATA,
        same_data=False,
        paper=(PaperColumn(MACRO, paper.TOP5_RECALL),),
        notes=(
            f"`{MACRO}`: the mean over attributes, as in the paper; `{MICRO}`: over all attributes of "
            "all images; the other columns: the mean over the attributes of a kind.",
            f"The {TOP} commonest attributes, whatever the image: {common.macro:.3f}, micro "
            f"{common.micro:.3f}.",
            *claims(by_seed, (MACRO, MICRO)),
        ),
        paper_data="DeepFashion",
    )


def labels(catalog: AlignmentCatalog, points: AlignmentLandmarks) -> np.ndarray:
    """Attributes (N, A) of garments, int8: 1 present, -1 absent, 0 unknown."""
    rows = catalog.garments.set_index("garment_id").loc[points.garment_id, "attributes"]
    return np.stack([np.asarray(row, np.int8) for row in rows])
