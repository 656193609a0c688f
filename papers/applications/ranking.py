"""Rankings: top-k recall of attributes and hit@k of retrieval (DFA, section 4.4; DeepFashion).

Recall counts an attribute as found where it is among the k best scores of an image that has it.
"Average on 50 attributes" is ``macro``: each attribute's recall counts once. ``micro`` counts each
image's attribute once. A hit@k is a query with its exact item among the k nearest of the gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Recall:
    """``per_attribute`` (A,) is NaN where no image has the attribute; ``macro`` leaves those out."""

    per_attribute: Float[np.ndarray, " a"]
    macro: float
    micro: float


def topk_recall(scores: Float[np.ndarray, "n a"], labels: Int[np.ndarray, "n a"], k: int) -> Recall:
    """How many of the attributes that images have are among their k best scores.

    Args:
        scores: the higher, the surer; equal scores rank by the order of the attributes.
        labels: 1 has the attribute; everything else has it not, or isn't known.
        k: how many scores of an image count.

    Raises:
        ValueError: k isn't 1 to A, or no image has any attribute.
    """
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"top-{k} of {scores.shape[1]} attributes: k must be 1 to their number")
    has = labels > 0
    if not has.any():
        raise ValueError("no image has any attribute: nothing to recall")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    found = np.zeros_like(has)
    np.put_along_axis(found, best, True, axis=1)
    hits, positives = (found & has).sum(0), has.sum(0)
    each = np.where(positives > 0, hits / np.maximum(positives, 1), np.nan)
    return Recall(each, float(np.nanmean(each)), float(hits.sum() / positives.sum()))


def hits_at(
    query: Float[np.ndarray, "q f"],
    gallery: Float[np.ndarray, "g f"],
    query_items: np.ndarray,
    gallery_items: np.ndarray,
    ks: Sequence[int],
) -> dict[int, float]:
    """Share of queries with their item among the k nearest of the gallery, in Euclidean distance.

    Args:
        query: features of each query.
        gallery: features of each image of the gallery.
        query_items: item of each query.
        gallery_items: item of each image of the gallery; several may show one item.
        ks: how many of the nearest to look at.

    Raises:
        ValueError: a query's item isn't in the gallery at all, or there is no query.
    """
    if not len(query):
        raise ValueError("no queries to judge")
    missing = sorted({str(i) for i in query_items} - {str(i) for i in gallery_items})
    if missing:
        raise ValueError(f"items {missing[:3]} of {len(missing)} queries are not in the gallery")
    squared = (gallery**2).sum(1) - 2 * query @ gallery.T  # less |query|^2, the same for all
    order = np.argsort(squared, axis=1, kind="stable")
    same = gallery_items[order] == query_items[:, None]
    first = same.argmax(1)
    return {k: float((first < k).mean()) for k in ks}
