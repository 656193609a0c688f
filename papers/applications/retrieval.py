"""The same item in a shop's images: hit@k of section 4.4 and Figure 7 (b).

Of Consumer-to-shop a consumer's image asks, of In-shop another image of the shop's own.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from papers.applications import paper
from papers.applications.features import Scale
from papers.applications.localisations import (
    ROWS,
    Localiser,
    described,
    open_source,
    train_localiser,
)
from papers.applications.ranking import hits_at
from papers.config import Request
from papers.table import Column, PaperColumn, Table

KS = (1, 5, 20)
GALLERY = ("test",)  # splits whose shop images are looked through; mmfashion's documents add val


def run(request: Request, localiser: Localiser | None = None) -> Table:
    """Euclidean distance of the features, on both benchmarks.

    Args:
        request: what was asked for.
        localiser: what finds joints and landmarks; None trains one.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: nothing to look for.
    """
    catalogs = {source: open_source(request, source) for source in _SIDES}
    sides = {source: _SIDES[source](catalog) for source, catalog in catalogs.items()}
    localiser = localiser or train_localiser(request)
    parts, chances, said = [], [], []
    for source, catalog in catalogs.items():
        queries, gallery = sides[source]
        before, after = ("", "") if source == "consumer_to_shop" else ("In-shop ", ", In-shop")
        found = _hits(localiser, catalog, queries, gallery)
        parts.append(found.rename(columns={k: f"{before}hit@{k}" for k in KS}))
        items = len(set(gallery.item_id))
        chances += [f"{before}hit@{k} {_chance(len(gallery), len(gallery) / items, k):.3f}" for k in KS]
        said.append(
            f"{described(catalog, sorted(set(catalog.garments['split'])))}: {len(queries)} queries, "
            f"{len(gallery)} images of {items} items to find{after}"
        )
    table = pd.concat(parts, axis=1)
    table.index.name = "localisation"
    return Table(
        name="retrieval",
        title="DFA section 4.4: finding the same item by where the features come from",
        columns=tuple(Column(name) for name in table.columns),
        rows=table,
        ours=f"{'; '.join(said)}; {localiser.name}",
        theirs=paper.DATA,
        same_data=False,
        paper=(PaperColumn("hit@20", paper.HIT_20),),
        notes=(
            "hit@k: the exact item is among the k nearest images, in Euclidean distance of features "
            "of mean 0 and deviation 1 over the training split. A consumer's image asks for the "
            "shop's (Consumer-to-shop); a shop's image for its others (In-shop).",
            f"By chance: {', '.join(chances)}.",
        ),
        paper_data="DeepFashion",
    )


def _hits(
    localiser: Localiser,
    catalog: AlignmentCatalog,
    queries: AlignmentLandmarks,
    gallery: AlignmentLandmarks,
) -> pd.DataFrame:
    """hit@k: a row a localisation, a column a k."""
    train = localiser.features(catalog, catalog.points("train"))
    asked, known = localiser.features(catalog, queries), localiser.features(catalog, gallery)
    rows = {}
    for row in ROWS:
        scale = Scale.of(train[row])
        rows[row] = hits_at(scale(asked[row]), scale(known[row]), queries.item_id, gallery.item_id, KS)
    return pd.DataFrame.from_dict(rows, orient="index")


def sides_of_pairs(
    catalog: AlignmentCatalog, gallery: tuple[str, ...] = GALLERY
) -> tuple[AlignmentLandmarks, AlignmentLandmarks]:
    """Consumer-to-shop: consumers' test images of the pairs, shops' images of the gallery's splits.

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


def sides_of_shop(catalog: AlignmentCatalog) -> tuple[AlignmentLandmarks, AlignmentLandmarks]:
    """In-shop: the images of its splits query and gallery.

    Raises:
        ValueError: there are no queries.
    """
    queries, gallery = catalog.points("query"), catalog.points("gallery")
    if not len(queries):
        raise ValueError(f"{catalog.folder}: no images in split query, nothing to look for")
    return queries, gallery


def _chance(images: int, per_item: float, k: int) -> float:
    """Of at least one of an item's images among k drawn without looking."""
    misses = 1.0
    for i in range(min(k, images)):
        misses *= max(0.0, 1 - per_item / (images - i))
    return 1 - misses


_SIDES: dict[str, Callable[[AlignmentCatalog], tuple[AlignmentLandmarks, AlignmentLandmarks]]] = {
    "consumer_to_shop": sides_of_pairs,
    "in_shop": sides_of_shop,
}
