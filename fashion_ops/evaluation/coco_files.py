"""Score a COCO result file against an annotation file, from any source.

Fields mean what they mean to ``ingest`` (``catalog.sources.coco_fields``). ``score_files`` answers
whenever stock pycocotools does, with its numbers: valid files are scored by ``oks``, all others by
pycocotools itself, with a warning that names the record and the value. Where pycocotools gives no
answer either, that sentence is the error.

``coco_annotations`` and ``coco_results`` read the two files, of any size. What pycocotools must score
is in memory as a whole.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_ops.catalog.sources.base import parse_exact
from fashion_ops.catalog.sources.coco_fields import category_names
from fashion_ops.evaluation.coco_annotations import check_needed, ground_truth, load_annotations
from fashion_ops.evaluation.coco_records import NotJson
from fashion_ops.evaluation.coco_results import read_results
from fashion_ops.evaluation.oks import STATS, score_landmarks


def score_files(annotations: Path, predictions: Path, processes: int = 1) -> dict[str, Any]:
    """Compute the official landmark AP of a result file.

    Args:
        annotations: COCO annotations with 294 keypoints.
        predictions: COCO results with 882 numbers each.
        processes: at most so many read a large result file.

    Returns:
        ``stats``, the ten numbers in the order of ``stats_order``; ``per_category_AP`` by category id
        as text; ``category_names``, those of the file, likewise. AP is -1 where there is no ground
        truth.

    Raises:
        ValueError: a file can't be read, or a record in it is wrong and stops pycocotools.
    """
    file = load_annotations(annotations)
    data = file.data
    try:
        truth = ground_truth(file)
        detections = read_results(predictions, truth, processes)
        check_needed(file)
        if not len(detections.score):
            raise ValueError(f"{predictions}: holds no results; the official evaluator scores none")
        scores = score_landmarks(truth, detections)
        stats, per_category = scores.stats, scores.per_category
    except NotJson:
        raise
    except ValueError as fault:
        stats, per_category = _official(annotations, predictions, fault)
    names = names_by_id(data)
    return {
        "stats": [stats[name] for name in STATS],
        "stats_order": list(STATS),
        "per_category_AP": {_id_text(c): ap for c, ap in per_category.items()},
        "category_names": {_id_text(c): names.get(_id_text(c), "") for c in per_category},
    }


def names_by_id(data: Any) -> dict[str, str]:
    """The categories' names in a parsed COCO file, by id as text; empty where it lists none."""
    listed = data.get("categories") if isinstance(data, dict) else None
    rows = listed if isinstance(listed, list) else []
    names = category_names(c for c in rows if isinstance(c, Mapping))
    return {_id_text(c): name for c, name in names.items()}


def _official(
    annotations: Path, predictions: Path, fault: ValueError
) -> tuple[dict[str, float], Mapping[Any, float]]:
    """What pycocotools gives for files that have a fault.

    Raises:
        ValueError: nothing; this is the fault.
    """
    from fashion_ops.evaluation.official import official_scores

    try:
        # As pycocotools reads them: with all digits of integers.
        files = (parse_exact(path.read_bytes()) for path in (annotations, predictions))
        answer = official_scores(*files)
    except Exception:
        raise fault from None
    warnings.warn(f"{fault}. Scored by pycocotools, which reads it all the same", stacklevel=3)
    return answer


def _id_text(category_id: object) -> str:
    if isinstance(category_id, float) and category_id.is_integer():
        return str(int(category_id))
    return str(category_id)
