"""The champion of a real registry: fetched, replaced, and served on when the registry dies."""

import time
from pathlib import Path

import pytest
import requests
from running_service import Fixed, running

from fashion_ops.registry.client import register
from fashion_ops.registry.connection import connect
from fashion_ops.registry.followed import FollowedModel, subscribe
from fashion_ops.serving.champion import Champion, Follower, Loader, Served
from fashion_ops.serving.sources import WEBHOOK

MODEL = FollowedModel.parse("models:/garments@champion")


def until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def following():
    return Follower(MODEL, Path(), Path("state"), Loader("torch", "cpu"), 0.1)


def test_a_promotion_is_followed_and_the_last_version_survives_a_dead_registry_and_a_restart(
    bundle, photos, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("FASHION_OPS_SERVICE_WAIT", "0.2")
    monkeypatch.chdir(tmp_path)  # the state folder is relative, as that of `fashion-ops serve` is
    client = connect(tmp_path)
    records = tmp_path / "records"
    records.mkdir()
    assert subscribe(tmp_path, WEBHOOK, "https://8.8.8.8/v1/champion", "s3")  # MLflow takes the name
    assert [hook.name for hook in client.list_webhooks()] == [WEBHOOK]
    client.create_registered_model(MODEL.name)
    first = register(client, MODEL.name, bundle, records, {}, {}, {})
    broken = client.create_model_version(MODEL.name, first.source, first.run_id)
    artifacts = Path(client.get_model_version_download_uri(MODEL.name, "1").removeprefix("file://"))
    client.set_registered_model_alias(MODEL.name, "champion", first.version)
    source = following()
    with running(source) as address:
        until(lambda: source.champion.served)
        files = {"photos": ("a.jpg", photos[0])}
        answer = requests.post(f"{address}/v1/garments", files=files, timeout=60).json()
        assert answer["model"] == {"name": MODEL.name, "version": 1, "engine": "torch"}
        [spec] = artifacts.rglob("detector/model.json")
        spec.write_text("{}")  # a file of the second version is damaged in the store
        client.set_registered_model_alias(MODEL.name, "champion", broken.version)
        until(lambda: source.champion.rejected == int(broken.version))
        ready = requests.get(f"{address}/ready", timeout=9).json()
        assert ready["model"]["version"] == 1 and ready["rejected"]["version"] == int(broken.version)
        assert requests.post(f"{address}/v1/garments", files=files, timeout=60).ok
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody answers
    again = following()
    with running(again) as address:
        until(lambda: again.champion.served and again.champion.failure)
        answer = requests.post(f"{address}/v1/garments", files=files, timeout=60).json()
        assert answer["model"]["version"] == 1
        assert "does not answer" in requests.get(f"{address}/ready", timeout=9).json()["registry"]


def test_a_rejected_version_is_told_without_a_path_and_measured(predictor):
    source = Fixed(predictor)
    served = Served("m", 7, predictor, "torch")
    source.champion = Champion(served, failure="/secret/folder: no detector", rejected=8)
    with running(source) as address:
        answer = requests.get(f"{address}/ready", timeout=9)
        assert answer.status_code == 200 and answer.json()["rejected"]["version"] == 8
        assert "/secret" not in answer.text
        metrics = requests.get(f"{address}/metrics", timeout=9).text
        assert "fashion_ops_model_version_rejected 8.0" in metrics
        assert "fashion_ops_champion_followed 0.0" in metrics


def test_a_start_waits_for_the_first_version_or_says_why_there_is_none(predictor):
    source = Fixed(predictor)
    with running(source, start_seconds=5) as address:
        assert requests.get(f"{address}/ready", timeout=9).status_code == 200
    empty = Fixed(None)
    empty.champion = Champion(failure="the registry does not answer")
    with (
        pytest.raises(AssertionError, match="did not start"),
        running(empty, start_seconds=0.2),
    ):
        pass
