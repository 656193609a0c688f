"""``score`` on odd pairs of files against stock pycocotools: equal numbers, or both refuse.

FASHION_OPS_LONG=1 tries 500 pairs instead of 30. A failure names its seed: ``odd_case(seed)``.
"""

import contextlib
import io
import json
import os
import warnings

import numpy as np
import pytest
from coco_cases import odd_case, other_top
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_ops.evaluation.coco_files import score_files
from fashion_ops.taxonomy import sigmas

PAIRS = 500 if "FASHION_OPS_LONG" in os.environ else 30


def stock(annotations, results):
    """What pycocotools makes of two files; None where it gives up."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        try:
            truth = COCO(str(annotations))
            evaluator = COCOeval(truth, truth.loadRes(str(results)), "keypoints")
            evaluator.params.kpt_oks_sigmas = sigmas()
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
        except Exception:
            return None
        precision = evaluator.eval["precision"][:, :, :, 0, 0]
        each = [
            v[v > -1].mean() if (v > -1).any() else -1.0
            for v in (precision[:, :, k] for k in range(len(evaluator.params.catIds)))
        ]
        return [*evaluator.stats, *each]


def ours(annotations, results):
    """What ``score`` makes of them; None where it refuses them in one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            scores = score_files(annotations, results)
        except ValueError as error:
            assert str(error).startswith((str(annotations), str(results)))
            assert len(str(error).splitlines()) == 1 and len(str(error)) < 400
            return None
    assert all(issubclass(w.category, UserWarning) for w in caught), [str(w.message) for w in caught]
    assert list(scores["category_names"]) == list(scores["per_category_AP"])
    return [*scores["stats"], *scores["per_category_AP"].values()]


def compare(folder, annotations, results, name):
    paths = folder / "gt.json", folder / "found.json"
    for path, content in zip(paths, (annotations, results), strict=True):
        path.write_text(json.dumps(content))
    theirs, mine = stock(*paths), ours(*paths)
    assert (theirs is None) == (mine is None), f"{name}: pycocotools {theirs}, score {mine}"
    if theirs is None:
        return "refused"
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9, err_msg=name)
    return "equal"


def test_odd_pairs_are_scored_as_pycocotools_scores_them_or_refused_by_both(tmp_path):
    outcomes = [compare(tmp_path, *odd_case(seed), f"seed {seed}") for seed in range(PAIRS)]
    print(f"seeds 0..{PAIRS - 1}: {outcomes.count('equal')} equal, {outcomes.count('refused')} refused")
    assert outcomes.count("equal") > PAIRS / 4 and outcomes.count("refused") > PAIRS / 10


def test_files_that_are_no_objects_or_lists_are_refused_by_both(tmp_path):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        compare(tmp_path, *other_top(rng, *odd_case(seed)), f"seed {seed}")


@pytest.mark.parametrize("indent", [None, 1])
def test_a_byte_order_mark_changes_nothing(tmp_path, indent):
    paths = tmp_path / "gt.json", tmp_path / "found.json"
    plain = odd_case(3)
    for path, content in zip(paths, plain, strict=True):
        path.write_text(json.dumps(content, indent=indent))
    expected = ours(*paths)
    for path in paths:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert ours(*paths) == expected
