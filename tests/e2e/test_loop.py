"""The whole loop once, tiny: serve, label, correct, retrain, promote; traced from photo to version.

A champion that learned from few labels serves. Photos with planted truth go to the page, whose own
endpoints (and for some photos a browser) take corrections that equal the truth. The schedule's tick
retrains, the gate promotes, and the service answers with the new version. Minutes: only with
FASHION_OPS_LONG=1; ``tests/serving/test_labelling_page.py`` has the first half with planted garments.
"""

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from browser import FLAGS, find_browser
from clone import Clone, clone_into
from dagster_pages import free_port, stop
from labelled_photos import draw, items
from page_client import Client, Person

from fashion_ops.catalog.reader import Catalog
from fashion_ops.taxonomy import category

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif("FASHION_OPS_LONG" not in os.environ, reason="minutes; set FASHION_OPS_LONG=1"),
]
PHOTOS, IN_BROWSER = 200, 10
TICK = """
import sys
from pathlib import Path
import dagster as dg
from pipelines.definitions import build
definitions = build(Path.cwd())
with dg.DagsterInstance.get() as instance:
    with dg.build_schedule_context(instance) as context:
        tick = definitions.get_schedule_def("retrain").evaluate_tick(context)
    [request] = tick.run_requests
    job = definitions.resolve_job_def("pipeline")
    done = job.execute_in_process(instance=instance, tags=request.tags, raise_on_error=False)
sys.exit(not done.success)
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The repository with few labels, and a gate that holds for an AP that does not fall."""
    made = clone_into(tmp_path_factory.mktemp("loop") / "fashion-ops")
    params = made.params
    params["synthesize"] |= {"train": 40, "validation": 60}
    params["train_landmarker"] |= {"epochs": 12}
    params["promote"] |= {"min_ap": 0.0, "min_box_ap": 0.0, "max_category_drop": 1.0}
    params["promote"] |= {"max_latency_ratio": 1000.0, "max_likely_drop": 1.0}  # v1 finds nothing, fast
    made.set_params(params)
    made.python("-m", "pipelines.run")
    made.run("fashion-ops", "promote")
    return made


@contextmanager
def service(clone: Clone) -> Iterator[str]:
    """``fashion-ops serve`` of the champion; yields its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    words = ["fashion-ops", "serve", "--engine", "torch", "--poll", "1", "--port", str(port)]
    process = subprocess.Popen(words, cwd=clone.root, env=clone.env)
    try:
        wait_for_version(address, 1)
        yield address
    finally:
        stop(process)


def wait_for_version(address: str, number: int) -> None:
    deadline = time.monotonic() + 600
    while True:
        assert time.monotonic() < deadline
        try:
            ready = requests.get(f"{address}/ready", timeout=9).json()
        except requests.ConnectionError:
            ready = {"ready": False}
        if ready["ready"] and ready["model"]["version"] == number:
            return
        time.sleep(1)


def truth(labels: dict) -> list[dict]:
    """The planted labels as the page takes them."""
    garments = []
    for item in items(labels):
        flat = [float(v) for v in item["landmarks"]]
        points = zip(*[iter(flat)] * 3, strict=True)
        landmarks = [{"x": x, "y": y, "v": int(v), "score": None} for x, y, v in points]
        name = category(item["category_id"]).name
        garments.append({"category": name, "box": item["bounding_box"], "landmarks": landmarks})
    return garments


def landmark_ap(clone: Clone) -> float:
    metrics = json.loads((clone.root / "reports/evaluation/metrics.json").read_text())
    return metrics["landmark_ap"]["universal"]


def test_labels_of_the_page_make_a_better_champion_and_can_be_traced(clone: Clone) -> None:
    before, drawn = landmark_ap(clone), draw(PHOTOS, size=128, seed=77)
    with service(clone) as address:
        ada, drafts = Client(address, "Ada"), []
        for number, (data, labels) in enumerate(drawn):
            draft = ada.drop(data, f"shop-{number:03d}.jpg").json()
            if number >= IN_BROWSER or find_browser() is None:
                draft |= ada.change(draft, truth(labels), done=True).json()
            drafts.append(draft)
        if find_browser() is not None:
            label_in_browser(address, drawn[:IN_BROWSER])
            drafts[:IN_BROWSER] = [
                ada.ask("GET", f"/photos/{draft['photo']}").json() for draft in drafts[:IN_BROWSER]
            ]
        batch = ada.save(*drafts, ready=True).json()["batch"]
        done = clone.run("fashion-ops", "batches")
        assert f"0001-{batch}" in done.stdout.replace("\n", "")
        check_labels(clone.root / "data" / "batches" / f"0001-{batch}", drawn)
        clone.python("-c", TICK)
        digests = {hashlib.sha256(data).hexdigest() for data, _ in drawn}
        assert digests <= set(Catalog(clone.root / "data/catalog").images["sha256"])
        wait_for_version(address, 2)
        after = landmark_ap(clone)
        print(f"AP on the frozen set: {before:.4f} before, {after:.4f} after")
        assert after > before
        answer = requests.post(
            f"{address}/v1/garments", files=[("photos", drawn[0][0])], timeout=60
        ).json()
        assert answer["model"]["version"] == 2
    history = clone.run("fashion-ops", "history").stdout
    assert "champion: version 2" in history
    for number in (1, 2):  # from a version to the corrections that it learned from
        back = clone.root.parent / f"version {number}"
        clone.run("fashion-ops", "restore", str(number), "--into", str(back))
        batches = back / "data" / "batches"
        assert [path.name for path in batches.iterdir() if path.is_dir()] == [f"0001-{batch}"][
            : number - 1
        ]
    check_labels(batches / f"0001-{batch}", drawn)


def label_in_browser(address: str, drawn: list[tuple[bytes, dict]]) -> None:
    """Delete what the champion found, add the planted garments, and drag everything to its place."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        for number, (_, labels) in enumerate(drawn):
            cleo = Person(browser, address, "Cleo")
            cleo.open(f"shop-{number:03d}.jpg")
            cleo.start_anew()
            for garment in truth(labels):
                cleo.add(garment)
            cleo.finish()
        browser.close()


def check_labels(batch: Path, drawn: list[tuple[bytes, dict]]) -> None:
    """Each photo and its labels are in the batch, with the version and the person they come from."""
    folder = batch / "train"
    for number, (data, labels) in enumerate(drawn):
        name = f"shop-{number:03d}"
        assert (folder / "image" / f"{name}.jpg").read_bytes() == data
        saved = json.loads((folder / "annos" / f"{name}.json").read_bytes())
        assert saved["model"] == "garment-landmarks version 1"
        by_hand = number < IN_BROWSER and find_browser() is not None
        assert saved["labelled_by"] == ("Cleo" if by_hand else "Ada")
        pairs = list(zip(items(saved), items(labels), strict=True))
        for mine, planted in pairs:
            assert mine["category_id"] == planted["category_id"]
            assert mine["landmarks"] == pytest.approx(planted["landmarks"], abs=0.6 if by_hand else 0)
