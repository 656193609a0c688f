"""The ingest step on the released layout: what comes in is what stands in the catalog."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from raw_data import HEIGHT, WIDTH, Data, item, jpeg

from fashion_ops.catalog import ingest as driver
from fashion_ops.catalog import schemas, tables
from fashion_ops.catalog.writer import CatalogWriter

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def fill(data, count=30):
    for i in range(1, count + 1):
        data.add(f"{i:06d}", item("skirt"), item("vest", style=i), data=jpeg(seed=i))
    for i in range(1, 6):
        data.add(f"{i:06d}", item("sling dress"), split="validation")


def test_one_garment_keeps_every_value(data):
    data.add("000042", item("shorts", viewpoint=3, zoom_in=2), source="user", pair_id=11)
    catalog = data.ingest()
    image, garment = catalog.images.loc[1], catalog.garments.loc[1]
    assert (image["coco_id"], image["file_name"]) == (42, "train/image/000042.jpg")
    assert (image["width"], image["height"]) == (WIDTH, HEIGHT)
    assert (image["source"], image["pair_id"], image["split"]) == ("user", 11, "train")
    assert image["sha256"] == hashlib.sha256(jpeg()).hexdigest()
    assert garment["category_id"] == 7
    assert garment["item"] == "item1"
    np.testing.assert_array_equal(garment["box"], [10, 20, 55, 70])
    np.testing.assert_array_equal(garment["landmarks"], item("shorts")["landmarks"])
    assert garment["num_labelled"] == 10
    grades = [garment[k] for k in ("scale", "occlusion", "zoom_in", "viewpoint", "style")]
    assert grades == [2, 1, 2, 3, 1]
    assert [len(p) for p in garment["polygons"]] == [6, 8]
    np.testing.assert_array_equal(garment["polygons"][1], [12, 22, 20, 22, 20, 30, 12, 30])


def test_items_come_in_the_order_of_their_numbers(data):
    content = {
        "item10": item("vest"),
        "item2": item("skirt"),
        "item1": item("shorts"),
        "source": "shop",
    }
    data.add("000001", text=json.dumps(content))
    garments = data.ingest().garments
    assert garments["item"].tolist() == ["item1", "item2", "item10"]
    assert garments["category_id"].tolist() == [7, 9, 5]


def test_ids_run_over_splits_while_source_ids_restart(data):
    fill(data, 3)
    catalog = data.ingest()
    assert catalog.images["image_id"].tolist() == list(range(1, 9))
    assert catalog.images["coco_id"].tolist() == [1, 2, 3, 1, 2, 3, 4, 5]
    assert catalog.garments["garment_id"].tolist() == list(range(1, 12))
    assert catalog.garments["image_id"].tolist() == [1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8]
    assert data.metrics["garments_train"] == 6
    assert data.metrics["garments_validation"] == 5


def test_names_that_are_no_numbers_get_running_ids(data):
    data.add("b", item())
    data.add("a", item())
    images = data.ingest().images
    assert list(zip(images["file_name"], images["coco_id"], strict=True)) == [
        ("train/image/a.jpg", 1),
        ("train/image/b.jpg", 2),
    ]


def test_an_item_without_labelled_landmarks_is_legal(data):
    data.add("000001", item("skirt", landmarks=[0, 0, 0] * 8))
    assert data.ingest().garments["num_labelled"].tolist() == [0]


def test_unlabelled_landmarks_become_zero(data):
    data.add("000001", item("skirt", landmarks=[5, 6, 0] + [12, 22, 1] * 7))
    landmarks = data.ingest().garments.loc[1, "landmarks"]
    np.testing.assert_array_equal(landmarks[:6], [0, 0, 0, 12, 22, 1])


def test_unknown_fields_are_tolerated(data):
    data.add("000001", item("skirt", images=["stray"], colour="red"), camera={"iso": 100})
    assert len(data.ingest().garments) == 1


def test_totals_add_up_and_are_printed(data, capsys):
    fill(data, 4)
    data.add("000009", item(), item(category_id=77))
    data.ingest()
    assert data.metrics["images"] == 10
    assert data.metrics["garments"] == 14
    assert data.metrics["quarantined"] == 1
    assert "15 records = 14 garments + 1 quarantined" in capsys.readouterr().out


@pytest.mark.parametrize("copy_images", [True, False])
def test_bytes_do_not_depend_on_workers_or_the_place(tmp_path, monkeypatch, copy_images):
    monkeypatch.setattr(driver, "CHUNK_IMAGES", 7)
    monkeypatch.setattr(driver, "POOL_FROM", 10)
    results = []
    for workers in (1, 2):
        data = Data(tmp_path / f"place{workers}")
        fill(data)
        data.add("000007", item(), item(category_id=0))
        data.ingest(workers=workers, copy_images=copy_images)
        results.append(files(data.ws.catalog))
    assert results[0] == results[1]
    assert len(results[0]) == (5 if copy_images else 4)


def test_small_row_groups_hold_the_same_rows(data, monkeypatch):
    fill(data, 20)
    whole = data.ingest().garments
    monkeypatch.setattr(tables, "ROW_GROUP", 16)
    cut = data.ingest().garments
    assert pq.ParquetFile(data.ws.catalog / "garments.parquet").num_row_groups == 3
    assert whole.astype(str).equals(cut.astype(str))


def test_arrow_columns_are_those_of_the_schemas():
    for name in ("IMAGES", "GARMENTS", "QUARANTINE", "GROUPED", "PSEUDO_LABELS", "PREDICTIONS"):
        schema = getattr(schemas, name)
        assert schema.arrow.names == list(schema.rules.columns)
        schema.validate(schema.arrow.empty_table().to_pandas())  # the types agree too


def test_lost_records_are_noticed(data, monkeypatch):
    fill(data, 2)
    monkeypatch.setattr(CatalogWriter, "refuse", lambda *_: None)
    data.add("000003", item(category_id=99))
    with pytest.raises(RuntimeError, match=r"10 records came in, but 9 garments and 0"):
        data.ingest()


def test_a_folder_of_another_layout_is_named(data):
    data.root.mkdir(parents=True)
    with pytest.raises(ValueError, match="not DeepFashion2's layout"):
        data.ingest()
    with pytest.raises(ValueError, match=r"nowhere.*no such file"):
        data.ingest(root="nowhere")


def test_the_real_raw_sample(data):
    if not SAMPLES.is_dir():
        pytest.skip("../shared/samples is missing")
    for kind, name, target in (
        ("image", "example.jpg", "000001.jpg"),
        ("annos", "ann_example.json", "000001.json"),
    ):
        folder = data.root / "train" / kind
        folder.mkdir(parents=True)
        shutil.copy(SAMPLES / "deepfashion2_raw" / name, folder / target)
    catalog = data.ingest(max_quarantined=0)
    assert data.metrics["images"] == 1
    assert data.metrics["garments"] == 2
    assert catalog.garments["category_id"].tolist() == [1, 8]
    assert catalog.garments["num_labelled"].tolist() == [22, 7]
    assert catalog.image(1).shape == (624, 468, 3)
