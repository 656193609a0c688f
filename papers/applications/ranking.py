"""Rankings: top-k recall of attributes and hit@k of retrieval (DFA, section 4.4; DeepFashion).

Recall is the share of an image's attributes that are among its k best scores. ``macro`` averages over
attributes (the paper's "average on 50 attributes"), ``micro`` over all attributes of all images. A
query is a hit@k if its exact item is among the k nearest images of the gallery.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Recall:
    """Top-k recall.

    Attributes:
        per_attribute: NaN for an attribute that no image has.
        macro: mean over attributes, without those NaN.
        micro: mean over all attributes of all images.
    """

    per_attribute: Float[np.ndarray, " a"]
    macro: float
    micro: float


def topk_recall(scores: Float[np.ndarray, "n a"], labels: Int[np.ndarray, "n a"], k: int) -> Recall:
    """Share of the images' attributes that are among their k best scores.

    Args:
        scores: confidence of each attribute; equal scores rank by the order of the attributes.
        labels: 1 for an attribute that the image has; anything else is absent or unknown.
        k: number of scores of an image that count.

    Raises:
        ValueError: k is not in 1 to A, or no image has any attribute.
    """
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"top-{k} of {scores.shape[1]} attributes: k must be 1 to their number")
    has = labels > 0
    if not has.any():
        raise ValueError("no image has any attribute: nothing to recall")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    predicted = np.zeros_like(has)
    np.put_along_axis(predicted, best, True, axis=1)
    hits, positives = (predicted & has).sum(0), has.sum(0)
    per_attribute = np.where(positives > 0, hits / np.maximum(positives, 1), np.nan)
    return Recall(per_attribute, float(np.nanmean(per_attribute)), float(hits.sum() / positives.sum()))


def hits_at(
    query: Float[np.ndarray, "q f"],
    gallery: Float[np.ndarray, "g f"],
    query_items: np.ndarray,
    gallery_items: np.ndarray,
    ks: Sequence[int],
) -> dict[int, float]:
    """Share of queries whose item is among the k nearest gallery images, in Euclidean distance.

    Args:
        query: features of each query.
        gallery: features of each gallery image.
        query_items: item id of each query.
        gallery_items: item id of each gallery image; several images may show one item.
        ks: the values of k.

    Returns:
        The share for each k.

    Raises:
        ValueError: a query's item is not in the gallery, or there is no query.
    """
    if not len(query):
        raise ValueError("no queries to evaluate")
    missing = sorted({str(i) for i in query_items} - {str(i) for i in gallery_items})
    if missing:
        raise ValueError(f"items {missing[:3]} of {len(missing)} queries are not in the gallery")
    squared = (gallery**2).sum(1) - 2 * query @ gallery.T  # less |query|^2, the same for all
    order = np.argsort(squared, axis=1, kind="stable")
    same = gallery_items[order] == query_items[:, None]
    first = same.argmax(1)
    return {k: float((first < k).mean()) for k in ks}
