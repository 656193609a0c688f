"""``ingest.root`` behind a URI: the same catalog as from this machine, and what the objects were."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pandas as pd
import pytest
from raw_data import item
from test_quarantine import pack

from fashion_ops.catalog.sources import remote


@pytest.fixture
def store() -> Any:
    """An object store in memory, empty."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    return fs


def upload(store: Any, folder: Path, name: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.pipe(f"/{name}/{path.relative_to(folder)}", path.read_bytes())


def test_a_folder_and_an_archive_behind_a_uri_are_the_folder_here(data, store) -> None:
    for name, labels in (("000001", item("vest")), ("000002", item("skirt"))):
        data.add(name, labels)
    local = data.ingest(root=str(data.root.absolute()))
    images, garments = local.images, local.garments
    pixels = local.image(2)
    upload(store, data.root, "shop")
    archive = pack(data, "zip", ())
    store.pipe("/packed/shop.zip", archive.read_bytes())
    records = {}
    for uri in ("memory://shop", "memory://packed/shop.zip"):
        catalog = data.ingest(root=uri)
        pd.testing.assert_frame_equal(catalog.images, images)
        pd.testing.assert_frame_equal(catalog.garments, garments)
        assert (catalog.image(2) == pixels).all()
        records[uri] = json.loads((data.ws.catalog / "source.json").read_text())
    assert records["memory://shop"]["objects"] == len([p for p in data.root.rglob("*") if p.is_file()])
    assert records["memory://packed/shop.zip"]["bytes"] == archive.stat().st_size
    left = [p.name for p in data.ws.catalog.parent.iterdir() if p.name.startswith(".unpacked")]
    assert not left


def test_another_version_of_an_object_is_another_source(data, store) -> None:
    data.add("000001", item("vest"))
    upload(store, data.root, "shop")
    data.ingest(root="memory://shop")
    before = json.loads((data.ws.catalog / "source.json").read_text())
    label = next(path for path in store.find("/shop") if path.endswith(".json"))
    store.pipe(label, store.cat(label) + b"\n")
    data.ingest(root="memory://shop")
    after = json.loads((data.ws.catalog / "source.json").read_text())
    assert after["version"] != before["version"]


def test_what_is_wrong_with_a_uri_is_one_line(data, store) -> None:
    with pytest.raises(
        ValueError, match=r"memory://nothing: no such object or folder \(ingest\.root\)"
    ):
        data.ingest(root="memory://nothing")
    with pytest.raises(
        ValueError, match=r"memory://x: a URI can only be ingested with copy_images: true"
    ):
        data.ingest(root="memory://x", copy_images=False)
    store.pipe("/packed/shop.zip", os.urandom(300))
    with pytest.raises(ValueError, match=r"^memory://packed/shop\.zip: cannot be unpacked"):
        data.ingest(root="memory://packed/shop.zip")


def test_a_data_set_may_take_all_of_the_free_disk_space(store, tmp_path, monkeypatch) -> None:
    """Fetched objects take of it, and are not counted twice."""

    def usage(folder: Path) -> Any:
        return SimpleNamespace(free=1000 - sum(p.stat().st_size for p in folder.glob("*")))

    monkeypatch.setattr(remote, "_TOGETHER", 1)
    monkeypatch.setattr(remote.shutil, "disk_usage", usage)
    for number in range(4):
        store.pipe(f"/shop/{number}.jpg", bytes(250))
    (tmp_path / "fits").mkdir()
    assert remote.fetch("memory://shop", tmp_path / "fits")[1]["bytes"] == 1000
    store.pipe("/shop/more.jpg", bytes(1))
    (tmp_path / "full").mkdir()
    with pytest.raises(ValueError, match="memory://shop: is larger than the free disk space"):
        remote.fetch("memory://shop", tmp_path / "full")
