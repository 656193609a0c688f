"""Retrieval of the same item in a shop's images: hit@k, DFA's section 4.4 and Figure 7 (b).

Queries are consumers' images (Consumer-to-shop) or other images of the shop (In-shop).
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from papers.alignment import SEEDS, open_source
from papers.applications import paper
from papers.applications.features import Scale
from papers.applications.localisations import (
    ROWS,
    Localiser,
    Localisers,
    describe,
    train_localiser,
)
from papers.applications.ranking import hits_at
from papers.applications.seeds import INTERVAL, claims, over_seeds
from papers.config import TableConfig
from papers.table import Column, PaperColumn, Table

KS = (1, 5, 20)
GALLERY = ("test",)  # splits of the gallery's shop images; mmfashion's documentation adds val


def run(config: TableConfig, localisers: Localisers | None = None) -> Table:
    """Rank the gallery by Euclidean distance of the features, on both benchmarks, with each seed.

    Args:
        config: options of the table.
        localisers: networks for joints and landmarks by seed; None trains them.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: a catalog has no queries.
    """
    catalogs = {source: open_source(config, source) for source in _SIDES}
    sides = {source: _SIDES[source](catalog) for source, catalog in catalogs.items()}
    localisers = localisers or partial(train_localiser, config)
    chances, descriptions = [], []
    names: dict[str, dict[int, str]] = {}
    for source, catalog in catalogs.items():
        queries, gallery = sides[source]
        before, after = ("", "") if source == "consumer_to_shop" else ("In-shop ", ", In-shop")
        names[source] = {k: f"{before}hit@{k}" for k in KS}
        items = len(set(gallery.item_id))
        chances += [f"{before}hit@{k} {_chance(len(gallery), len(gallery) / items, k):.3f}" for k in KS]
        descriptions.append(
            f"{describe(catalog, sorted(set(catalog.garments['split'])))}: {len(queries)} queries, "
            f"{len(gallery)} images of {items} items to find{after}"
        )
    seeds, by_seed, networks = config.seeds or SEEDS, [], ""
    for seed in seeds:
        localiser = localisers(seed)
        networks = localiser.name
        hits = [
            _hits(localiser, catalog, *sides[source]).rename(columns=names[source])
            for source, catalog in catalogs.items()
        ]
        by_seed.append(pd.concat(hits, axis=1))
    columns = list(by_seed[0].columns)
    table = over_seeds(by_seed, columns)
    return Table(
        name="retrieval",
        title="DFA section 4.4: finding the same item by where the features come from",
        columns=tuple(Column(name, drawn=not name.startswith(INTERVAL)) for name in table.columns),
        rows=table,
        ours=f"{'; '.join(descriptions)}; mean of {len(seeds)} seeds; {networks}",
        theirs=paper.DATA,
        same_data=False,
        paper=(PaperColumn("hit@20", paper.HIT_20),),
        notes=(
            "hit@k: the exact item is among the k nearest images, in Euclidean distance of features "
            "of mean 0 and standard deviation 1 over the training split. Queries are consumers' "
            "images (Consumer-to-shop) or other images of the shop (In-shop).",
            f"By chance: {', '.join(chances)}.",
            *claims(by_seed, columns),
        ),
        paper_data="DeepFashion",
    )


def _hits(
    localiser: Localiser,
    catalog: AlignmentCatalog,
    queries: AlignmentLandmarks,
    gallery: AlignmentLandmarks,
) -> pd.DataFrame:
    """hit@k: one row a localisation, one column a k."""
    train = localiser.features(catalog, catalog.points("train"))
    query_features = localiser.features(catalog, queries)
    gallery_features = localiser.features(catalog, gallery)
    rows = {}
    for row in ROWS:
        scale = Scale.of(train[row])
        query, known = scale(query_features[row]), scale(gallery_features[row])
        rows[row] = hits_at(query, known, queries.item_id, gallery.item_id, KS)
    return pd.DataFrame.from_dict(rows, orient="index")


def consumer_to_shop(catalog: AlignmentCatalog) -> tuple[AlignmentLandmarks, AlignmentLandmarks]:
    """Queries and gallery of Consumer-to-shop: consumers' test images, shops' images of some splits.

    Raises:
        ValueError: the test split has no pairs.
    """
    pairs, points = catalog.pairs, catalog.points()
    consumers = pairs.loc[pairs["split"] == "test", "consumer_image_id"]
    if consumers.empty:
        raise ValueError(f"{catalog.folder}: no pairs in split test, so no queries")
    shops = pairs.loc[pairs["split"].isin(GALLERY), "shop_image_id"]
    return (
        points.take(np.isin(points.image_id, consumers)),
        points.take(np.isin(points.image_id, shops)),
    )


def in_shop(catalog: AlignmentCatalog) -> tuple[AlignmentLandmarks, AlignmentLandmarks]:
    """Queries and gallery of In-shop: its splits ``query`` and ``gallery``.

    Raises:
        ValueError: split ``query`` is empty.
    """
    queries, gallery = catalog.points("query"), catalog.points("gallery")
    if not len(queries):
        raise ValueError(f"{catalog.folder}: no images in split query, so no queries")
    return queries, gallery


def _chance(images: int, per_item: float, k: int) -> float:
    """Probability that k images drawn at random hold at least one of an item's ``per_item`` images."""
    misses = 1.0
    for i in range(min(k, images)):
        misses *= max(0.0, 1 - per_item / (images - i))
    return 1 - misses


_SIDES: dict[str, Callable[[AlignmentCatalog], tuple[AlignmentLandmarks, AlignmentLandmarks]]] = {
    "consumer_to_shop": consumer_to_shop,
    "in_shop": in_shop,
}
