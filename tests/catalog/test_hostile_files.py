"""Files made to hurt: they end in quarantine or in an error, nothing is written beside the target."""

import io
import os
import tarfile
import zipfile

import pytest
from raw_data import item, jpeg

from fashion_ops.catalog.images import MAX_BYTES, probe_file
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.archive import unpack
from fashion_ops.inference.edge import EdgePredictor
from fashion_ops.inference.predictor import decode_photo, load_photo
from fashion_ops.methods.centernet.deploy.photo import decode_reduced


def sparse(path, length=MAX_BYTES + 1):
    """A JPEG of a few hundred bytes, followed by a hole that takes no room on the disk."""
    path.write_bytes(jpeg())
    os.truncate(path, length)
    return path


@pytest.mark.parametrize("copy_images", [True, False])
def test_too_many_bytes_are_refused_unread(data, monkeypatch, copy_images):
    data.add("000001", item(), item("vest"))
    data.add("000002", item())
    sparse(data.root / "train/image/000001.jpg")
    monkeypatch.setattr("fashion_ops.catalog.images._probe", lambda *_: pytest.fail("read"))
    with pytest.raises(Refused, match=str(MAX_BYTES)):
        probe_file(data.root / "train/image/000001.jpg")
    monkeypatch.undo()
    catalog = data.ingest(copy_images=copy_images)
    assert data.refusals == [("train/image/000001.jpg", "", "image has too many bytes")]
    assert catalog.quarantine["value"].tolist() == [f"{MAX_BYTES + 1} bytes, limit {MAX_BYTES}"]
    assert catalog.quarantine["num_records"].tolist() == [2] and len(catalog.garments) == 1


@pytest.mark.parametrize("copy_images", [True, False])
def test_a_pipe_among_the_images_is_not_waited_for(data, copy_images):
    data.add("000001", item(), data=False)
    data.add("000002", item())
    os.mkfifo(data.root / "train/image/000001.jpg")
    data.ingest(copy_images=copy_images)
    assert data.refusals == [("train/image/000001.jpg", "", "image missing")]


def test_predictors_refuse_them_by_name(tmp_path):
    large = sparse(tmp_path / "large.jpg")
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    edge = EdgePredictor(None)  # type: ignore[arg-type]  # it must not come to the network
    for read in (load_photo, edge.predict):
        with pytest.raises(ValueError, match=r"large\.jpg: image has too many bytes: 67108865 bytes"):
            read(large)
        with pytest.raises(ValueError, match=r"pipe\.jpg: cannot be read: is no regular file"):
            read(pipe)
    with pytest.raises(ValueError, match="row 3: image has too many bytes"):
        decode_photo(jpeg() + bytes(MAX_BYTES), "row 3")  # as the served model calls it
    with pytest.raises(ValueError, match="photo: image has too many bytes"):
        decode_reduced(jpeg() + bytes(MAX_BYTES), "photo", 96)


def tar(path, *members):
    with tarfile.open(path, "w") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.linkname = content
                archive.addfile(member)
    return path


def test_a_member_behind_a_link_of_the_archive_stays_inside(tmp_path):
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    archive = tar(
        tmp_path / "set.tar",
        ("train", tarfile.SYMTYPE, str(outside)),
        ("train/evil.json", tarfile.REGTYPE, b"{}"),
        ("hard", tarfile.LNKTYPE, "/etc/passwd"),
        ("hard/evil.json", tarfile.REGTYPE, b"{}"),
        ("device.jpg", tarfile.CHRTYPE, ""),
    )
    refusals = unpack(archive, target)
    assert [r.reason for r in refusals] == [Reason.OUTSIDE] * 3
    assert list(outside.iterdir()) == []
    assert (target / "train/evil.json").read_bytes() == b"{}"
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_a_member_that_grows_beyond_its_word_is_not_unpacked(tmp_path):
    """The directory of the archive promises 10 bytes; ten million are behind it."""
    archive, target = tmp_path / "set.zip", tmp_path / "target"
    target.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("bomb.json", b" " * 10_000_000)
    data, true = archive.read_bytes(), (10_000_000).to_bytes(4, "little")
    archive.write_bytes(data.replace(true, (10).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"set\.zip: cannot be unpacked"):
        unpack(archive, target)
    assert sum(p.stat().st_size for p in target.rglob("*") if p.is_file()) <= 10


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_written(tmp_path, monkeypatch):
    target = tmp_path / "target"
    target.mkdir()
    archive = tar(tmp_path / "set.tar", ("a.json", tarfile.REGTYPE, b"{" * 4096))
    monkeypatch.setattr("shutil.disk_usage", lambda _: Free())
    with pytest.raises(ValueError, match="larger than the free disk space"):
        unpack(archive, target)
    assert list(target.iterdir()) == []


class Free:
    free = 4095
