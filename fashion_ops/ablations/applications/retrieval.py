"""A consumer's picture finds its item in the shop's: hit@k of section 4.4 and Figure 7 (b)."""

import numpy as np
import pandas as pd

from fashion_ops.ablations.applications import paper
from fashion_ops.ablations.applications.localisations import (
    ROWS,
    described,
    open_source,
    train_localiser,
)
from fashion_ops.ablations.request import Request
from fashion_ops.ablations.table import Column, PaperColumn, Table
from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.evaluation.ranking import hits_at
from fashion_ops.methods.alignment.applications.features import Scale

KS = (1, 5, 20)
GALLERY = ("test",)  # splits whose shop pictures are looked through; mmfashion's documents add val


def run(request: Request) -> Table:
    """Euclidean distance of the features; queries are the consumers' test pictures.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: no pairs to judge.
    """
    catalog = open_source(request, "consumer_to_shop")
    queries, shop = sides_of_pairs(catalog, GALLERY)
    train = catalog.points("train")
    localiser = train_localiser(request)
    scales = {row: Scale.of(found) for row, found in localiser.features(catalog, train).items()}
    asked, known = localiser.features(catalog, queries), localiser.features(catalog, shop)
    rows = {
        row: hits_at(
            scales[row](asked[row]), scales[row](known[row]), queries.item_id, shop.item_id, KS
        )
        for row in ROWS
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename(columns=lambda k: f"hit@{k}")
    table.index.name = "localisation"
    per_item = len(shop) / len(set(shop.item_id))
    chance = {k: _chance(len(shop), per_item, k) for k in KS}
    return Table(
        name="retrieval",
        title="DFA section 4.4: finding the same item by where the features come from",
        columns=tuple(Column(f"hit@{k}") for k in KS),
        rows=table,
        ours=(
            f"{described(catalog, ('train', 'test'))}; {len(queries)} queries, {len(shop)} shop "
            f"pictures of {len(set(shop.item_id))} items; {localiser.name}"
        ),
        theirs=paper.DATA,
        same_data=False,
        paper=(PaperColumn("hit@20", paper.HIT_20),),
        notes=(
            "hit@k: the exact item is among the k nearest shop pictures, in Euclidean distance of "
            "features of mean 0 and deviation 1 over the training split.",
            "By chance: " + ", ".join(f"hit@{k} {value:.3f}" for k, value in chance.items()) + ".",
        ),
        paper_data="DeepFashion",
    )


def sides_of_pairs(catalog: AlignmentCatalog, gallery: tuple[str, ...]):  # noqa: ANN201 (two Points)
    """The consumers' test pictures of the pairs, and the shops' pictures of the gallery's splits.

    Raises:
        ValueError: there are no pairs in the test split.
    """
    pairs, points = catalog.pairs, catalog.points()
    asked = pairs.loc[pairs["split"] == "test", "consumer_image_id"]
    if asked.empty:
        raise ValueError(f"{catalog.folder}: no pairs in split test, nothing to look for")
    offered = pairs.loc[pairs["split"].isin(gallery), "shop_image_id"]
    return (
        points.take(np.isin(points.image_id, asked)),
        points.take(np.isin(points.image_id, offered)),
    )


def _chance(pictures: int, per_item: float, k: int) -> float:
    """Of at least one of an item's pictures among k drawn without looking."""
    misses = 1.0
    for i in range(min(k, pictures)):
        misses *= max(0.0, 1 - per_item / (pictures - i))
    return 1 - misses
