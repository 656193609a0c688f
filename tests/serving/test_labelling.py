"""The page's endpoints: photos in work, revisions, rankings, sizes, limits and hostile requests."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
import requests
from filelock import FileLock
from labelled_photos import items, turned
from labelling_desk import DRAWN, LABELS, PHOTO, desk_in
from page_client import Client, wait_for
from PIL import Image

from fashion_ops.serving.labelling.queue import Ranking
from fashion_ops.serving.limits import Limits
from fashion_ops.taxonomy import CATEGORIES


def test_a_dropped_photo_is_in_work_with_what_the_champion_finds_and_nobody_opens_it_twice(page):
    draft = page.ada.drop(PHOTO, "../../etc/shirt one.jpg").json()
    assert draft["name"] == "shirt-one.jpg" and (draft["width"], draft["height"]) == (256, 256)
    assert draft["model"] == "test version 7" and draft["revision"] == 0
    planted = items(LABELS)
    assert [g["category"] for g in draft["garments"]] == [
        CATEGORIES[item["category_id"] - 1].name for item in planted
    ]
    x, _, v = planted[0]["landmarks"][:3]
    assert not v or draft["garments"][0]["landmarks"][0]["x"] == pytest.approx(x + 4, abs=0.01)
    page.ada.change(draft, [])
    again = page.ben.drop(PHOTO, "other.jpg").json()
    assert (again["photo"], again["revision"], again["garments"]) == (draft["photo"], 1, [])
    assert [p["photo"] for p in page.ben.listing()["photos"]] == [draft["photo"]]


def test_the_page_proposes_garments_from_the_score_on_that_is_stored_with_the_models(page):
    page.desk.service.source.champion.served.predictor.min_score = 0.81
    assert page.ada.drop(PHOTO).json()["garments"] == []  # the planted ones have 0.8


def test_of_two_people_who_saw_the_same_revision_one_is_told_what_happened(page):
    draft = page.ada.drop(PHOTO).json()
    with ThreadPoolExecutor(8) as pool:
        people = [Client(page.url, f"P{n}") for n in range(8)]
        answers = list(pool.map(lambda p: p.change(draft, draft["garments"][:1]), people))
    assert sorted(a.status_code for a in answers) == [200] + [409] * 7
    late = page.ben.change(draft, []).json()["error"]
    assert late["code"] == "changed" and " changed shirt.jpg at 20" in late["reason"]
    assert page.ben.save(draft).json()["error"]["code"] == "changed"
    removed = page.ben.ask("DELETE", f"/photos/{draft['photo']}", params={"revision": 0})
    assert removed.status_code == 409 and not list(page.ws.inbox.iterdir())
    assert len(page.ada.listing()["photos"]) == 1


def test_photos_are_answered_while_people_wait_for_the_files_of_the_page(tmp_path):
    with desk_in(tmp_path, DRAWN, limits=Limits(seconds=3)) as page:
        draft = page.ada.drop(PHOTO).json()
        with ThreadPoolExecutor(4) as pool, page.desk.drafts.alone():
            waiting = [pool.submit(page.ben.change, draft, []) for _ in range(4)]
            wait_for(lambda: page.desk.service.places.used == 4)
            found = requests.post(f"{page.url}/v1/garments", files={"photos": PHOTO}, timeout=9)
        assert found.status_code == 200, found.text
        assert sorted(w.result().status_code for w in waiting) == [200, 409, 409, 409]


def test_labels_that_ingest_would_refuse_are_not_done(page):
    draft = page.ada.drop(PHOTO).json()
    garment = draft["garments"][0] | {"box": [9, 9, 5, 5]}
    answer = page.ada.change(draft, [garment], done=True)
    assert answer.status_code == 422
    assert "shirt.jpg, garment 1: " in answer.json()["error"]["reason"]
    assert page.ada.change(draft, [garment]).status_code == 200  # a draft may be unfinished
    for broken in (
        {"category": "hat"},
        {"landmarks": garment["landmarks"][1:]},
        {"box": [0, 0, 1e9, 1]},
        {"landmarks": [{"x": 1e9, "y": 0, "v": 2}]},
        {"path": "x"},
    ):
        answer = page.ada.change(draft, [garment | broken])
        assert answer.status_code == 400 and answer.json()["error"]["reason"]


def test_a_photo_that_exif_turns_is_kept_and_saved_upright(page):
    draft = page.ada.drop(turned(PHOTO, 6)).json()
    image = page.ada.ask("GET", f"/photos/{draft['photo']}/image").content
    with Image.open(BytesIO(image)) as shown, Image.open(BytesIO(PHOTO)) as stored:
        assert shown.getexif().get(0x0112, 1) == 1
        left_column = stored.convert("RGB").getpixel((10, 200))
        distance = zip(left_column, shown.convert("RGB").getpixel((255 - 200, 10)), strict=True)
        assert max(abs(a - b) for a, b in distance) < 25
    buffer = BytesIO()
    with Image.open(BytesIO(PHOTO)) as stored:
        stored.save(buffer, "TIFF")
    tiff = page.ada.drop(buffer.getvalue(), "a.tiff").json()
    assert tiff["name"] == "a.png"
    shown = page.ada.ask("GET", f"/photos/{tiff['photo']}/image", params={"small": True})
    assert shown.headers["content-type"] == "image/jpeg"


def test_the_limits_and_the_token_of_the_service_hold_here_too(tmp_path):
    limits = Limits(body_mb=0.05, megapixels=0.07)
    with desk_in(tmp_path, DRAWN, limits=limits, token="secret") as page:
        assert page.ada.drop(PHOTO).status_code == 401
        assert requests.get(f"{page.url}/label", timeout=9).status_code == 200  # holds nothing
        ada = Client(page.url, "Ada", Authorization="Bearer secret")
        assert ada.drop(PHOTO).status_code == 201
        assert ada.drop(b"x" * 60_000).json()["error"]["code"] == "body_too_large"
        assert ada.ask("POST", "/photos", data=iter([b"x" * 30_000] * 3)).status_code == 413
        buffer = BytesIO()
        Image.new("L", (400, 400)).save(buffer, "PNG")
        assert ada.drop(buffer.getvalue()).json()["error"]["code"] == "photo_too_large"
        page.desk.service.places.used = limits.queue
        assert ada.ask("GET", "/photos").status_code == 429


def test_photos_in_work_are_limited_and_saved_ones_do_not_count(page, monkeypatch):
    monkeypatch.setattr("fashion_ops.serving.labelling.desk.MOST_PHOTOS", 1)
    draft = page.ada.drop(PHOTO).json()
    assert page.ben.drop(PHOTO).status_code == 201  # the same
    refused = page.ada.drop(DRAWN[0][0])
    assert refused.status_code == 409 and refused.json()["error"]["code"] == "too_many_photos"
    assert page.ada.save(draft).status_code == 201
    assert page.ada.drop(DRAWN[0][0]).status_code == 201


HOSTILE = {
    "no photo": ("POST", "/photos", b"no photo", 422),
    "a photo cut off": ("POST", "/photos", PHOTO[:-900], 422),
    "a path for a photo": ("GET", "/photos/..%2f..%2fetc%2fpasswd", b"", 404),
    "a key of nobody": ("GET", f"/photos/{'0' * 32}", b"", 404),
    "a path for a batch": ("POST", "/batches/..%2f..%2fdata/ready", b"", 404),
    "a batch of another": ("POST", "/batches/monday/ready", b"", 404),
    "no JSON": ("POST", "/batches", b"{", 400),
    "JSON that nests deeply": ("POST", "/batches", b"[" * 5000, 400),
    "a ranking of nobody": ("POST", "/ranked/7", b"", 404),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_gets_a_reason_and_nothing_of_the_inside(page, name):
    method, path, body, status = HOSTILE[name]
    (page.ws.inbox / "monday").mkdir()
    answer = page.ada.ask(method, path, data=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"]
    assert "Traceback" not in answer.text and str(page.ws.root) not in answer.text
    assert not (page.ws.inbox / "monday.ready").exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/ranked/first"), ("GET", f"/photos/{'0' * 32}/image?small=x"), ("DELETE", "/photos/a")],
)
def test_a_value_of_another_type_gets_a_reason_in_the_shape_of_every_error(page, method, path):
    answer = page.ada.ask(method, path)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "request"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_labels_that_this_version_cannot_read_are_not_replaced_by_the_same_photo(page):
    draft, other = page.ada.drop(PHOTO).json(), page.ada.drop(DRAWN[0][0]).json()
    file = page.desk.drafts.folder / draft["photo"] / "draft.json"
    newer = json.loads(file.read_text()) | {"of_a_newer_version": 1}
    file.write_text(json.dumps(newer))
    (page.desk.drafts.folder / "backup.zip").write_bytes(b"mine")  # a folder would begin so too
    assert [p["photo"] for p in page.ada.listing()["photos"]] == [other["photo"]]
    for answer in (page.ben.drop(PHOTO), page.ben.ask("GET", f"/photos/{draft['photo']}")):
        assert answer.status_code == 409 and answer.json()["error"]["code"] == "unreadable"
        assert str(page.ws.root) not in answer.text
    assert json.loads(file.read_text()) == newer


def test_files_that_cannot_be_used_are_said_and_change_nothing(page, monkeypatch):
    draft = page.ada.drop(PHOTO).json()

    def full(*_):
        raise OSError(28, "No space left on device", "/secret/place")

    monkeypatch.setattr("fashion_ops.serving.labelling.drafts.write_whole", full)
    answer = page.ada.change(draft, [])
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "files"
    assert "secret" not in answer.text
    monkeypatch.undo()
    assert page.ada.change(draft, draft["garments"]).json() == {"revision": 1}
    next((page.desk.drafts.folder / draft["photo"]).glob("photo.*")).unlink()
    image = page.ada.ask("GET", f"/photos/{draft['photo']}/image")
    assert image.status_code == 404 and image.json()["error"]["code"] == "no_photo"


def test_a_photo_is_removed_with_what_a_killed_service_left_in_its_folder(page):
    draft = page.ada.drop(PHOTO).json()
    folder = page.desk.drafts.folder / draft["photo"]
    (folder / ".draft.json.0123abcd-1-1-0123abcd.partial").write_text("half")
    removed = page.ada.ask("DELETE", f"/photos/{draft['photo']}", params={"revision": 0})
    assert removed.status_code == 200
    assert [p.name for p in page.desk.drafts.folder.iterdir() if p.name != ".lock"] == []
    assert page.ada.drop(PHOTO).json()["revision"] == 0


def test_a_request_without_a_person_changes_nothing(page):
    for method, path in (("POST", "/photos"), ("GET", "/photos"), ("POST", "/batches")):
        answer = requests.request(method, f"{page.url}/v1/labels{path}", data=PHOTO, timeout=9)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "person"
    assert page.ada.listing()["photos"] == []


def test_the_page_loads_nothing_from_elsewhere(page):
    answer = requests.get(f"{page.url}/label", timeout=9)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    for name in ("main.js", "label.css"):
        assert requests.get(f"{page.url}/label/{name}", timeout=9).status_code == 200
    for name in ("__init__.py", "..%2froutes.py", "main.js.map"):
        assert requests.get(f"{page.url}/label/{name}", timeout=9).status_code == 404


def test_a_ranking_offers_its_photos_until_they_are_opened(tmp_path):
    files = [tmp_path / f"{n}.jpg" for n in range(3)]
    for file, (data, _) in zip(files[:2], DRAWN, strict=False):
        file.write_bytes(data)
    with desk_in(tmp_path, DRAWN, ranking=Ranking(files)) as page:
        assert [o["name"] for o in page.ada.listing()["offered"]] == ["0.jpg", "1.jpg", "2.jpg"]
        opened = page.ada.ask("POST", "/ranked/1")
        assert opened.status_code == 201 and str(tmp_path) not in opened.text
        listing = page.ben.listing()
        assert [o["number"] for o in listing["offered"]] == [0, 2]
        assert [p["name"] for p in listing["photos"]] == ["1.jpg"]
        gone = page.ada.ask("POST", "/ranked/2")
        assert gone.status_code == 404 and str(tmp_path) not in gone.text
        assert [o["number"] for o in page.ada.listing()["offered"]] == [0]


def test_a_ranked_photo_that_is_in_work_or_cannot_be_opened_is_offered_once(tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    content = {"a": PHOTO, "copy": PHOTO, "broken": b"no photo", "saved": DRAWN[0][0], "b": DRAWN[1][0]}
    for name, data in content.items():
        (tmp_path / "new" / f"{name}.jpg").write_bytes(data)
    file = tmp_path / "new" / "ranked.csv"
    file.write_text("photo\n" + "".join(f"{name}.jpg\n" for name in content))
    with desk_in(tmp_path, DRAWN, ranking=Ranking.read(file)) as page:
        page.ada.save(page.ada.drop(DRAWN[0][0]).json())
        codes, opened = [], []
        for _ in content:  # as "Done" goes on to the next
            offered = page.ada.listing()["offered"]
            answer = page.ada.ask("POST", f"/ranked/{offered[0]['number']}")
            codes.append(answer.status_code)
            opened.append(answer.json().get("photo"))
        assert codes == [201, 201, 422, 409, 201] and opened[0] == opened[1]
        assert page.ada.listing()["offered"] == []
        page.ada.ask("DELETE", f"/photos/{opened[0]}", params={"revision": 0})
        assert [o["name"] for o in page.ada.listing()["offered"]] == ["a.jpg", "copy.jpg"]
    monkeypatch.chdir(tmp_path / "new")
    again = Ranking.read(Path("../new/ranked.csv"))
    (b,) = [draft for draft in page.desk.drafts.every() if draft.ranked]
    assert b.ranked.endswith("b.jpg") and 4 not in [o["number"] for o in again.offered([b])]


def test_sizes_follow_the_labels_of_the_page(page):
    path = f"/photos/{page.ada.drop(PHOTO).json()['photo']}/sizes"
    places = [(30, 20), (60, 20), (90, 20), (25, 60), (20, 120), (60, 120), (100, 120), (95, 60)]
    for wider in (1, 2):
        points = [{"x": wider * x, "y": y, "v": 2} for x, y in places]
        skirt = {"category": "skirt", "box": (20, 20, wider * 100, 120), "landmarks": points}
        answer = page.ada.ask("POST", path, json={"garments": [skirt]}).json()
        sizes = {name: size["value"] for name, size in answer["garments"][0]["sizes"].items()}
        side = round(math.hypot(wider * 5, 40) + math.hypot(wider * 5, 60), 2)
        assert answer["unit"] == "px" and sizes == {
            "waist": wider * 60,
            "hem": wider * 80,
            "skirt_length": 100,
            "left_side": side,
            "right_side": side,
        }


@pytest.mark.parametrize("who", ["process", "request"])
def test_one_that_keeps_the_drafts_is_answered_not_waited_for(page, monkeypatch, who):
    monkeypatch.setattr("fashion_ops.serving.labelling.drafts._SECONDS", 0.05)
    draft, drafts = page.ada.drop(PHOTO).json(), page.desk.drafts
    with FileLock(drafts.folder / ".lock") if who == "process" else drafts.alone():
        refused = page.ada.change(draft, [])
    assert refused.status_code == 503 and f"another {who} writes labels" in refused.text
    assert page.ada.change(draft, []).status_code == 200
