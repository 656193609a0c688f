"""What the gate judges by: the frozen shard, its digest, the champion on it, bits and time."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_catalog import make_predictions

from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.params import Params
from fashion_ops.registry import measurements as module
from fashion_ops.registry.frozen_set import CHECKS, SHARD, Shard, shard_of
from fashion_ops.registry.measurements import latencies, measure
from fashion_ops.registry.transitions import ROLLED_BACK
from fashion_ops.workspace import Workspace

AP = {"landmark_ap": {"refined": 0.5}, "box_ap": 0.5}


def tables(garments: pd.DataFrame, seed: int, noise: float) -> dict[str, pd.DataFrame]:
    made = [make_predictions(garments, np.random.default_rng(seed + k), noise) for k in range(2)]
    return {
        kind: t.sort_values("image_id", kind="stable", ignore_index=True)
        for kind, t in zip(("truth_boxes", "own_boxes"), made, strict=True)
    }


def moved(table: pd.DataFrame, by: int) -> pd.DataFrame:
    """The same rows after more training images came in: running ids have moved on."""
    changed = {key: table[key] + by for key in ("image_id", "garment_id") if key in table}
    return table.assign(**changed)


@pytest.fixture
def shard(images, garments) -> Shard:
    catalog: Any = SimpleNamespace(images=images, garments=garments)
    return shard_of(catalog, "validation", tables(garments, 1, 8.0))


def test_the_digest_is_of_images_and_labels_not_of_ids(shard, tmp_path):
    same = Shard(moved(shard.images, 50), moved(shard.garments, 50), {})
    turned = Shard(shard.images[::-1], shard.garments, {})
    assert shard.digest() == same.digest() == turned.digest()
    shard.write(tmp_path / "kept")
    assert Shard.read(tmp_path / "kept").digest() == shard.digest()
    label = shard.garments.copy()
    label.at[0, "landmarks"] = label.at[0, "landmarks"] + np.float32(0.5)
    other = shard.images.assign(sha256=["x", *shard.images["sha256"][1:]])
    fewer = shard.garments[shard.garments["image_id"] != shard.images["image_id"].iloc[-1]]
    for changed in (
        Shard(shard.images, label, {}),
        Shard(other, shard.garments, {}),
        Shard(shard.images[:-1], fewer, {}),
    ):
        assert changed.digest() != shard.digest()


class RepositoryResource:
    """Versions, their records, and what their models predict on a catalog."""

    def __init__(self, folder: Path, images: pd.DataFrame, garments: pd.DataFrame) -> None:
        self.folder, self.predicts = folder, {}
        self.catalog = SimpleNamespace(images=images, garments=garments, image_bytes=lambda _: b"jpeg")

    def version(self, number: str, shard: Shard, predicts: dict[str, pd.DataFrame], **tags: str) -> Any:
        records = self.folder / number
        shard.write(records / SHARD)
        (records / CHECKS).write_text(json.dumps({"catalog_adds_up": ""}))
        (records / "weights").write_bytes(bytes(2_000_000))
        self.predicts[number] = predicts
        return SimpleNamespace(name="garments", version=number, run_id=number, tags=tags)

    def record(self, version: Any, path: str) -> Path:
        found = self.folder / version.version / path
        if not found.exists():
            raise FileNotFoundError(found)
        return found


@pytest.fixture
def house(tmp_path, monkeypatch, images, garments) -> RepositoryResource:
    made = RepositoryResource(tmp_path, images, garments)

    def split(
        predictor: Any, catalog: Any, images: Any, most_found: int, most: int | None, _: str
    ) -> Any:
        predicted = made.predicts[predictor.number]
        return {kind: {"refined": t.iloc[:most]} for kind, t in predicted.items()}

    monkeypatch.setattr(module, "Catalog", lambda _: made.catalog)
    monkeypatch.setattr(module.registry, "fetch_bundle", lambda s: tmp_path / s.rpartition("/")[2])
    monkeypatch.setattr(module.registry, "record_of", made.record)
    monkeypatch.setattr(module.registry, "metrics_of", lambda _: AP)
    monkeypatch.setattr(
        module.Predictor,
        "load",
        lambda b: SimpleNamespace(number=b.name, predict=lambda _: [], detector=None),
    )
    monkeypatch.setattr(module, "decode_photo", lambda *_: None)
    monkeypatch.setattr(module, "predict_split", split)
    return made


PARAMS = Params.model_validate({"promote": {"resamples": 100, "latency_photos": 3}})
WS = Workspace(Path("/nowhere"))


def test_on_the_same_shard_the_recorded_predictions_are_compared(house, shard, garments):
    old = tables(garments, 7, 12.0)
    challenger = house.version("2", shard, shard.predictions)
    # The champion's catalog gave other ids; its model is not asked again.
    then = {k: moved(t, 50) for k, t in old.items()}
    champion = house.version("1", Shard(moved(shard.images, 50), moved(shard.garments, 50), then), {})
    found = measure(PARAMS, WS, challenger, champion)
    assert not found.judged_anew and found.facts.objections == ()
    assert found.facts.size_mb[0] == pytest.approx(2.0, rel=0.1)
    assert None not in found.facts.latency_ms and found.images == len(shard.images)
    truth = ground_truth(house.catalog.images, garments)
    assert found.facts.comparisons is not None
    for kind in old:
        got = found.facts.comparisons[kind].overall
        for value, table in ((got.new, shard.predictions[kind]), (got.old, old[kind])):
            wanted = score_landmarks(truth, detections(table, house.catalog.images)).stats["AP"]
            assert value == pytest.approx(wanted, rel=1e-12)
    assert found.facts.garments[9] == int(
        (garments["num_labelled"][garments["category_id"] == 9] > 0).sum()
    )


def test_on_another_shard_the_champion_predicts_anew(house, shard, garments):
    challenger = house.version("2", shard, shard.predictions)
    fewer = shard.garments[shard.garments["image_id"] != shard.images["image_id"].iloc[-1]]
    its_own = Shard(shard.images[:-1], fewer, tables(fewer, 3, 5.0))
    now = tables(garments, 9, 15.0)
    champion = house.version("1", its_own, now)
    found = measure(PARAMS, WS, challenger, champion)
    assert found.judged_anew and found.facts.comparisons is not None
    wanted = score_landmarks(shard.truth(), detections(now["truth_boxes"], shard.images)).stats["AP"]
    assert found.facts.comparisons["truth_boxes"].overall.old == pytest.approx(wanted, rel=1e-12)


def test_what_speaks_against_a_challenger(house, shard, garments):
    other = {k: t.assign(score=t["score"] * np.float32(0.999)) for k, t in shard.predictions.items()}
    broken = house.version("3", shard, other)
    (why,) = measure(PARAMS, WS, broken, None).facts.objections
    assert why == (
        "loaded from the registry it predicts otherwise than evaluated: truth_boxes: another score, "
        "own_boxes: another score"
    )
    rolled = house.version("4", shard, shard.predictions, **{ROLLED_BACK: "yesterday: slow"})
    (why,) = measure(PARAMS, WS, rolled, None).facts.objections
    assert "version 4 was rolled back (yesterday: slow)" in why
    assert measure(PARAMS, WS, rolled, None, again=True).facts.objections == ()
    house.catalog.garments = garments.assign(category_id=garments["category_id"].to_numpy()[::-1])
    found = measure(PARAMS, WS, house.version("5", shard, {}), None)
    (why,) = found.facts.objections
    assert "other images or labels than version 5 was judged on" in why
    assert found.facts.latency_ms == (None, None)  # and so the gate refuses


def test_times_are_medians_of_what_takes_turns(monkeypatch):
    asked, now = [], [0.0]
    monkeypatch.setattr(module, "decode_photo", lambda data, _: data)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def predictor(name: str, cost: dict[bytes, float]) -> Any:
        def predict(photo: bytes) -> list:
            asked.append(name)
            now[0] += cost.get(photo, 0.1)
            return []

        return SimpleNamespace(predict=predict)

    pair = [predictor("a", {b"2": 9.0}), predictor("b", {b"1": 0.3, b"3": 0.3})]
    assert latencies(pair, [b"1", b"2", b"3"]) == pytest.approx([100.0, 300.0])
    assert asked == ["a", "b"] * 5  # two to warm up
    assert latencies(pair, []) == []
