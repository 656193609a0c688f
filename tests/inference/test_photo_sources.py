"""Where the photos of a bulk run come from: folders, globs, tables, buckets, web servers."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import ClientResponseError
from botocore.exceptions import ClientError
from bulk_photos import predict_here, table
from s3_server import s3_server
from s3fs.errors import translate_boto_error

from fashion_ops.catalog.quarantine import Reason
from fashion_ops.files import uris
from fashion_ops.inference.bulk import listing, reading
from fashion_ops.inference.bulk.results import PHOTOS
from fashion_ops.taxonomy import CATEGORIES


def names(folder: Path) -> list[str]:
    return [path.partition("/shop")[2] or path for path in table(folder)["uri"]]


@pytest.mark.parametrize("pattern", ["", "/**/*.png"])
def test_folder_and_glob_are_read_in_order(shop: Path, tmp_path: Path, pattern: str) -> None:
    predict_here(tmp_path / "out", [f"{shop}{pattern}"])
    rows = table(tmp_path / "out")
    expected = sorted(str(path) for path in shop.rglob("0*.png"))
    assert rows["uri"].to_list() == expected
    assert rows["image_id"].to_list() == [*range(1, 8)]
    first = rows["garments"][0][0]
    assert (first["category"], first["category_id"]) == ("skirt", 9)
    assert len(first["landmarks"]) == 3 * CATEGORIES[8].num_landmarks
    assert first["landmarks"][:2].tolist() == [1.0, 1.0]  # grey 1 is the first photo
    assert pq.read_schema(next((tmp_path / "out" / "photos").iterdir())).equals(PHOTOS)


def test_parquet_of_names_and_of_bytes(shop: Path, tmp_path: Path) -> None:
    photos = sorted(shop.glob("0*.png"))
    relative = [os.path.relpath(photo, tmp_path) for photo in photos]
    pq.write_table(pa.table({"sku": [1, 2, 3, 4, 5], "url": [*relative, None]}), tmp_path / "n.parquet")
    data = [photo.read_bytes() for photo in photos]
    pq.write_table(pa.table({"image": data}), tmp_path / "b.parquet", row_group_size=3)
    predict_here(tmp_path / "names", [str(tmp_path / "n.parquet")])
    predict_here(tmp_path / "bytes", [str(tmp_path / "b.parquet")])
    predict_here(tmp_path / "glob", [str(tmp_path / "b*.parquet")])
    by_name, by_bytes = table(tmp_path / "names"), table(tmp_path / "bytes")
    pd.testing.assert_frame_equal(table(tmp_path / "glob"), by_bytes)
    assert by_name["uri"].to_list()[:4] == [str(photo) for photo in photos]
    assert by_name["reason"].to_list() == ["", "", "", "", Reason.MISSING.value]
    assert "url is empty" in by_name["error"][4]
    assert by_bytes["uri"].to_list() == [f"{tmp_path / 'b.parquet'}#{row}" for row in range(4)]
    for row in range(4):
        np.testing.assert_array_equal(
            by_bytes["garments"][row][0]["landmarks"], by_name["garments"][row][0]["landmarks"]
        )


def test_a_table_without_photos_is_named_with_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"sku": [1], "price": [2.0]}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet: has no column of photos.*it has sku, price"):
        predict_here(tmp_path / "out", [str(tmp_path / "t.parquet")])
    (tmp_path / "u.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"u\.parquet: cannot be read as a Parquet table"):
        predict_here(tmp_path / "out", [str(tmp_path / "u.parquet")])


def test_objects_in_memory_and_missing_sources(shop: Path, tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    for path in sorted(shop.rglob("0*.png")):
        fs.pipe(f"/bulk/{path.relative_to(shop)}", path.read_bytes())
    predict_here(tmp_path / "out", ["memory://bulk"])
    rows = table(tmp_path / "out")
    assert rows["uri"].str.startswith("memory:///bulk/").all() and len(rows) == 7
    assert not rows["reason"].any()
    for source, error in {
        "memory://nothing": "no such file or folder",
        "nope://bulk": "nope:// is not read here",
        "zip://a::memory://b": "chains of file systems are not read",
        str(tmp_path / "nowhere"): "no such file or folder",
        str(tmp_path / "*.jpg"): "holds no photos",
    }.items():
        with pytest.raises(ValueError, match=error):
            predict_here(tmp_path / "none", [source])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket of an S3 server of this test."""
    with s3_server(monkeypatch):
        s3: Any = fsspec.filesystem("s3", skip_instance_cache=True)
        s3.makedirs("bulk", exist_ok=True)  # the store outlives the server
        uris._file_system.cache_clear()
        opened = uris._file_system
        monkeypatch.setattr(
            uris, "_file_system", lambda scheme, host: s3 if scheme == "s3" else opened(scheme, host)
        )
        yield s3


def test_a_bucket_is_listed_page_by_page_and_read(
    bucket: Any, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put(f"{shop}/", "bulk/shop/", recursive=True)
    monkeypatch.setattr(uris, "PAGE", 2)
    predict_here(tmp_path / "out", ["s3://bulk/shop"])
    rows = table(tmp_path / "out")
    expected = sorted(f"s3://bulk/shop/{p.relative_to(shop)}" for p in shop.rglob("0*.png"))
    assert rows["uri"].to_list() == expected
    assert not rows["reason"].any()
    predict_here(tmp_path / "some", ["s3://bulk/shop/sub/*1.png"])
    assert table(tmp_path / "some")["uri"].to_list() == ["s3://bulk/shop/sub/000001.png"]


def test_only_what_is_wrong_with_an_object_itself_is_a_row(
    bucket: Any, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.pipe("bulk/odd/empty.png", b"")
    bucket.pipe("bulk/odd/good.png", (shop / "000000.png").read_bytes())
    odd = [f"s3://bulk/odd/{name}.png" for name in ("empty", "good", "gone", "a::b")]
    odd += ["foo://x/1.png", "s3://no bucket/1.png"]
    pq.write_table(pa.table({"uri": odd}), tmp_path / "t.parquet")
    predict_here(tmp_path / "out", [str(tmp_path / "t.parquet")])
    rows = table(tmp_path / "out")
    missing = Reason.MISSING.value
    assert rows["reason"].to_list() == [Reason.UNDECODABLE.value, "", *[missing] * 4]
    assert "chains" in rows["error"][3] and "foo:// is not read" in rows["error"][4]
    for code in ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"):
        error = ClientError({"Error": {"Code": code, "Message": "no entry"}}, "GetObject")
        failed = translate_boto_error(error)
        assert isinstance(failed, PermissionError)
        with pytest.raises(OSError, match=r"s3://bulk/1.png: no entry; check the service"):
            reading._of_object("s3://bulk/1.png", failed)
    with pytest.raises(ValueError, match=r"dropbox:// is not read here: .*install"):
        reading.PhotoReader()([listing.Listed("dropbox://a/1.png")])
    with pytest.raises(OSError, match=r"s3://none/1.png: .*bucket does not exist"):
        reading.PhotoReader()([listing.Listed("s3://none/1.png")])


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, Reason.PERMISSION), (410, Reason.MISSING), (401, None), (429, None), (503, None)],
)
def test_a_web_server_refuses_a_photo_or_everything(status: int, reason: Reason | None) -> None:
    request: Any = SimpleNamespace(real_url="http://a/1.png")
    error = ClientResponseError(request, (), status=status, message="no")
    if reason is None:
        with pytest.raises(OSError, match=r"^http://a/1.png: "):
            reading._of_object("http://a/1.png", error)
        return
    fetched = reading._of_object("http://a/1.png", error)
    assert isinstance(fetched, reading.Refused) and fetched.reason is reason


def test_photos_of_each_host_are_read_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Host:
        def __init__(self, name: str) -> None:
            self.name = name

        def _strip_protocol(self, uri: str) -> str:
            return uri.split("/", 3)[3]

        def cat_ranges(self, paths: list[str], *_: Any, **__: Any) -> list[bytes]:
            return [f"{self.name} {path}".encode() for path in paths]

    hosts = {name: Host(name) for name in "ab"}
    monkeypatch.setattr(uris, "_file_system", lambda scheme, host: hosts[host])
    photos = [listing.Listed(f"ftp://{host}/1.jpg") for host in "aba"]
    assert reading.PhotoReader()(photos) == [b"a 1.jpg", b"b 1.jpg", b"a 1.jpg"]


def test_a_worker_without_keys_takes_the_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with keys or a role of its own keeps them; a driver without a key sends nothing."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", "mine")
    assert uris.store_keys() == {}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://s3:9000")
    keys = uris.store_keys()
    assert keys == {"AWS_ACCESS_KEY_ID": "key", "AWS_ENDPOINT_URL": "http://s3:9000"}
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://other")
    uris.adopt_keys(keys)  # it has a profile
    assert "AWS_ACCESS_KEY_ID" not in os.environ
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    uris.adopt_keys(keys)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "key"
    assert os.environ["AWS_ENDPOINT_URL"] == "http://s3:9000"
