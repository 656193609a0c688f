"""The reproduction of predictions: bits on the same hardware, tolerances elsewhere, by worked cases."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.inference.deviation import NO_DEVIATION, Deviation, deviation, largest
from fashion_ops.inference.hardware_record import evaluated_on, record_hardware
from fashion_ops.inference.reproduction import Reproduction, compare_start
from fashion_ops.methods.parts.hardware import Hardware, equal_bits
from fashion_ops.params import Evaluate, Promote
from fashion_ops.workspace import Workspace

XEON = Hardware("cpu", "Xeon", "AVX512", 1, "float32, highest", "2.14.1")
GPU = Hardware("cuda", "H200", "9.0", 0, "bfloat16, high", "2.14.1")


def moved(table: pd.DataFrame, row: int, by: float) -> pd.DataFrame:
    """The landmarks of one garment further to the right."""
    landmarks = [np.array(points, np.float32) for points in table["landmarks"]]
    landmarks[row][0::3] += np.float32(by)
    return table.assign(landmarks=landmarks)


def test_the_deviation_of_tables_by_hand(images, garments, predictions):
    def measured(made: pd.DataFrame) -> Deviation:
        return deviation(predictions, made, images, garments, 20)

    assert measured(predictions) == NO_DEVIATION
    far = measured(moved(predictions, 3, 40.0))
    assert far.bits == "another landmarks" and far.largest == pytest.approx(40, rel=1e-5)
    counts = [len(points) // 3 for points in predictions["landmarks"]]
    assert counts[3] / sum(counts) > 0.01 and far.pixels == pytest.approx(40, rel=1e-5)
    truth = ground_truth(images, garments)
    aps = [
        score_landmarks(truth, detections(t, images)).stats["AP"]
        for t in (predictions, moved(predictions, 3, 40.0))
    ]
    assert far.ap == abs(aps[0] - aps[1]) > 0
    one = predictions.assign(landmarks=[np.array(p, np.float32) for p in predictions["landmarks"]])
    one["landmarks"].iloc[5][0] += 7  # one landmark of hundreds
    single = measured(one)
    assert single.largest == pytest.approx(7) and single.pixels < 0.01
    louder = measured(predictions.assign(score=predictions["score"] + np.float32(0.25)))
    assert louder.score == pytest.approx(0.25) and (louder.pixels, louder.largest) == (0, 0)


def test_garments_are_paired_by_box_and_not_by_order(images, garments, predictions):
    detected = predictions.assign(garment_id=-1)
    assert detected.duplicated(["image_id", "category_id"]).any()
    turned = detected[::-1].sort_values("image_id", kind="stable", ignore_index=True)
    found = deviation(detected, turned, images, garments, 20)
    assert found.bits and (found.pixels, found.largest, found.score, found.ap) == (0, 0, 0, 0)
    lost = detected.drop(index=4).reset_index(drop=True)
    found = deviation(detected, lost, images, garments, 20)
    assert found.bits == f"{len(lost)} predictions, {len(detected)} were evaluated"
    assert found.score == pytest.approx(float(detected["score"][4])) and found.largest == 0
    elsewhere = detected.copy()  # another garment in its place: its landmarks have not moved there
    elsewhere["box"] = [b + np.float32(1000 * (n == 4)) for n, b in enumerate(detected["box"])]
    assert deviation(detected, moved(elsewhere, 4, 1000), images, garments, 20).largest == 0


def test_the_largest_of_several_tables():
    one, two = Deviation("a", 1.0, 2.0, 0.1, 0.0), Deviation("", 0.5, 9.0, 0.0, 0.2)
    assert largest([one, two]) == Deviation("a", 1.0, 9.0, 0.1, 0.2)
    assert largest([]) == NO_DEVIATION


def test_bits_are_asked_for_on_the_same_hardware_alone():
    assert equal_bits([XEON], [XEON, XEON]) and not equal_bits([XEON], [GPU])
    assert not equal_bits([], [XEON]) and not equal_bits([XEON, GPU], [XEON, GPU])
    for other in ({"threads": 2}, {"precision": "bfloat16, highest"}, {"torch": "2.15.0"}):
        assert not equal_bits([XEON], [replace(XEON, **other)])
    gate = Promote(max_pixel_difference=1.0, max_ap_difference=0.01)
    small = Deviation("truth_boxes/refined: another score", 0.5, 30.0, 0.02, 0.004)
    same, other = frozenset([XEON]), frozenset([GPU])
    assert Reproduction(NO_DEVIATION, same, same).failures(gate) == {}
    bits = Reproduction(small, same, same)
    assert bits.exact and list(bits.failures(gate)) == ["equal bits"]
    assert bits.failures(gate)["equal bits"].startswith(
        "truth_boxes/refined: another score, on the hardware of the evaluation; 99 % of"
    )
    for recorded in (same, frozenset()):  # versions registered before have no record
        assert Reproduction(small, recorded, other).failures(gate) == {}
    far = Reproduction(replace(small, pixels=1.5, ap=0.02), same, other).failures(gate)
    assert far == {
        "promote.max_pixel_difference": "1.5 px within which 99 % of the landmarks lie, "
        f"promote.max_pixel_difference is 1, on {GPU}, evaluated on {XEON}",
        "promote.max_ap_difference": "AP that differs by 0.02, promote.max_ap_difference is 0.01, "
        f"on {GPU}, evaluated on {XEON}",
    }
    nothing = Reproduction(replace(small, pixels=float("nan")), same, other)
    assert list(nothing.failures(gate)) == ["promote.max_pixel_difference"]
    assert "hardware that was not recorded" in Reproduction(small, frozenset(), other).in_words()


def test_what_the_last_image_lacks_is_no_difference_but_where_bits_are_asked_for(
    images, garments, predictions
):
    """The first predictions of a split end within an image."""
    catalog: Any = SimpleNamespace(images=images, garments=garments)
    table = predictions.sort_values("image_id", kind="stable", ignore_index=True)
    limit, p = 20, Evaluate()
    start = table.iloc[:limit]
    assert compare_start(table, start, catalog, p, limit) == NO_DEVIATION
    last = int((table["image_id"] == start["image_id"].max()).idxmax())
    changed = compare_start(table, moved(start, last, 50.0), catalog, p, limit)
    assert changed == Deviation("another landmarks")
    first = compare_start(table, moved(start, 0, 50.0), catalog, p, limit)
    assert first.largest == pytest.approx(50, rel=1e-5)
    nothing = compare_start(table, None, catalog, p, limit)
    assert nothing.bits.startswith("0 predictions, ") and nothing.ap > 0


def test_the_record_speaks_of_the_predictions_beside_it_alone(tmp_path):
    ws = Workspace(tmp_path)
    folder = ws.evaluation / "predictions"
    folder.mkdir(parents=True)
    (folder / "refined.parquet").write_bytes(b"1")
    assert evaluated_on(ws) == frozenset()
    here = Hardware.of(torch.device("cpu"))
    record_hardware(ws, {here, XEON})
    assert evaluated_on(ws) == {here, XEON}
    assert here.device == "cpu" and here.name and here.threads >= 1 and here.torch in str(here)
    (folder / "refined.parquet").write_bytes(b"2")  # another evaluation, by `dvc checkout`
    assert evaluated_on(ws) == frozenset()
    ws.evaluation_hardware.write_text('{"predictions": 1, "hardware": [{"device": "cpu"}]}')
    assert evaluated_on(ws) == frozenset()
    record_hardware(ws, {here})
    text = ws.evaluation_hardware.read_text().replace('"name"', '"nom"')
    ws.evaluation_hardware.write_text(text)
    with pytest.raises(ValueError, match=r"evaluation\.hardware\.json: no record of hardware"):
        evaluated_on(ws)
