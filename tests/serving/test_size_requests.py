"""Sizes over real HTTP: what ``measure`` says of the same photo, limits, pixels without a scale."""

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
import requests
from running_service import Fixed, running

from bench.flat_lay_photos import flat_lay
from fashion_ops.inference.alignment_predictor import AlignmentPredictor
from fashion_ops.inference.measuring import IN_PIXELS, measure_photo
from fashion_ops.inference.predictor import Garment
from fashion_ops.measurement.points import points_of_measure
from fashion_ops.measurement.references import Scaling
from fashion_ops.serving.champion import Champion
from fashion_ops.serving.limits import Limits
from fashion_ops.taxonomy import category

SHOT = flat_lay(6, thing="A4")
SMALL = cv2.imencode(".jpg", np.full((90, 60, 3), 200, np.uint8))[1].tobytes()
PHOTO = cv2.imencode(".jpg", SHOT.photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class Known:
    """A predictor that finds the garment of ``SHOT`` in every photo, with its true landmarks."""

    min_score = 0.3

    def predict_many(self, photos, min_score):
        names = category(SHOT.category).landmark_names
        box = (*SHOT.pixels.min(0), *SHOT.pixels.max(0))
        points = {n: (*map(float, p), 1.0) for n, p in zip(names, SHOT.pixels, strict=True)}
        return [[Garment(SHOT.category, 0.9, tuple(map(float, box)), points)] for _ in photos]


@pytest.fixture(scope="module")
def url():
    with running(Fixed(Known())) as address:
        yield address


def ask(url, *photos, **fields):
    files = [("photos", ("a.jpg", photo)) for photo in photos]
    return requests.post(f"{url}/v1/sizes", files=files, data=fields, timeout=60)


def test_sizes_are_the_true_centimetres_and_name_their_reference(url):
    answer = ask(url, PHOTO, reference="a4").json()
    (photo,) = answer["photos"]
    assert photo["unit"] == "cm" and photo["reference"]["name"] == "A4 paper"
    assert (photo["width"], photo["height"]) == (2400, 1800)
    sizes = photo["garments"][0]["sizes"]
    for point in points_of_measure(SHOT.category):
        size, truth = sizes[point.name], float(point.length(SHOT.cm))
        assert size["value"] == pytest.approx(truth, abs=0.5) and size["unit"] == "cm"
        assert size["interval_95"][0] < truth < size["interval_95"][1]
    predictor = Known()
    from fashion_ops.methods.centernet.deploy.photo import decode_reduced

    decoded = decode_reduced(PHOTO, "x")
    (garments,) = predictor.predict_many([decoded], 0.3)
    expected = measure_photo(decoded, garments, Scaling("a4")).to_json(garments)
    assert photo["garments"] == expected["garments"]


def test_without_a_reference_sizes_are_pixels_and_a_bad_photo_is_one_error(url):
    first, bad, last = ask(url, PHOTO, b"no photo", PHOTO, reference="none").json()["photos"]
    assert first["unit"] == "px" and first["note"] == IN_PIXELS and first["reference"] is None
    assert {s["unit"] for s in first["garments"][0]["sizes"].values()} == {"px"}
    assert bad["error"]["code"] == "photo" and last["garments"] == first["garments"]


def test_a_scale_by_hand_and_base64(url):
    import base64

    body = {"photos": [base64.b64encode(PHOTO).decode()], "pixels_per_cm": 20}
    (photo,) = requests.post(f"{url}/v1/sizes", json=body, timeout=60).json()["photos"]
    assert "by hand" in photo["reference"]["name"] and photo["unit"] == "cm"
    sizes = photo["garments"][0]["sizes"]
    for point in points_of_measure(SHOT.category):
        pixels = float(point.length(SHOT.pixels))
        assert sizes[point.name]["value"] == pytest.approx(pixels / 20, abs=0.02)


@pytest.mark.parametrize(
    "fields",
    [
        {"reference": "ruler"},
        {"pixels_per_cm": "nan"},
        {"pixels_per_cm": "0"},
        {"pixels_per_cm": "9", "reference": "a4"},
        {"scale": "9"},
    ],
)
def test_a_field_that_says_nothing_is_refused_with_a_reason(url, fields):
    response = ask(url, PHOTO, **fields)
    assert response.status_code == 400 and response.json()["error"]["reason"]
    assert (
        requests.post(f"{url}/v1/garments", files=[("photos", PHOTO)], data=fields).status_code == 400
    )


def test_the_limits_are_those_of_garments_and_openapi_has_an_example(url):
    with running(Fixed(Known()), Limits(photos=2), token="secret") as address:
        assert ask(address, PHOTO).status_code == 401
        headers = {"Authorization": "Bearer secret"}
        files = [("photos", PHOTO)] * 3
        many = requests.post(f"{address}/v1/sizes", files=files, headers=headers, timeout=60)
        assert many.json()["error"]["code"] == "too_many_photos"
    post = requests.get(f"{url}/openapi.json", timeout=9).json()["paths"]["/v1/sizes"]["post"]
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert set(form) == {"photos", "min_score", "reference", "pixels_per_cm"}
    body = post["requestBody"]["content"]["application/json"]["example"]
    assert requests.post(f"{url}/v1/sizes", json=body, timeout=60).status_code == 200


@pytest.mark.parametrize("part", ["find_reference", "measure_garments"])
def test_a_photo_that_cannot_be_measured_is_one_error(url, monkeypatch, part):
    def fail(*_):
        raise RuntimeError("secret inside")

    monkeypatch.setattr(f"fashion_ops.serving.service.{part}", fail)
    response = ask(url, PHOTO)
    assert response.status_code == 200 and "secret" not in response.text
    assert response.json()["photos"][0]["error"]["code"] == "photo"
    assert np.isfinite(response.json()["seconds"])


def test_references_that_nobody_waits_for_are_not_looked_for(monkeypatch):
    begun, go = [], threading.Event()

    def find(*_):
        begun.append(1)
        go.wait(20)

    monkeypatch.setattr("fashion_ops.serving.service.find_reference", find)
    source = Fixed(Known())
    with running(source, Limits(seconds=1)) as address:
        assert ask(address, *[SMALL] * 6).json()["error"]["code"] == "too_slow"
        go.set()
        source.service.decoders.submit(lambda: None).result(20)
    assert 0 < len(begun) <= 2  # one in each thread


class Looks(Known):
    """A predictor that takes first looks apart; ``crop`` is what a second look does first."""

    def __init__(self, look=None, crop=None):
        self.look, self.crop, self.looks = look, crop, []

    def detect_many(self, photos, min_score):
        self.looks.append(min_score)
        if self.look:
            self.look()
        return super().predict_many(photos, min_score)

    def predict_many(self, photos, min_score):
        if self.crop:
            self.crop()
        return super().predict_many(photos, min_score)


def test_a_photo_whose_crop_fails_is_an_error_and_not_one_without_garments():
    def crop():
        raise RuntimeError("secret inside")

    with running(Fixed(Looks(crop=crop))) as address:
        response = ask(address, SMALL)
    assert response.json()["photos"] == [
        {"photo": 0, "error": {"code": "photo", "reason": "it failed here"}}
    ]


def test_one_version_takes_both_looks_and_its_landmarks_are_those_that_sizes_need():
    newer = Looks()
    source = Fixed(Looks(look=lambda: use(newer, 8)))

    def use(predictor, version):
        source.champion = Champion(
            replace(source.champion.served, version=version, predictor=predictor)
        )

    with running(source) as address:
        answer = ask(address, SMALL).json()
        assert answer["model"]["version"] == 8 and newer.looks == [0.08]
        assert "garments" in answer["photos"][0]
        newer.look = lambda: use(object.__new__(AlignmentPredictor), 9)
        response = ask(address, SMALL)
    assert (response.status_code, response.json()["error"]["code"]) == (501, "no_sizes")
