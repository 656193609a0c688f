"""An input behind a URI: the ledger records its version, and another version makes the stage stale."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from s3_server import s3_server

from fashion_ops.ledger import Ledger


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_server(monkeypatch):
        fs: Any = fsspec.filesystem("s3", skip_instance_cache=True)
        fs.makedirs("versions", exist_ok=True)  # the store outlives the server
        yield fs


@pytest.mark.parametrize("root", ["s3://versions/shop.zip", "s3://versions/shop"])
def test_another_version_of_an_object_makes_ingest_stale(root: str, s3: Any, tmp_path: Path) -> None:
    s3.pipe({"versions/shop.zip": b"one", "versions/shop/a.jpg": b"a", "versions/shop/sub/b.jpg": b"b"})
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (tmp_path / "params.yaml").write_text(f"ingest:\n  root: {root}\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  ingest:\n    cmd: 'true'\n    deps: ['${ingest.root}']\n    params: [ingest]\n"
        "    outs: [catalog]\n"
    )
    ledger = Ledger(tmp_path)
    snapshot = ledger.snapshot("ingest")
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "images").write_text("one")
    entry = ledger.commit("ingest", snapshot)
    assert entry.deps == snapshot.deps and entry.deps[root] not in ("", "None")
    assert ledger.entry("ingest") == entry
    assert Ledger(tmp_path).stale() == {}
    s3.pipe({"versions/shop.zip": b"two", "versions/shop/sub/b.jpg": b"two"})
    assert list(Ledger(tmp_path).stale()) == ["ingest"]
