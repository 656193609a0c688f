"""``score`` reads files of any size in parts: the same numbers and faults, at the memory of one part.

FASHION_OPS_LONG=1 scores 773 MB in a process of its own, within 0.5 GB.
"""

import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from coco_cases import random_case

from bench.pycocotools_scores import reference_scores
from fashion_ops.evaluation import coco_records, coco_results, json_reader
from fashion_ops.evaluation.coco_annotations import read_annotations
from fashion_ops.evaluation.coco_files import score_files
from fashion_ops.evaluation.coco_results import read_results

DATA, RESULTS = random_case(5)
NOTE = 'a "}, {" of\n [{\\ \u00e9 \U0001f600'


def pretty(value):
    return json.dumps(value, indent=3).encode()


def more_keys(value):
    """Extra keys, nested objects with lists of objects, texts full of brackets; keys turned round."""
    more = {"note": NOTE, "parts": [{"a": 1}, {"b": [{}, {"c": None}]}], "flag": True}
    if isinstance(value, list):
        value = [dict(reversed(({**more, **r, "z": more}).items())) for r in value]
    else:
        rows = [dict(reversed((a | more).items())) for a in value["annotations"]]
        value = dict(
            reversed((value | {"info": more, "annotations": rows, "licenses": [more]}).items())
        )
    return json.dumps(value).encode()


def unescaped(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def reference():
    return reference_scores(*json.loads(json.dumps([DATA, RESULTS])))


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "gt.json", tmp_path / "found.json"


@pytest.mark.parametrize("block", [3000, 1 << 17])
@pytest.mark.parametrize(
    "write", [pretty, more_keys, unescaped, lambda v: gzip.compress(unescaped(v), 1)]
)
def test_any_layout_gives_the_numbers_of_pycocotools(paths, reference, monkeypatch, write, block):
    monkeypatch.setattr(json_reader, "_BLOCK", block)
    for path, content in zip(paths, (DATA, RESULTS), strict=True):
        path.write_bytes(write(content))
    scores = score_files(*paths)
    assert scores["stats"] == pytest.approx(list(reference.stats.values()), abs=1e-12)
    assert list(scores["per_category_AP"].values()) == pytest.approx(
        list(reference.per_category.values()), abs=1e-12
    )


@pytest.fixture
def spans(monkeypatch):
    """Cuts even small files into many spans."""
    monkeypatch.setattr(coco_results, "_SPAN", 20_000)


def test_two_processes_give_the_same_numbers_bit_by_bit(paths, spans, monkeypatch):
    boxed = [{**r, "bbox": [0, 0, 50, 50.5]} for r in RESULTS]
    for results in (RESULTS, boxed):
        paths[0].write_text(json.dumps(DATA))
        paths[1].write_text(json.dumps(results))
        expected = score_files(*paths)
        with monkeypatch.context() as patch:
            patch.delattr(coco_results, "_read_all")  # in order, in one process
            assert score_files(*paths, processes=2) == expected


def test_a_fault_in_a_later_part_is_named_by_its_number(paths, spans):
    results = json.loads(json.dumps(RESULTS))
    number = len(results) - 3
    results[number]["keypoints"] = [1.5] * 51
    paths[0].write_text(json.dumps(DATA))
    paths[1].write_text(json.dumps(results))
    with pytest.raises(ValueError, match=rf"found.json: result {number}: keypoints has 51 numbers"):
        score_files(*paths, processes=2)


def test_results_come_through_a_pipe_too(paths, spans, reference):
    paths[0].write_text(json.dumps(DATA))
    os.mkfifo(paths[1])
    writer = threading.Thread(target=paths[1].write_text, args=(json.dumps(RESULTS),))
    writer.start()
    scores = score_files(*paths, processes=2)
    writer.join()
    assert scores["stats"] == pytest.approx(list(reference.stats.values()), abs=1e-12)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_breaks_off_is_refused_as_a_whole(paths, spans, processes):
    results = json.loads(json.dumps(RESULTS))
    results[2]["score"] = float("nan")
    paths[0].write_text(json.dumps(DATA))
    paths[1].write_bytes(json.dumps(results).encode()[:-20])
    with pytest.raises(ValueError, match=r"found.json: not JSON: .*; correct the file"):
        score_files(*paths, processes=processes)


@pytest.mark.parametrize("cut", [100_000, 100])
def test_a_large_broken_file_is_refused_without_parsing_it_whole(paths, monkeypatch, cut):
    paths[0].write_text(json.dumps(DATA))
    text = json.dumps(RESULTS).encode()
    monkeypatch.setattr(coco_records, "_LARGE", 1000)
    monkeypatch.delattr(coco_records, "load_json")
    for broken in (text[:cut], text[:cut] + b"}" + text[cut:]):
        paths[1].write_bytes(broken + b"," * 1000)
        with pytest.raises(ValueError, match=r"found.json: not JSON: .* near byte \d+; correct"):
            score_files(*paths)
    packed = gzip.compress(text, 1)
    paths[1].write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ValueError, match=r"found.json: not JSON: a damaged gzip file: .*; correct the"):
        score_files(*paths)


def peak_memory():
    """The largest size of this process since the last call, in bytes."""
    status = Path("/proc/self/status").read_text()
    Path("/proc/self/clear_refs").write_text("5")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux says what is in memory")
def test_memory_does_not_grow_with_the_file(paths):
    paths[0].write_text(json.dumps(DATA))
    truth = read_annotations(paths[0])
    record = {"image_id": DATA["images"][0]["id"], "category_id": 9, "score": 0.5}
    record["keypoints"] = np.random.default_rng(0).uniform(0, 500, 882).tolist()
    paths[1].write_text(f"[{', '.join([json.dumps(record)] * 4000)}]")
    read_results(paths[1], truth)
    size = paths[1].stat().st_size
    peak_memory()
    before = peak_memory()
    assert len(read_results(paths[1], truth).score) == 4000
    grown = peak_memory() - before
    assert grown < 0.15 * size, f"{grown / 1e6:.1f} MB for a file of {size / 1e6:.1f} MB"


@pytest.mark.skipif("FASHION_OPS_LONG" not in os.environ, reason="773 MB: FASHION_OPS_LONG=1")
def test_the_numbers_of_a_large_file_equal_those_of_the_peers(tmp_path):
    command = [sys.executable, "-m", "bench.score_files", "--folder", str(tmp_path), "--sides"]
    out = subprocess.run(
        [*command, "ours", "hotcoco"], capture_output=True, text=True, check=True
    ).stdout
    memory = float(out.split("ours: ")[1].split("GB")[0].split()[-1])
    assert memory < 0.5 and "largest difference: 0.0" in out
