"""The service over real HTTP: answers, limits, hostile bodies, authorization, logs and metrics."""

import base64
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO

import jaxtyping
import numpy as np
import pytest
import requests
import uvicorn
from PIL import Image
from untrained_models import make_models, tiny_params

from fashion_ops.inference.example import Example
from fashion_ops.inference.openvino_pipeline import OpenvinoModule, _Refiner, _write
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.parts.device import CPU
from fashion_ops.serving.app import create_app
from fashion_ops.serving.champion import Champion, FixedFolder, Follower, Loader, Served
from fashion_ops.serving.limits import Limits
from fashion_ops.serving.service import Service
from fashion_ops.workspace import Workspace


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    ws = Workspace(tmp_path_factory.mktemp("models"))
    (ws.root / "models").mkdir()
    make_models(tiny_params(ws), ws)
    return ws.root / "models"


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor.load(bundle, CPU)


@pytest.fixture(scope="module")
def photos(predictor):
    return Example.of(predictor).photos


class Fixed:
    """A source of models that are loaded already."""

    def __init__(self, predictor):
        self.champion = Champion(predictor and Served("test", 7, predictor, "torch"))
        self.woken = 0

    def start(self):
        pass

    def stop(self):
        pass

    def wake(self):
        self.woken += 1


@contextmanager
def running(source, limits=None, **settings):
    """Run the application on a free port; yields its URL."""
    service = source.service = Service(source, limits or Limits(), **settings)
    config = uvicorn.Config(create_app(service), port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def form(*photos):
    return [("photos", ("../../etc/passwd", photo)) for photo in photos]


def ask(url, *photos, min_score=0.0, **options):
    data = {"min_score": str(min_score)}
    return requests.post(f"{url}/v1/garments", files=form(*photos), data=data, timeout=60, **options)


@pytest.fixture(scope="module")
def url(predictor):
    with running(Fixed(predictor)) as address:
        yield address


def test_forms_and_base64_give_the_garments_that_the_predictor_finds(url, predictor, photos):
    expected = [
        [g.to_json() for g in predictor.predict(predictor.decode(photo, "x"), 0.0)] for photo in photos
    ]
    assert any(expected)
    encoded = [base64.b64encode(photo).decode() for photo in photos]
    body = {"photos": encoded, "min_score": 0.0}
    answers = [
        ask(url, *photos).json(),
        requests.post(f"{url}/v1/garments", json=body, timeout=60).json(),
    ]
    for answer in answers:
        assert answer["model"] == {"name": "test", "version": 7, "engine": "torch"}
        for photo, garments in zip(answer["photos"], expected, strict=True):
            assert [g["category"] for g in photo["garments"]] == [g["category"] for g in garments]
            for found, wanted in zip(photo["garments"], garments, strict=True):
                assert found["box"] == pytest.approx(wanted["box"], abs=0.05)


def test_one_bad_photo_is_one_error_in_the_answer(url, photos):
    response = ask(url, photos[0], b"no photo", photos[1][:-400])
    good, bad, short = response.json()["photos"]
    assert response.status_code == 200 and "garments" in good
    assert bad["error"]["code"] == short["error"]["code"] == "photo"
    assert "passwd" not in response.text and "Traceback" not in response.text


def image_of(width, height):
    buffer = BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


HOSTILE = {
    "no body": ({}, b"", 415),
    "JSON that is none": ({"Content-Type": "application/json"}, b"{", 400),
    "JSON that nests deeply": ({"Content-Type": "application/json"}, b"[" * 5000, 400),
    "an unknown key": ({"Content-Type": "application/json"}, b'{"photos":["aa"],"url":"x"}', 400),
    "a URL for a photo": ({"Content-Type": "application/json"}, b'{"photos":["http://x/y.jpg"]}', 200),
    "a form without boundary": ({"Content-Type": "multipart/form-data"}, b"x", 400),
    "a form cut off": ({"Content-Type": "multipart/form-data; boundary=a"}, b"--a\r\nConte", 400),
    "a form of noise": ({"Content-Type": "multipart/form-data; boundary=a"}, bytes(range(256)), 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_refused_with_a_reason_and_nothing_of_the_inside(url, name):
    headers, body, status = HOSTILE[name]
    response = requests.post(f"{url}/v1/garments", data=body, headers=headers, timeout=60)
    assert response.status_code == status, response.text
    text = response.text
    assert "reason" in text and "/" not in text.replace("multipart/form-data or application/json", "")
    assert response.headers["x-request-id"]


def test_what_is_too_large_gets_413_with_a_reason(predictor, photos):
    with running(Fixed(predictor), Limits(body_mb=0.2, photos=2, megapixels=0.1)) as address:
        assert ask(address, *photos[:1] * 3).json()["error"]["code"] == "too_many_photos"
        assert ask(address, b"x" * 300_000).status_code == 413
        chunked = requests.post(
            f"{address}/v1/garments",
            data=(b"x" * 50_000 for _ in range(8)),
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        assert chunked.status_code == 413
        large = ask(address, image_of(400, 400), photos[0])
        assert large.json()["photos"][0]["error"]["code"] == "photo_too_large"
        assert "garments" in large.json()["photos"][1]


class Slow:
    """A predictor whose networks wait."""

    def __init__(self, predictor):
        self.predictor, self.go, self.batches = predictor, threading.Event(), []

    def predict_many(self, photos, min_score):
        self.go.wait(20)
        self.batches.append(len(photos))
        return self.predictor.predict_many(photos, min_score)


def served(source, predictor, version=7):
    source.champion.served = replace(source.champion.served, version=version)
    object.__setattr__(source.champion.served, "predictor", predictor)


def test_requests_that_wait_run_in_one_batch_and_too_many_get_429(predictor, photos):
    source, slow = Fixed(predictor), Slow(predictor)
    served(source, slow)
    with running(source, Limits(queue=4)) as address, ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, address, photos[0])
        time.sleep(0.3)
        rest = [pool.submit(ask, address, photos[0]) for _ in range(7)]
        refused = [r for r in rest if _status_soon(r) == 429]
        assert len(refused) == 4
        assert all(r.result().headers["Retry-After"] == "1" for r in refused)
        slow.go.set()
        assert [r.result().status_code for r in (first, *rest) if r not in refused] == [200] * 4
    assert slow.batches == [1, 3]


def _status_soon(future):
    try:
        return future.result(0.7).status_code
    except TimeoutError:
        return None


def test_a_request_that_takes_too_long_gets_503_and_the_next_one_is_answered(predictor, photos):
    source, slow = Fixed(predictor), Slow(predictor)
    served(source, slow)
    with running(source, Limits(seconds=0.4)) as address:
        assert ask(address, photos[0]).json()["error"]["code"] == "too_slow"
        slow.go.set()
        source.service.limits = Limits()
        assert ask(address, photos[0]).status_code == 200


def test_models_change_between_two_requests_and_each_answer_names_its_version(predictor, photos):
    source = Fixed(predictor)
    with running(source) as address:
        assert ask(address, photos[0]).json()["model"]["version"] == 7
        served(source, predictor, 8)
        assert ask(address, photos[0]).json()["model"]["version"] == 8


def test_without_models_it_lives_and_is_not_ready(photos):
    with running(Fixed(None)) as address:
        assert requests.get(f"{address}/health", timeout=9).status_code == 200
        assert requests.get(f"{address}/ready", timeout=9).status_code == 503
        assert ask(address, photos[0]).json()["error"]["code"] == "no_model"


def test_a_token_is_required_where_one_is_set(predictor, photos):
    with running(Fixed(predictor), token="secret") as address:
        assert ask(address, photos[0]).status_code == 401
        assert ask(address, photos[0], headers={"Authorization": "Bearer other"}).status_code == 401
        right = {"Authorization": "Bearer secret"}
        assert ask(address, photos[0], headers=right).status_code == 200
        assert requests.get(f"{address}/metrics", timeout=9).status_code == 401
        assert requests.get(f"{address}/health", timeout=9).status_code == 200


def test_metrics_count_requests_and_the_client_s_id_comes_back(url, photos, caplog):
    caplog.set_level("INFO", "fashion_ops.serving")
    answer = ask(url, photos[0], headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    forged = ask(url, photos[0], headers={"X-Request-ID": 'a"b c'})
    assert forged.headers["x-request-id"] != 'a"b c'
    text = requests.get(f"{url}/metrics", timeout=9).text
    assert 'fashion_ops_requests_total{path="/v1/garments",status="200"}' in text
    assert "fashion_ops_model_version 7.0" in text
    logged = [record.fields for record in caplog.records if hasattr(record, "fields")]
    assert {"abc-1", forged.headers["x-request-id"]} <= {fields["request_id"] for fields in logged}


def test_openapi_has_examples_of_bodies_and_answers(url):
    spec = requests.get(f"{url}/openapi.json", timeout=9).json()
    post = spec["paths"]["/v1/garments"]["post"]
    assert {"multipart/form-data", "application/json"} == set(post["requestBody"]["content"])
    body = post["requestBody"]["content"]["application/json"]["example"]
    assert requests.post(f"{url}/v1/garments", json=body, timeout=60).status_code == 200
    assert all(
        "example" in json.dumps(post["responses"][code]) for code in ("200", "413", "429", "503")
    )


@contextmanager
def unchecked():
    """Without the checks of annotations: the sizes of a traced network are tensors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_networks_in_openvino_give_what_torch_gives(predictor, tmp_path):
    import torch

    landmarker, refiner = predictor.pipeline.finetuned[1], predictor.pipeline.refined[1]
    crops = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    points = torch.rand(3, refiner.category.num_landmarks, 2) * 60
    known = torch.ones(points.shape[:2], dtype=torch.bool)
    with torch.inference_mode(), unchecked():
        _write(landmarker.model, [crops[:2]], tmp_path / "a.xml")
        _write(_Refiner(refiner.model), [crops[:2], points[:2]], tmp_path / "b.xml")
        a, b = OpenvinoModule(tmp_path / "a.xml", 1, 1), OpenvinoModule(tmp_path / "b.xml", 1, 2)
        assert torch.allclose(a(crops), landmarker.model(crops), atol=1e-3)
        expected = refiner.model(crops, points, known)
        assert torch.allclose(b(crops, points, known), expected, atol=1e-3, rtol=1e-3)


class Registry:
    """A registry of versions that lie in folders."""

    def __init__(self, bundle):
        self.bundle, self.champion, self.alive, self.broken = bundle, 1, True, ()

    def number(self, root):
        if not self.alive:
            raise ConnectionError("the registry is down")
        return self.champion

    def fetch(self, name, number, folder):
        (folder / "model").symlink_to(self.bundle if number not in self.broken else folder)
        from pathlib import Path

        return Path("model")


@pytest.fixture
def registry(bundle, monkeypatch):
    registry = Registry(bundle)
    monkeypatch.setattr(
        "fashion_ops.registry.followed.FollowedModel.number", lambda _, r: registry.number(r)
    )
    monkeypatch.setattr("fashion_ops.serving.champion.fetch_version", registry.fetch)
    return registry


class Ready:
    """A loader of models that are loaded already; a broken version has no detector."""

    engine = "torch"

    def __init__(self, predictor):
        self.predictor = predictor

    def load(self, bundle, networks):
        if not (bundle / "detector").is_dir():
            raise FileNotFoundError(f"{bundle}: no detector")
        return self.predictor


def follower(tmp_path, predictor):
    from fashion_ops.registry.followed import FollowedModel

    model = FollowedModel.parse("models:/garments@champion")
    return Follower(model, tmp_path, tmp_path / "state", Ready(predictor), 0.05)


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_broken_version_stays_out_and_the_last_good_one_survives_a_dead_registry(
    registry, predictor, tmp_path
):
    first = follower(tmp_path, predictor)
    first.start()
    try:
        until(lambda: first.champion.served)
        registry.broken, registry.champion = (2,), 2
        until(lambda: first.champion.rejected == 2)
        assert first.champion.served.version == 1 and "version 2 stays out" in first.champion.failure
        registry.champion = 3
        until(lambda: first.champion.served.version == 3)
        assert first.champion.rejected == 0
    finally:
        first.stop()
    registry.alive = False
    second = follower(tmp_path, predictor)
    second.start()
    try:
        until(lambda: second.champion.served)
        assert second.champion.served.version == 3
        until(lambda: second.champion.failure)
    finally:
        second.stop()


def test_a_predictor_that_predicts_the_example_otherwise_is_refused(predictor):
    example = Example.of(predictor)
    for garments in example.garments:
        garments.append(
            {
                "category": "skirt",
                "score": 0.9,
                "box": [0, 0, 9, 9],
                "landmarks": {"a": {"x": 0, "y": 0}},
            }
        )
    with pytest.raises(ValueError, match="example photo 0: skirt"):
        example.check(predictor)


def test_mlflow_s_webhook_wakes_the_follower_only_with_its_signature(predictor):
    from mlflow.webhooks.delivery import _generate_hmac_signature

    source = Fixed(predictor)
    with running(source, webhook_secret="s3") as address:
        now, body = str(int(time.time())), json.dumps({"entity": "model_version_alias"})
        headers = {"X-MLflow-Delivery-Id": "1", "X-MLflow-Timestamp": now}
        headers["X-MLflow-Signature"] = _generate_hmac_signature("s3", "1", now, body)
        post = f"{address}/v1/champion"
        assert requests.post(post, data=body + " ", headers=headers, timeout=9).status_code == 401
        assert source.woken == 0
        assert requests.post(post, data=body, headers=headers, timeout=9).status_code == 202
    assert source.woken == 1


def test_a_folder_of_models_is_served_without_a_registry(bundle, tmp_path):
    source = FixedFolder(bundle, tmp_path, Loader("torch", "cpu"))
    source.start()
    assert source.champion.served.version == 0
