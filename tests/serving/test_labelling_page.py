"""The page in real Chromium: drop, drag, hide, undo, save; what becomes of it; two people; a phone."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import FLAGS, find_browser
from labelled_photos import items
from labelling_desk import DRAWN, LABELS, PHOTO, desk_in
from page_client import DROP, Client, Person, wait_for
from small_repository import DVC, sh

from fashion_ops.catalog.reader import Catalog
from fashion_ops.commands.workspace import batches
from fashion_ops.ledger import Ledger
from fashion_ops.params import load_params
from fashion_ops.steps import ingest
from fashion_ops.taxonomy import category

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser: install chromium")
OTHER = next(d for d, _ in DRAWN if d is not PHOTO)
KIND = category(items(LABELS)[0]["category_id"])
PIPELINE = f"""
stages:
  ingest:
    cmd: "true"
    deps: [data/raw, data/batches]
    outs: [data/catalog]
  finetune:
    foreach: {{{KIND.name}: 1}}
    do:
      cmd: "true"
      deps: [data/catalog]
      outs: ["models/finetuned/${{key}}"]
"""
PARAMS = "batches: {min_images: 1}\ndistributed: {workers: 1}\n"


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        browser.close()


def shown(draft):
    """The landmarks of the first garment by name, the visible ones."""
    garment = draft["garments"][0]
    names = category(garment["category"]).landmark_names
    return {n: p for n, p in zip(names, garment["landmarks"], strict=True) if p["v"] == 2}


def free(draft):
    """A landmark that no other is near to, in the middle of the photo."""
    points = [p for g in draft["garments"] for p in g["landmarks"] if p["v"]]

    def room(point):
        return sorted(np.hypot(point["x"] - p["x"], point["y"] - p["y"]) for p in points)[1]

    inside = {n: p for n, p in shown(draft).items() if 40 < p["x"] < 210 and 40 < p["y"] < 210}
    return max(inside, key=lambda name: room(inside[name]))


def repository(ws):
    """A workspace with a catalog and a finetuned model, both recorded."""
    root = ws.root
    for (data, labels), split in zip(DRAWN[-2:], ("train", "validation"), strict=True):
        for kind, content in (("image/1.jpg", data), ("annos/1.json", json.dumps(labels).encode())):
            file = ws.raw / split / kind
            file.parent.mkdir(parents=True)
            file.write_bytes(content)
    ws.batches.mkdir(parents=True)
    (ws.batches / ".gitkeep").touch()
    (root / "dvc.yaml").write_text(PIPELINE)
    ws.params.write_text(PARAMS)
    shutil.copy(Path(__file__).parents[2] / ".gitignore", root)
    sh("git", "init", "-q", cwd=root)
    sh(*DVC, "init", "-q", cwd=root)
    ws.finetuned(KIND.name).mkdir(parents=True)
    (ws.finetuned(KIND.name) / "weights").write_bytes(b"1")
    ledger = Ledger(root)
    renew(ws, ledger)
    ledger.commit(f"finetune@{KIND.name}", ledger.snapshot(f"finetune@{KIND.name}"))
    assert ledger.stale() == {}
    return ledger


def renew(ws, ledger):
    snapshot = ledger.snapshot("ingest")
    ingest.run(load_params(ws.params), ws)
    ledger.commit("ingest", snapshot)


def test_what_is_dropped_dragged_hidden_and_saved_is_taken_and_makes_the_finetuning_stale(
    chromium, page, monkeypatch, capsys
):
    ledger = repository(page.ws)
    ada = Person(chromium, page.url)
    ada.drop(PHOTO)
    before = ada.draft()
    name = free(before)
    start, unit = shown(before)[name], ada.unit()
    ada.drag(name, 24, -16)
    ada.page.keyboard.press("h")
    ada.page.keyboard.press("z")
    undone = shown(ada.draft())[name]
    assert (undone["x"], undone["y"]) == (
        pytest.approx(start["x"] + 24 * unit, abs=0.02),
        pytest.approx(start["y"] - 16 * unit, abs=0.02),
    )
    ada.page.keyboard.press("y")
    index = KIND.landmark_names.index(name)
    assert ada.draft()["garments"][0]["landmarks"][index]["v"] == 1
    assert "hidden" in ada.page.locator(f".garment:not(.other) .point[data-name={name}]").get_attribute(
        "class"
    )
    ada.page.keyboard.press("Enter")  # the only photo is done
    ada.page.get_by_role("button", name="Save a batch").click()
    ada.page.get_by_label("It is complete").check()
    ada.page.locator("#confirm").click()
    ada.page.get_by_text("1 photo saved as page-").wait_for()
    ada.leave()

    monkeypatch.setenv("FASHION_OPS_ROOT", str(page.ws.root))
    batches()
    (taken,) = [p.name for p in page.ws.batches.glob("0001-page-*") if p.is_dir()]
    assert taken in capsys.readouterr().out.replace("\n", "")
    assert page.ada.listing()["photos"] == []  # the labels are in the training data
    renew(page.ws, ledger)
    garments = Catalog(page.ws.catalog).garments
    rows = garments[garments["category_id"] == KIND.id]
    points = [np.reshape(row, (-1, 3))[index] for row in rows["landmarks"]]
    expected = (undone["x"], undone["y"], 1)
    assert any(np.allclose(point, expected, atol=1e-3) for point in points)
    assert f"finetune@{KIND.name}" in ledger.stale()


def test_a_closed_browser_loses_nothing(chromium, page):
    ada = Person(chromium, page.url)
    ada.drop(PHOTO)
    name = free(ada.draft())
    ada.drag(name, 12, 12)
    with ada.page.expect_event("close"):  # at once, before the change is kept
        ada.page.close(run_before_unload=True)
    wait_for(lambda: page.ada.listing()["photos"][0]["corrected"])
    ada.leave()
    ben = Person(chromium, page.url, "Ben")
    ben.page.locator("#photos button").first.click()
    ben.page.locator(".garment:not(.other) .point").first.wait_for()
    points = ben.draft()["garments"][0]["landmarks"]
    assert points[KIND.landmark_names.index(name)]["score"] is None
    ben.leave()
    assert not list(page.ws.inbox.iterdir())


def test_everything_can_be_done_by_keys(chromium, page):
    ada = Person(chromium, page.url)
    ada.page.set_input_files("#files", [{"name": "a.jpg", "mimeType": "image/jpeg", "buffer": PHOTO}])
    ada.page.locator(".garment:not(.other) .point").first.wait_for()
    press, before = ada.page.keyboard.press, ada.draft()["garments"]
    ada.until("document.activeElement.id == 'view'")
    points = before[0]["landmarks"]
    lowest = min(range(len(points)), key=lambda n: points[n]["score"] if points[n]["v"] else 2)
    press("ArrowRight")
    press("Shift+ArrowDown")
    moved = ada.draft()["garments"][0]["landmarks"][lowest]
    assert moved == {"x": points[lowest]["x"] + 1, "y": points[lowest]["y"] + 10, "v": 2, "score": None}
    press(".")
    press("x")
    assert ada.draft()["garments"][0]["landmarks"][(lowest + 1) % len(points)]["v"] == 0
    press("a")
    press("s")  # in the list of categories: the first that begins so
    press("Enter")
    added = ada.draft()["garments"]
    assert len(added) == len(before) + 1 and added[-1]["found"] is None
    assert added[-1]["category"].startswith("s") and added[-1]["landmarks"][0]["score"] == 0
    press("Delete")
    assert len(ada.draft()["garments"]) == len(before)
    for _ in range(9):
        press("Control+z")
    assert ada.draft()["garments"] == before
    press("?")
    assert ada.page.get_by_role("heading", name="Keys").is_visible()
    press("Escape")
    press("Enter")
    ada.page.get_by_text("All photos are done.").wait_for()
    ada.leave()


def test_landmarks_follow_a_change_of_category_by_name_and_meaning(chromium, page):
    ada = Person(chromium, page.url)
    ada.drop(PHOTO)
    before = ada.draft()["garments"][0]
    old = category(before["category"])
    new = category("trousers" if old.name in ("shorts", "skirt") else "long_sleeve_dress")
    ada.page.select_option("#category", new.name)
    after = ada.draft()["garments"][0]
    assert after["category"] == new.name and len(after["landmarks"]) == new.num_landmarks
    kept = 0
    for name, point in zip(new.landmark_names, after["landmarks"], strict=True):
        if name in old.landmark_names:
            assert point == before["landmarks"][old.landmark_names.index(name)]
            kept += 1
    guessed = [p for p in after["landmarks"] if p["score"] == 0]
    assert kept >= 3 and guessed and all(0 <= p["x"] <= 255 and 0 <= p["y"] <= 255 for p in guessed)
    assert ada.page.locator(".garment:not(.other) .point.low").count() >= len(guessed)
    ada.page.locator("#undo").click()
    assert ada.draft()["garments"][0] == before
    ada.leave()


def test_a_photo_that_is_dropped_before_somebody_has_said_who_labels_is_not_lost(chromium, page):
    early = chromium.new_context().new_page()
    early.goto(f"{page.url}/label")
    early.evaluate(DROP, ["early.jpg", base64.b64encode(PHOTO).decode()])
    early.fill("#name", "Ada")
    early.keyboard.press("Enter")
    early.locator("#photos button[title='early.jpg'][aria-current=true]").wait_for()
    early.context.close()


def test_two_people_at_one_photo_are_told_of_each_other_and_choose(chromium, page):
    ada = Person(chromium, page.url)
    ada.drop(PHOTO)
    draft = ada.draft()
    name = free(draft)
    enemy = Client(page.url, "<img src=x onerror=alert(1)>")
    assert enemy.change(draft, []).status_code == 200
    ada.drag(name, 10, 0)
    ada.page.get_by_text("<img src=x onerror=alert(1)> changed shirt.jpg at").wait_for()
    assert page.ben.ask("GET", f"/photos/{draft['photo']}").json()["garments"] == []
    ada.page.get_by_role("button", name="Replace it by mine").click()
    ada.page.locator("#message").wait_for(state="hidden")
    assert ada.draft()["garments"][0]["landmarks"][KIND.landmark_names.index(name)]["score"] is None
    assert enemy.change(ada.draft(), []).status_code == 200
    ada.drag(name, 10, 0)
    ada.page.get_by_role("button", name="Load it again").click()
    ada.page.locator(".point").first.wait_for(state="detached")
    assert ada.draft()["garments"] == []
    ada.leave()


def test_the_queue_shows_only_photos_with_a_score_below_the_filter(chromium, page):
    draft = page.ada.drop(OTHER, "sure.jpg").json()
    points = [[p | {"score": None} for p in g["landmarks"]] for g in draft["garments"]]
    sure = [g | {"landmarks": p} for g, p in zip(draft["garments"], points, strict=True)]
    page.ada.change(draft, sure)
    page.ada.drop(PHOTO, "unsure.jpg")
    ada = Person(chromium, page.url)
    ada.page.locator("#photos li").nth(1).wait_for()
    ada.page.evaluate("lowest.value = 0.5; lowest.dispatchEvent(new Event('input'))")
    assert ada.page.locator("#photos li button").evaluate_all("all => all.map(b => b.title)") == [
        "unsure.jpg"
    ]
    ada.leave()


def test_a_finger_drags_a_landmark_on_a_phone_and_nothing_is_wider_than_the_screen(chromium, page):
    phone = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}
    ada = Person(chromium, page.url, **phone)
    ada.drop(PHOTO)
    name = free(ada.draft())
    start, unit = shown(ada.draft())[name], ada.unit()
    x, y = ada.place(name)
    fingers = ada.context.new_cdp_session(ada.page)
    for kind, at in (
        ("touchStart", (x + 6, y)),
        ("touchMove", (x + 30, y)),
        ("touchMove", (x + 46, y)),
    ):
        point = {"x": at[0], "y": at[1]}
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    assert ada.page.locator("#loupe").is_visible()
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert shown(ada.draft())[name]["x"] == pytest.approx(start["x"] + 40 * unit, abs=0.5)
    assert ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ada.leave()


def test_a_token_is_asked_for_and_stays_in_the_tab(chromium, tmp_path):
    with desk_in(tmp_path, DRAWN, token="secret") as desk:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"{desk.url}/label")
        page.fill("#name", "Ada")
        page.keyboard.press("Enter")
        page.locator("#with-token").wait_for()
        page.fill("#token", "secret")
        page.keyboard.press("Enter")
        wait_for(lambda: page.locator("#category option").count() == 13)
        assert page.evaluate("Object.values(localStorage)") == ["Ada"]
        assert page.context.cookies() == []
        context.close()
