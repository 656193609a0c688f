"""The service over real HTTP: answers, limits, hostile bodies, authorization, logs and metrics."""

import asyncio
import base64
import json
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import requests
from PIL import Image
from running_service import Fixed, running

from fashion_ops.inference.alignment_predictor import AlignmentPredictor
from fashion_ops.serving import batching
from fashion_ops.serving.batching import Batcher
from fashion_ops.serving.champion import Champion, Served
from fashion_ops.serving.limits import Limits, Refusal


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def test_without_a_score_the_one_of_the_models_holds(predictor, photos):
    scores = [g.score for g in predictor.predict(predictor.decode(photos[0], "x"), 0.0)]
    least = sorted(scores)[len(scores) // 2]
    kept = sum(score >= least for score in scores)
    assert 0 < kept < len(scores)
    with running(Fixed(replace(predictor, min_score=least))) as address:
        answer = requests.post(f"{address}/v1/garments", files=form(photos[0]), timeout=60).json()
        assert len(answer["photos"][0]["garments"]) == kept
        assert len(ask(address, photos[0]).json()["photos"][0]["garments"]) == len(scores)


def test_models_of_other_landmarks_are_refused_for_sizes_and_for_the_page(predictor, photos):
    source = Fixed(predictor)
    served(source, object.__new__(AlignmentPredictor))
    with running(source) as address:
        refused = requests.post(f"{address}/v1/sizes", files=form(photos[0]), timeout=60)
        assert (refused.status_code, refused.json()["error"]["code"]) == (501, "no_sizes")
        with pytest.raises(Refusal, match="FLD's landmarks") as looked:
            asyncio.run(source.service.look(photos[0]))
        assert (looked.value.status, looked.value.code) == (501, "no_labels")


def test_the_first_look_for_sizes_finds_the_same_boxes_and_runs_no_landmarker(predictor, photos):
    decoded = [predictor.decode(photo, "x") for photo in photos]
    decoded.append(replace(decoded[0], factor=2, shift=(0.5, 0.5), size=(600, 600)))
    whole = predictor.predict_many(decoded, 0.0)
    boxes = replace(predictor, pipeline=None).detect_many(decoded, 0.0)
    assert sum(map(len, boxes)) > 3 and not any(g.landmarks for few in boxes for g in few)
    for ours, theirs in zip(boxes, whole, strict=True):
        assert [(g.category, g.score, g.box) for g in ours] == [
            (g.category, g.score, g.box) for g in theirs
        ]


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
        self.began = threading.Event()

    def predict_many(self, photos, min_score):
        self.began.set()
        self.go.wait(20)
        self.batches.append(len(photos))
        return self.predictor.predict_many(photos, min_score)


def served(source, predictor, version=7):
    served = replace(source.champion.served, version=version, predictor=predictor)
    source.champion = replace(source.champion, served=served)


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


def test_what_is_cancelled_leaves_the_queue_with_its_photos(predictor, photos):
    slow = Slow(predictor)
    batcher = Batcher(lambda: Served("m", 7, slow, "torch"), 4, lambda _: None)
    running = batcher.submit([predictor.decode(photos[0], "x")], 0.0)
    until(running.running)
    photo = predictor.decode(photos[0], "x")
    waiting, held = batcher.submit([photo], 0.0), weakref.ref(photo)
    del photo
    assert held() is not None and waiting.cancel()
    del waiting
    assert held() is None
    slow.go.set()
    batcher.close()
    assert running.done() and slow.batches == [1]


def test_networks_that_hang_do_not_keep_the_service_from_stopping(
    predictor, photos, caplog, monkeypatch
):
    monkeypatch.setattr(batching, "_LEAVE", 0.05)
    slow = Slow(predictor)
    batcher = Batcher(lambda: Served("m", 7, slow, "torch"), 4, lambda _: None)
    hanging = batcher.submit([predictor.decode(photos[0], "x")], 0.0)
    until(hanging.running)
    batcher.close()
    assert not hanging.done() and "the networks have not ended in 0.05 seconds" in caplog.text
    slow.go.set()


def test_the_least_score_is_that_of_the_models_that_answer(predictor, photos):
    source, slow = Fixed(predictor), Slow(predictor)
    slow.min_score = 1.0
    served(source, slow)
    with running(source) as address, ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, address, photos[0])
        until(slow.began.is_set)
        second = pool.submit(requests.post, f"{address}/v1/garments", files=form(photos[0]), timeout=60)
        until(lambda: source.service.batcher._waiting)
        served(source, replace(predictor, min_score=0.0), 8)
        slow.go.set()
        assert first.result().ok
        answer = second.result().json()
    assert answer["model"]["version"] == 8 and answer["photos"][0]["garments"]


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


def test_the_page_of_the_version_in_use_shows_its_cards_and_loads_nothing(predictor):
    source = Fixed(predictor)
    card = "# Model card: m\n\n|a|b|\n|---|--:|\n|<script>x</script>|1|\n"
    source.champion = Champion(Served("m", 7, predictor, "torch", (card,)))
    with running(source, token="secret") as address:
        assert requests.get(f"{address}/model", timeout=9).status_code == 401
        headers = {"Authorization": "Bearer secret"}
        answer = requests.get(f"{address}/model", headers=headers, timeout=9)
        assert answer.status_code == 200 and "m, version 7" in answer.text
        assert "<td>&lt;script&gt;x&lt;/script&gt;</td>" in answer.text and "<script" not in answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        source.champion = Champion(Served("folder", 0, predictor, "torch"))
        answer = requests.get(f"{address}/model", headers=headers, timeout=9)
        assert answer.status_code == 404 and "There is no card of these models" in answer.text
        source.champion = Champion()
        assert requests.get(f"{address}/model", headers=headers, timeout=9).status_code == 503


def test_openapi_has_examples_of_bodies_and_answers(url):
    spec = requests.get(f"{url}/openapi.json", timeout=9).json()
    post = spec["paths"]["/v1/garments"]["post"]
    assert {"multipart/form-data", "application/json"} == set(post["requestBody"]["content"])
    body = post["requestBody"]["content"]["application/json"]["example"]
    assert requests.post(f"{url}/v1/garments", json=body, timeout=60).status_code == 200
    assert all(
        "example" in json.dumps(post["responses"][code]) for code in ("200", "413", "429", "503")
    )
