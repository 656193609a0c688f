"""What the gate decides by: the frozen set, its digest, the champion on it, bits and time."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import numpy as np
import pandas as pd
import pytest
import requests
import torch
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from ray.exceptions import NodeDiedError
from small_catalog import make_predictions

from fashion_ops.distributed.worker import WorkerLost
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.inference import latency, reproduction
from fashion_ops.inference.deviation import NO_DEVIATION
from fashion_ops.inference.latency import latencies
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.parts.hardware import Hardware
from fashion_ops.params import Params
from fashion_ops.registry import measurements as module
from fashion_ops.registry.checks import CHECKS_FILE
from fashion_ops.registry.frozen_set import FROZEN_SET, FrozenSet
from fashion_ops.registry.measurements import measure
from fashion_ops.registry.transitions import ROLLED_BACK
from fashion_ops.services import ServiceError
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
def frozen(images, garments) -> FrozenSet:
    catalog: Any = SimpleNamespace(images=images, garments=garments)
    return FrozenSet.of_split(catalog, "validation", tables(garments, 1, 8.0))


def test_the_digest_is_of_images_and_labels_not_of_ids(frozen, tmp_path):
    same = FrozenSet(moved(frozen.images, 50), moved(frozen.garments, 50), {})
    turned = FrozenSet(frozen.images[::-1], frozen.garments, {})
    assert frozen.digest() == same.digest() == turned.digest()
    frozen.write(tmp_path / "kept")
    assert FrozenSet.read(tmp_path / "kept").digest() == frozen.digest()
    label = frozen.garments.copy()
    label.at[0, "landmarks"] = label.at[0, "landmarks"] + np.float32(0.5)
    other = frozen.images.assign(sha256=["x", *frozen.images["sha256"][1:]])
    fewer = frozen.garments[frozen.garments["image_id"] != frozen.images["image_id"].iloc[-1]]
    for changed in (
        FrozenSet(frozen.images, label, {}),
        FrozenSet(other, frozen.garments, {}),
        FrozenSet(frozen.images[:-1], fewer, {}),
    ):
        assert changed.digest() != frozen.digest()


class Number:
    """A block whose result is the number of the version that predicts it."""

    def predict(self, models: Any) -> str:
        return models[0]


class Records:
    """Versions, their records, and what their models predict on a catalog."""

    def __init__(self, folder: Path, images: pd.DataFrame, garments: pd.DataFrame) -> None:
        self.folder, self.predicts = folder, {}
        self.catalog = SimpleNamespace(images=images, garments=garments, image_bytes=lambda _: b"jpeg")

    def version(
        self, number: str, frozen: FrozenSet, predicts: dict[str, pd.DataFrame], **tags: str
    ) -> Any:
        folder = self.folder / number
        frozen.write(folder / FROZEN_SET)
        (folder / CHECKS_FILE).write_text(json.dumps({"catalog_adds_up": ""}))
        (folder / "weights").write_bytes(bytes(2_000_000))
        self.predicts[number] = predicts
        listed = [ModelVersionTag(key, value) for key, value in tags.items()]
        return ModelVersion("garments", number, 0, run_id=number, tags=listed)

    def record(self, version: Any, path: str) -> Path:
        found = self.folder / version.version / path
        if not found.exists():
            raise FileNotFoundError(found)
        return found


@pytest.fixture
def records(tmp_path, monkeypatch, images, garments) -> Records:
    made = Records(tmp_path, images, garments)

    def split(runner: Any, catalog: Any, images: Any, p: Any, most: int | None) -> Any:
        number = runner.run([("number", Number())], "", 1)["number"]
        return {kind: {"refined": t.iloc[:most]} for kind, t in made.predicts[number].items()}

    monkeypatch.setattr(module, "Catalog", lambda _: made.catalog)
    monkeypatch.setattr(module.registry, "fetch_bundle", lambda s: tmp_path / s.rpartition("/")[2])
    monkeypatch.setattr(module.registry, "fetch_record", made.record)
    monkeypatch.setattr(module.registry, "metrics_of", lambda _: AP)
    monkeypatch.setattr(
        Predictor,
        "load",
        lambda b, device: SimpleNamespace(
            number=b.name, predict=lambda _: [], pipeline=b.name, detector=None
        ),
    )
    monkeypatch.setattr(latency, "decode_photo", lambda *_: None)
    monkeypatch.setattr(module, "predict_split", split)
    monkeypatch.setattr(reproduction, "predict_split", split)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return made


PARAMS = Params.model_validate({"promote": {"resamples": 100, "latency_photos": 3}})
WS = Workspace(Path("/nowhere"))


def test_on_the_same_frozen_set_the_recorded_predictions_are_compared(records, frozen, garments):
    old = tables(garments, 7, 12.0)
    challenger = records.version("2", frozen, frozen.predictions)
    # The champion's catalog gave other ids; its model does not predict again.
    then = {k: moved(t, 50) for k, t in old.items()}
    champion = records.version(
        "1", FrozenSet(moved(frozen.images, 50), moved(frozen.garments, 50), then), {}
    )
    measured = measure(PARAMS, WS, challenger, champion)
    assert not measured.champion_predicted_again and measured.facts.objections == ()
    assert measured.facts.size_mb[0] == pytest.approx(2.0, rel=0.1)
    assert None not in measured.facts.latency_ms and measured.facts.latency_ratio is not None
    assert measured.evaluated == len(frozen.images)
    truth = ground_truth(records.catalog.images, garments)
    assert measured.facts.comparisons is not None
    for kind in old:
        got = measured.facts.comparisons[kind].overall
        for value, table in ((got.new, frozen.predictions[kind]), (got.old, old[kind])):
            expected = score_landmarks(truth, detections(table, records.catalog.images)).stats["AP"]
            assert value == pytest.approx(expected, rel=1e-12)
    assert measured.facts.garments[9] == int(
        (garments["num_labelled"][garments["category_id"] == 9] > 0).sum()
    )


def test_on_another_frozen_set_the_champion_predicts_anew(records, frozen, garments):
    challenger = records.version("2", frozen, frozen.predictions)
    fewer = frozen.garments[frozen.garments["image_id"] != frozen.images["image_id"].iloc[-1]]
    another = FrozenSet(frozen.images[:-1], fewer, tables(fewer, 3, 5.0))
    now = tables(garments, 9, 15.0)
    champion = records.version("1", another, now)
    measured = measure(PARAMS, WS, challenger, champion)
    assert measured.champion_predicted_again and measured.facts.comparisons is not None
    expected = score_landmarks(
        frozen.ground_truth(), detections(now["truth_boxes"], frozen.images)
    ).stats["AP"]
    assert measured.facts.comparisons["truth_boxes"].overall.old == pytest.approx(expected, rel=1e-12)


def test_a_challenger_predicts_again_what_was_evaluated(records, frozen):
    """Bits are asked for on the hardware of the evaluation; elsewhere how far apart they are."""
    other = {k: t.assign(score=t["score"] * np.float32(0.999)) for k, t in frozen.predictions.items()}
    here = replace(frozen, hardware=frozenset([Hardware.of(torch.device("cpu"))]))
    made = {}
    for number, evaluated in (("3", here), ("4", frozen)):  # version 4 has no record of its hardware
        reproduction = measure(PARAMS, WS, records.version(number, evaluated, other), None)
        made[number] = reproduction.facts.reproduction
    exact, tolerant = made["3"], made["4"]
    assert exact.exact and not tolerant.exact and exact.deviation == tolerant.deviation
    assert exact.failures(PARAMS.promote)["equal bits"].startswith(
        "truth_boxes/refined: another score, own_boxes/refined: another score, on the hardware of"
    )
    assert tolerant.failures(PARAMS.promote) == {} and 0 < tolerant.deviation.score < 0.002
    again = measure(PARAMS, WS, records.version("5", here, frozen.predictions), None).facts
    assert again.reproduction.exact and again.reproduction.failures(PARAMS.promote) == {}
    version = records.version("6", frozen, frozen.predictions)
    (records.folder / "6" / FROZEN_SET / "hardware.json").unlink()  # registered before there was one
    again = measure(PARAMS, WS, version, None).facts
    assert again.reproduction.recorded == frozenset() and again.reproduction.deviation == NO_DEVIATION


def test_what_speaks_against_a_challenger(records, frozen, garments):
    rolled = records.version("4", frozen, frozen.predictions, **{ROLLED_BACK: "yesterday: slow"})
    (why,) = measure(PARAMS, WS, rolled, None).facts.objections
    assert "version 4 was rolled back (yesterday: slow)" in why
    assert measure(PARAMS, WS, rolled, None, again=True).facts.objections == ()
    records.catalog.garments = garments.assign(category_id=garments["category_id"].to_numpy()[::-1])
    measured = measure(PARAMS, WS, records.version("5", frozen, {}), None)
    (why,) = measured.facts.objections
    assert "other images or labels than version 5 was evaluated on" in why
    assert measured.facts.latency_ms == (None, None) and measured.facts.latency_ratio is None


class Clock:
    """Replaces the clock of the measurement: a photo of a predictor takes what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.called = 0.0, []
        monkeypatch.setattr(latency, "decode_photo", lambda data, _: data)
        monkeypatch.setattr("time.perf_counter", lambda: self.now)

    def predictor(self, name: str, *seconds: float) -> Any:
        """A predictor whose calls take these seconds in turn, and 0.1 once they are used up."""
        left = list(seconds)

        def predict(_: bytes) -> list:
            self.called.append(name)
            self.now += left.pop(0) if left else 0.1
            return []

        return SimpleNamespace(predict=predict)


def test_predictors_take_turns_and_the_shorter_time_counts(monkeypatch):
    clock = Clock(monkeypatch)
    warm = (5.0, 5.0)
    pair = [clock.predictor("a", *warm, 0.2, 9.0, 9.0, 0.4), clock.predictor("b", *warm, 0.3, 0.1)]
    times = latencies(pair, [b"1", b"2", b"3"])
    assert times[0] == pytest.approx([200.0, 400.0, 100.0]) and times[1] == pytest.approx([100.0] * 3)
    assert clock.called == ["a", "b"] * 2 + ["a", "b", "b", "a"] * 3  # two photos to warm up
    assert latencies(pair, []) == []


@pytest.mark.parametrize("load", [1.0, 40.0])
def test_the_ratio_is_of_the_models_and_not_of_the_load(records, frozen, load, monkeypatch):
    """Challenger and champion at once on a machine 40 times as slow; one photo is delayed by chance."""
    clock = Clock(monkeypatch)
    delayed = [0.2 * load, 0.2 * load, 20.0 * load, *[0.2 * load] * 5]
    made = {"2": clock.predictor("2", *delayed), "1": clock.predictor("1", *[0.1 * load] * 8)}
    for number, predictor in made.items():
        predictor.number = predictor.pipeline = number
        predictor.detector = None
    monkeypatch.setattr(Predictor, "load", lambda bundle, device: made[bundle.name])
    challenger = records.version("2", frozen, frozen.predictions)
    champion = records.version("1", frozen, frozen.predictions)
    facts = measure(PARAMS, WS, challenger, champion).facts
    assert facts.latency_ratio == pytest.approx(2.0)
    assert facts.latency_ms == pytest.approx((200.0 * load, 100.0 * load))
    first = measure(PARAMS, WS, challenger, None).facts
    assert first.latency_ratio is None and first.latency_ms[1] is None


def raising(error: Exception) -> Any:
    def fail(*_: object) -> Any:
        raise error

    return fail


def make_unloadable(records: Any, patch: pytest.MonkeyPatch, how: str) -> str:
    """Let this code be unable to use version 1 in one way; returns the expected reason."""
    if how == "a 14th category":
        error = RuntimeError("size mismatch for heads: 14 categories\nand more lines")
        valid = Predictor.load
        patch.setattr(
            Predictor, "load", lambda b, d: raising(error)() if b.name == "1" else valid(b, d)
        )
        return "RuntimeError: size mismatch for heads: 14 categories"
    if how == "a missing file":
        found = module.registry.fetch_bundle
        error = FileNotFoundError("models:/garments/1: not in the registry")
        patch.setattr(
            module.registry, "fetch_bundle", lambda s: raising(error)() if s[-1] == "1" else found(s)
        )
        return "FileNotFoundError: models:/garments/1: not in the registry"
    error = ModuleNotFoundError("No module named 'fashion_ops.fleet'")  # when it predicts
    valid = Predictor.load

    def load(bundle: Path, device: Any) -> Any:
        loaded = valid(bundle, device)
        if bundle.name == "1":
            loaded.predict = raising(error)
        return loaded

    patch.setattr(Predictor, "load", load)
    return "ModuleNotFoundError: No module named 'fashion_ops.fleet'"


UNLOADABLE = ("a 14th category", "a missing file", "a renamed module")


@pytest.mark.parametrize("how", UNLOADABLE)
def test_recorded_predictions_of_a_champion_that_cannot_be_loaded_are_compared(
    records, frozen, garments, monkeypatch, how
):
    challenger = records.version("2", frozen, frozen.predictions)
    then = FrozenSet(frozen.images, frozen.garments, tables(garments, 7, 12.0))
    champion = records.version("1", then, {})
    why = make_unloadable(records, monkeypatch, how)
    measured = measure(PARAMS, WS, challenger, champion)
    assert measured.champion_unloadable == why and measured.facts.comparisons is not None
    assert measured.facts.latency_ms[0] is not None and measured.facts.latency_ms[1] is None
    assert not measured.champion_predicted_again


@pytest.mark.parametrize("how", UNLOADABLE)
def test_without_recorded_predictions_of_the_same_images_nothing_is_compared(
    records, frozen, garments, monkeypatch, how
):
    challenger = records.version("2", frozen, frozen.predictions)
    fewer = frozen.garments[frozen.garments["image_id"] != frozen.images["image_id"].iloc[-1]]
    then = FrozenSet(frozen.images[:-1], fewer, tables(fewer, 3, 5.0))
    champion = records.version("1", then, tables(garments, 9, 15.0))
    why = make_unloadable(records, monkeypatch, how)
    if how == "a renamed module":
        monkeypatch.setattr(module, "_predict", raising(ModuleNotFoundError(why.partition(": ")[2])))
    measured = measure(PARAMS, WS, challenger, champion)
    assert measured.champion_unloadable == why and measured.facts.comparisons is None
    (records.folder / "1" / FROZEN_SET / "garments.parquet").write_bytes(b"damaged")
    again = measure(PARAMS, WS, challenger, champion)
    assert again.champion_unloadable == why and again.facts.comparisons is None


@pytest.mark.parametrize("fails", ["fetch", "_predict"])
@pytest.mark.parametrize(
    "kind",
    [
        WorkerLost,
        NodeDiedError,
        ServiceError,
        ConnectionError,
        TimeoutError,
        requests.exceptions.ChunkedEncodingError,
        botocore.exceptions.HTTPClientError,
    ],
)
def test_a_lost_node_or_service_says_nothing_of_the_champion(records, frozen, monkeypatch, kind, fails):
    challenger = records.version("2", frozen, frozen.predictions)
    fewer = frozen.garments[frozen.garments["image_id"] != frozen.images["image_id"].iloc[-1]]
    champion = records.version("1", FrozenSet(frozen.images[:-1], fewer, {}), {})
    replaced = getattr(module, fails)

    def fail(first: Any, *more: Any) -> Any:
        if first is challenger:
            return replaced(first, *more)
        if kind is botocore.exceptions.HTTPClientError:
            raise kind(error="the node is gone")
        raise kind("the node is gone")

    monkeypatch.setattr(module, fails, fail)
    with pytest.raises(kind, match="the node is gone"):
        measure(PARAMS, WS, challenger, champion)


@pytest.mark.parametrize("loads", [True, False])
def test_a_record_that_cannot_be_fetched_is_not_one_of_other_images(
    records, frozen, monkeypatch, loads
):
    """Else a challenger could replace the champion without a comparison, or it predicts for nothing."""
    challenger = records.version("2", frozen, frozen.predictions)
    champion = records.version("1", frozen, frozen.predictions)
    if not loads:
        make_unloadable(records, monkeypatch, "a 14th category")
    down = ServiceError("garments version 1: its files cannot be fetched")
    monkeypatch.setattr(
        module.registry,
        "fetch_record",
        lambda version, path: raising(down)() if version is champion else records.record(version, path),
    )
    with pytest.raises(ServiceError, match="cannot be fetched"):
        measure(PARAMS, WS, challenger, champion)


def test_a_challenger_that_cannot_be_loaded_is_an_error(records, frozen, monkeypatch):
    challenger = records.version("1", frozen, frozen.predictions)
    make_unloadable(records, monkeypatch, "a 14th category")
    with pytest.raises(RuntimeError, match="14 categories"):
        measure(PARAMS, WS, challenger, None)
