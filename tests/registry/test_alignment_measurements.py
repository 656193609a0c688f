"""What the gate of alignment decides by where the champion, or its records, cannot be had."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion

from fashion_ops.inference import latency
from fashion_ops.params import Params
from fashion_ops.registry import alignment_measurements as module
from fashion_ops.registry.alignment_measurements import measure
from fashion_ops.registry.alignment_set import FROZEN_SET, AlignmentSet
from fashion_ops.services import ServiceError
from fashion_ops.workspace import Workspace

PARAMS = Params.model_validate({"distributed": {"device": "cpu"}})
WS = Workspace(Path("/nowhere"))
OFF = botocore.exceptions.EndpointConnectionError(endpoint_url="http://s3")


def frozen_set(off: float, photos: str = "ab") -> AlignmentSet:
    """Two upper garments, and predictions that are ``off`` pixels beside their landmarks."""
    labels = [np.array([[10, 10 * k, 2] for k in range(1, 7)], np.float32).ravel() for _ in photos]
    garments = pd.DataFrame(
        {
            "garment_id": [1, 2],
            "image_id": [1, 2],
            "split": "test",
            "item_id": "",
            "source": "fld",
            "clothes_type": 1,
            "variation": 1,
            "box": [np.array([0, 0, 50, 100], np.float32)] * 2,
            "landmarks": labels,
            "file_name": list(photos),
            "sha256": list(photos),
        }
    )
    shift = np.tile(np.array([off, 0, 0], np.float32), 6)
    return AlignmentSet(
        garments, pd.DataFrame({"garment_id": [1, 2], "landmarks": [v + shift for v in labels]})
    )


class Registry:
    """Stands in for the registry: records in folders, bundles by number, and errors instead of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failures: dict[tuple[str, str], Exception] = {}  # by what is fetched, and version

    def version(self, number: str, frozen: AlignmentSet) -> Any:
        frozen.write(self.folder / number / FROZEN_SET)
        return ModelVersion("garment-alignment", number, 0, run_id=number)

    def fetch_bundle(self, source: str) -> Path:
        number = source.rpartition("/")[2]
        self._fail("bundle", number)
        return self.folder / number

    def fetch_record(self, version: Any, path: str) -> Path:
        self._fail("record", version.version)
        return self.folder / version.version / path

    def metrics_of(self, _: Any) -> dict[str, float]:
        return {"NE": 0.1, "NE mean shape of type": 0.2}

    def _fail(self, what: str, number: str) -> None:
        if error := self.failures.get((what, number)):
            raise error


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry(tmp_path)
    for name in ("fetch_bundle", "fetch_record", "metrics_of"):
        monkeypatch.setattr(module.registry, name, getattr(made, name))
    monkeypatch.setattr(
        module, "_load", lambda bundle, _: made._fail("load", bundle.name) or SimpleNamespace()
    )
    return made


def versions(registry: Registry, photos: str = "ab") -> tuple[Any, Any]:
    """Challenger and champion, which was evaluated on these photos."""
    return registry.version("2", frozen_set(5.0)), registry.version("1", frozen_set(10.0, photos))


@pytest.mark.parametrize("what", ["bundle", "record", "load"])
@pytest.mark.parametrize("error", [OFF, ServiceError("down"), ConnectionError("down")])
def test_a_service_that_fails_says_nothing_of_the_champion(registry, what, error):
    challenger, champion = versions(registry)
    registry.failures[what, "1"] = error
    with pytest.raises(type(error)):
        measure(PARAMS, WS, challenger, champion)


@pytest.mark.parametrize("what", ["bundle", "load"])
def test_recorded_predictions_of_a_champion_that_cannot_be_loaded_are_compared(registry, what):
    challenger, champion = versions(registry)
    registry.failures[what, "1"] = RuntimeError("size mismatch\nand more lines")
    measured = measure(PARAMS, WS, challenger, champion)
    assert measured.champion_unloadable == "RuntimeError: size mismatch"
    assert measured.facts.comparison.new == pytest.approx(0.05, rel=0.01)  # 5 of 100 pixels
    assert measured.facts.comparison.old == pytest.approx(0.1, rel=0.01)


def test_without_records_of_the_same_garments_nothing_is_compared(registry):
    challenger, champion = versions(registry, photos="cd")
    registry.failures["load", "1"] = RuntimeError("size mismatch")
    assert measure(PARAMS, WS, challenger, champion).facts.comparison is None
    (registry.folder / "1" / FROZEN_SET / "garments.parquet").write_bytes(b"damaged")
    assert measure(PARAMS, WS, challenger, champion).facts.comparison is None
    registry.failures["record", "1"] = FileNotFoundError("has no record")
    assert measure(PARAMS, WS, challenger, champion).facts.comparison is None


def with_catalog(registry: Registry, patch: pytest.MonkeyPatch) -> list[str]:
    """Let the catalog hold the evaluated garments; returns the versions that predict them, in turn."""
    predicted: list[str] = []

    def load(bundle: Path, _: Any) -> Any:
        def predict(*_: Any) -> list:
            registry._fail("predict", bundle.name)
            return []

        return SimpleNamespace(number=bundle.name, predict=predict)

    def again(predictor: Any, _: Any, frozen: AlignmentSet) -> AlignmentSet:
        registry._fail("predict again", predictor.number)
        predicted.append(predictor.number)
        return frozen_set({"1": 20.0, "2": 5.0}[predictor.number])

    catalog = SimpleNamespace(
        images=pd.DataFrame({"file_name": ["a", "b"], "image_id": [1, 2]}),
        image_bytes=lambda _: b"jpeg",
    )
    for name, value in (("_catalog", lambda *_: catalog), ("_load", load), ("_predict", again)):
        patch.setattr(module, name, value)
    for room in (module, latency):
        patch.setattr(room, "decode_photo", lambda *_: None)
    return predicted


def test_on_other_garments_the_champion_predicts_again(registry, monkeypatch):
    challenger, champion = versions(registry, photos="cd")
    predicted = with_catalog(registry, monkeypatch)
    measured = measure(PARAMS, WS, challenger, champion)
    assert measured.champion_predicted_again and predicted == ["2", "1"]
    assert measured.facts.comparison.old == pytest.approx(0.2, rel=0.01)
    assert None not in measured.facts.latency_ms and measured.facts.latency_ratio is not None
    assert measured.facts.pixels == 0.0 and measured.evaluated == 2


@pytest.mark.parametrize("what", ["predict", "predict again"])
def test_a_champion_that_loads_and_cannot_predict_is_unloadable(registry, monkeypatch, what):
    """Else no challenger could ever replace it: ``promote_alignment`` would end with its error."""
    challenger, champion = versions(registry, photos="cd")
    with_catalog(registry, monkeypatch)
    registry.failures[what, "1"] = ModuleNotFoundError("No module named 'fashion_ops.fleet'")
    measured = measure(PARAMS, WS, challenger, champion)
    assert measured.champion_unloadable.startswith("ModuleNotFoundError: No module")
    assert measured.facts.comparison is None and not measured.champion_predicted_again
    assert measured.facts.latency_ms[0] is not None and measured.facts.latency_ms[1] is None
    registry.failures[what, "1"] = OFF
    with pytest.raises(type(OFF)):
        measure(PARAMS, WS, challenger, champion)
