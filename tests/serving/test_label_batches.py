"""Batches that the page saves: their labels, people who go on meanwhile, what cannot be written."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from labelling_desk import DRAWN, PHOTO, desk_in

from fashion_ops.catalog.sources.deepfashion2 import entries
from fashion_ops.serving.limits import Limits


def batch_labels(ws, name):
    files = sorted((ws.inbox / name / "train" / "annos").iterdir())
    return [json.loads(file.read_bytes()) for file in files]


def test_a_saved_batch_holds_the_corrected_labels_and_where_they_come_from(page):
    draft, other = page.ada.drop(PHOTO).json(), page.ben.drop(DRAWN[0][0], "b.png").json()
    first, second = draft["garments"][:2]
    point = next(p for p in first["landmarks"] if p["v"])
    point |= {"x": 30.25, "y": 41.5, "v": 1, "score": None}
    added = {**second, "score": None, "found": None}
    changed = page.ada.change(draft, [first, second, added], done=True).json()
    accepted = page.ben.change(other, other["garments"], done=True).json()
    saved = page.ada.save(draft | changed, other | accepted).json()
    assert saved["photos"] == 2 and saved["garments"] == 3 + len(other["garments"])
    assert not (page.ws.inbox / f"{saved['batch']}.ready").exists()
    assert page.ada.listing() == {"photos": [], "offered": [], "batches": [saved["batch"]]}
    by_person = {label["labelled_by"]: label for label in batch_labels(page.ws, saved["batch"])}
    mine, yours = by_person["Ada"], by_person["Ben"]
    assert (mine["labelled"], yours["labelled"]) == ("corrected", "accepted")
    assert mine["model"] == yours["model"] == "test version 7" and mine["labelled_at"].endswith("Z")
    assert [mine[f"item{n}"]["labelled"] for n in (1, 2, 3)] == ["corrected", "accepted", "added"]
    assert [30.25, 41.5, 1] in [mine["item1"]["landmarks"][n : n + 3] for n in range(0, 99, 3)]
    (entry, _) = entries(page.ws.inbox / saved["batch"])
    assert (page.ws.inbox / saved["batch"] / entry.image).read_bytes() in (PHOTO, DRAWN[0][0])
    assert page.ben.ask("POST", f"/batches/{saved['batch']}/ready").status_code == 200
    assert (page.ws.inbox / f"{saved['batch']}.ready").read_bytes() == b""
    assert page.ada.listing()["batches"] == []


def test_a_saved_photo_is_closed_until_its_batch_is_gone(page):
    draft = page.ada.drop(PHOTO).json()
    saved = page.ada.save(draft, ready=True).json()["batch"]
    assert (page.ws.inbox / f"{saved}.ready").exists()
    for answer in (page.ben.save(draft | {"revision": 1}), page.ben.drop(PHOTO)):
        assert answer.status_code == 409 and saved in answer.json()["error"]["reason"]
    assert page.ben.change(draft | {"revision": 1}, []).json()["error"]["code"] == "saved"
    page.ws.batches.mkdir()
    (page.ws.inbox / saved).rename(page.ws.batches / f"0003-{saved}")
    assert page.ben.drop(PHOTO).status_code == 409
    (page.ws.batches / f"0003-{saved}").rename(page.ws.root / "refused")
    assert page.ben.drop(PHOTO).status_code == 201
    assert page.ben.listing()["photos"][0]["done"]


def full(*_):
    raise OSError(28, "No space left on device", "/secret/place")


@pytest.mark.parametrize("part", ["annotation.batch.annotation", "files.publishing._take_place"])
def test_a_batch_that_cannot_be_written_leaves_nothing_and_keeps_the_labels(page, monkeypatch, part):
    draft = page.ada.drop(PHOTO).json()
    with monkeypatch.context() as broken:
        broken.setattr(f"fashion_ops.{part}", full)
        answer = page.ada.save(draft)
    assert answer.status_code == 503 and "secret" not in answer.text
    assert not list(page.ws.inbox.iterdir())
    changed = page.ben.change(draft, draft["garments"][:1])  # who has the photo open goes on
    assert changed.json() == {"revision": 1}
    assert page.ada.save(draft | {"revision": 1}).status_code == 201


def test_a_batch_that_cannot_be_marked_is_saved_and_the_person_learns_its_name(page, monkeypatch):
    draft = page.ada.drop(PHOTO).json()
    monkeypatch.setattr("fashion_ops.serving.labelling.batches.write_whole", full)
    answer = page.ada.save(draft, ready=True)
    (batch,) = page.ada.listing()["batches"]
    assert answer.status_code == 503 and f"saved as {batch}, but" in answer.json()["error"]["reason"]
    monkeypatch.undo()
    assert page.ada.ask("POST", f"/batches/{batch}/ready").status_code == 200


@contextmanager
def copying(page, monkeypatch, *drafts):
    """Within the block a batch of these photos is being copied; yields the future of its answer."""
    from fashion_ops.annotation import batch

    began, ends, annotation = threading.Event(), threading.Event(), batch.annotation

    def slow(photo):
        began.set()
        assert ends.wait(5)
        return annotation(photo)

    monkeypatch.setattr(batch, "annotation", slow)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(page.ada.save, *drafts)
        try:
            assert began.wait(5)
            yield answer
        finally:
            ends.set()


def test_while_a_batch_is_copied_people_label_and_it_takes_the_time_that_it_needs(page, monkeypatch):
    draft, other = page.ada.drop(PHOTO).json(), page.ben.drop(DRAWN[0][0]).json()
    page.desk.service.limits = Limits(seconds=0.001)
    with copying(page, monkeypatch, draft) as answer:
        page.desk.service.limits = Limits()
        assert page.ben.change(other, []).json() == {"revision": 1}
    assert answer.result().status_code == 201, answer.result().text
    again = page.ada.save(draft).json()["error"]
    assert again["code"] == "saved" and answer.result().json()["batch"] in again["reason"]


def test_a_photo_that_somebody_changes_while_it_is_copied_is_not_saved_without_the_change(
    page, monkeypatch
):
    draft = page.ada.drop(PHOTO).json()
    with copying(page, monkeypatch, draft) as answer:
        assert page.ben.change(draft, []).json() == {"revision": 1}
    assert answer.result().json()["error"]["code"] == "changed"
    assert not list(page.ws.inbox.iterdir())
    assert page.ada.save(draft | {"revision": 1}).status_code == 201


def test_without_a_workspace_labels_are_kept_and_nothing_is_saved(tmp_path):
    with desk_in(tmp_path, DRAWN, workspace=False) as page:
        draft = page.ada.drop(PHOTO).json()
        assert not page.ada.ask("GET", "/setup").json()["saves"]
        refused = page.ada.save(draft)
        assert refused.status_code == 409 and "workspace" in refused.json()["error"]["reason"]
