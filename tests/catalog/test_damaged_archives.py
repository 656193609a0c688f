"""Archives that are damaged, cut, glued together or packed by a Mac: all of it comes in, or an error.

With FASHION_OPS_LONG=1 one byte is flipped in 200 archives of each kind, else in a few.
"""

import hashlib
import io
import os
import random
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from raw_data import Data, item, jpeg

from fashion_ops.catalog.ingest import DataSet, ingest
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.sources.archive import content_root, unpack

FLIPS = 200 if "FASHION_OPS_LONG" in os.environ else 6
KINDS = ("zip", "tar", "tar.gz", "tar.xz", "tar.bz2")
IMAGES = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one data set of 48 files, one or two garments an image, as each kind of archive."""
    root = tmp_path_factory.mktemp("archives")
    data = Data(root)
    for i in range(IMAGES):
        data.add(f"{i:06d}", *[item("vest"), item()][: 1 + i % 2], data=jpeg(seed=i))
    for kind, name in zip(KINDS, ("zip", "tar", "gztar", "xztar", "bztar"), strict=True):
        made = shutil.make_archive(str(root / "packed"), name, data.root.parent, "raw")
        Path(made).rename(root / f"set.{kind}")
    return root


def read(archive: Path, folder: Path) -> tuple[int, int, str]:
    """Garments and quarantined records of an archive, and a hash of all that came in."""
    unpacked, catalog = folder / "unpacked", folder / "catalog"
    for path in (unpacked, catalog):
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
    refused = unpack(archive, unpacked)
    data_set = DataSet("deepfashion2", content_root(unpacked), None)
    totals = ingest([data_set], catalog, shard_mb=64, workers=1, known_refusals=refused)
    garments = Catalog(catalog).garments.to_json()
    digest = hashlib.sha256((garments + str(Catalog(catalog).images["sha256"].tolist())).encode())
    return totals.garments.total(), totals.quarantined.total(), digest.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_byte_loses_nothing_in_silence(made, tmp_path, kind):
    data = (made / f"set.{kind}").read_bytes()
    garments, quarantined, digest = read(made / f"set.{kind}", tmp_path)
    assert (garments, quarantined) == (IMAGES * 3 // 2, 0)
    archive, seen = tmp_path / f"set.{kind}", Counter()
    for seed in range(FLIPS):
        draw = random.Random(seed)
        at, change = draw.randrange(len(data)), draw.randrange(1, 256)
        archive.write_bytes(data[:at] + bytes([data[at] ^ change]) + data[at + 1 :])
        flip = f"{kind}, seed {seed}: byte {at} xor {change}"
        try:
            now = read(archive, tmp_path)
        except ValueError as error:
            assert str(error).startswith(f"{archive}: cannot be unpacked") or kind == "tar", flip
            assert "\n" not in str(error), flip
            seen["refused"] += 1
            continue
        if now == (garments, 0, digest):
            seen["equal"] += 1
        elif now[1]:
            seen["quarantined"] += 1
            assert now[0] + 2 * now[1] >= garments, (
                flip
            )  # a file whose labels can't be read counts as 1
        else:
            seen["changed"] += 1
            assert now[0] == garments and kind == "tar", flip  # a tar has no checksum of contents
    print(kind, dict(seen))
    assert seen["refused"]


def attempt(archive: Path, content: bytes, folder: Path) -> str:
    """The error of an archive with this content."""
    archive.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be unpacked") as caught:
        read(archive, folder)
    assert str(caught.value).startswith(str(archive))
    return str(caught.value)


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_damaged_header_is_not_the_end(made, tmp_path, kind):
    with tarfile.open(made / "set.tar") as tarred:
        offset = tarred.getmembers()[30].offset
    content = bytearray((made / "set.tar").read_bytes())
    content[offset + 1] ^= 1
    target = tmp_path / f"set.{kind}"
    if kind == "tar.gz":
        import gzip

        content = bytearray(gzip.compress(bytes(content)))
    assert "no header and no end mark where one must be" in attempt(target, bytes(content), tmp_path)


def test_what_follows_the_end_or_precedes_the_start_is_not_passed_over(made, tmp_path):
    for kind in ("tar", "tar.gz", "tar.xz", "tar.bz2"):
        twice = (made / f"set.{kind}").read_bytes() * 2
        assert "data behind its end mark" in attempt(tmp_path / f"set.{kind}", twice, tmp_path)
    twice = (made / "set.zip").read_bytes() * 2
    assert "belong to no file of its directory" in attempt(tmp_path / "set.zip", twice, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_may_end_nowhere_but_at_its_end(made, tmp_path, kind):
    whole = (made / f"set.{kind}").read_bytes()
    with tarfile.open(made / "set.tar") as tarred:
        between_members = tarred.getmembers()[30].offset
    end = between_members if kind == "tar" else len(whole) - 9
    attempt(tmp_path / f"set.{kind}", whole[:end], tmp_path)
    attempt(tmp_path / f"set.{kind}", b"", tmp_path)


def test_several_compressed_streams_are_one_archive(made, tmp_path):
    import bz2
    import lzma

    whole = (made / "set.tar").read_bytes()
    parts = whole[: len(whole) // 2], whole[len(whole) // 2 :]
    expected = read(made / "set.tar", tmp_path)
    for kind, compress, padding in (
        ("tar.bz2", bz2.compress, b""),
        ("tar.xz", lzma.compress, bytes(8)),
    ):
        first, second = map(compress, parts)
        archive = tmp_path / f"set.{kind}"
        archive.write_bytes(first + padding + second)
        assert read(archive, tmp_path) == expected
        damaged = bytes([second[0] ^ 1]) + second[1:]
        assert "in its member" in attempt(archive, first + padding + damaged, tmp_path)


def test_a_zip_whose_directory_lost_a_file_is_refused(made, tmp_path):
    archive = tmp_path / "set.zip"
    shutil.copy(made / "set.zip", archive)
    with zipfile.ZipFile(archive, "a") as zipped:
        lost = zipped.filelist.pop(20)
        zipped.writestr("more.json", "{}")
    assert f"bytes between {zipped.filelist[19].filename} and" in attempt(
        archive, archive.read_bytes(), tmp_path
    )
    assert lost.file_size > 0


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (8, 1, "needs a password"),
        (10, 77, "compression method is not supported"),
        (46, ord("X"), "in directory .* differ"),
        (16, 0, "Bad CRC-32"),
    ],
)
def test_the_directory_of_a_zip_must_agree_with_its_files(made, tmp_path, at, value, why):
    content = bytearray((made / "set.zip").read_bytes())
    start = content.index(b"PK\x01\x02", content.rindex(b"raw/train/annos/000010.json") - 50)
    content[start + at] = value
    with pytest.raises(ValueError, match=why):
        attempt_raise(tmp_path / "set.zip", bytes(content), tmp_path)


def attempt_raise(archive: Path, content: bytes, folder: Path) -> None:
    archive.write_bytes(content)
    read(archive, folder)


def test_files_of_macos_and_windows_and_folders_around_are_passed_over(made, tmp_path):
    junk = (
        ".DS_Store",
        "__MACOSX/a/._1.jpg",
        "a/._labels.json",
        "a/train/image/Thumbs.db",
        "a/desktop.ini",
    )
    expected = read(made / "set.zip", tmp_path)
    zipped, tarred = tmp_path / "mac.zip", tmp_path / "mac.tar.gz"
    with (
        zipfile.ZipFile(made / "set.zip") as source,
        zipfile.ZipFile(zipped, "w") as target,
        tarfile.open(tarred, "w:gz") as second,
    ):
        files = {f"a/b/{n}": source.read(n) for n in source.namelist() if not n.endswith("/")}
        for name, content in (dict.fromkeys(junk, b"\x00\x05\x16\x07") | files).items():
            target.writestr(name, content)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            second.addfile(member, io.BytesIO(content))
    assert read(zipped, tmp_path) == read(tarred, tmp_path) == expected


@pytest.mark.parametrize(
    ("files", "root"),
    [
        (["a/b/train/annos/1.json", "a/b/train/image/1.jpg"], "a/b"),
        (["training/annos/1.json"], "."),
        (["test/_annotations.coco.json", "test/1.jpg"], "."),
        (["train_2024/train/annos/1.json", "train_2024/validation/annos/1.json"], "train_2024"),
        (["set/labels.json", "set/images/1.jpg"], "set"),
    ],
)
def test_folders_around_a_data_set_are_told_from_its_splits(tmp_path, files, root):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert content_root(tmp_path) == tmp_path / root


def test_the_same_files_in_a_folder_are_passed_over_too(data):
    data.add("000001", item())
    for name in ("image/._000001.jpg", "image/.DS_Store", "annos/._000001.json", "image/Thumbs.db"):
        (data.root / "train" / name).write_bytes(b"\0\5\x16\7")
    assert len(data.ingest(max_quarantined=0).garments) == 1


def test_errors_name_the_archive_and_no_folder_that_is_gone(data, tmp_path):
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("photos/1.jpg", jpeg())
    with pytest.raises(ValueError, match=r"set\.zip/photos: not DeepFashion2's layout") as caught:
        data.ingest(root=str(archive))
    assert ".unpacked" not in str(caught.value)


def test_names_that_cannot_be_used_are_refused_by_name(data, tmp_path):
    data.add("000001", item())
    archive = tmp_path / "set.tar"
    with tarfile.open(archive, "w", encoding="utf-8", errors="surrogateescape") as tarred:
        tarred.add(data.root, "set")
        for name in ("set/caf\udce9.json", f"set/{'x' * 300}.json", "set/train/annos/000001.json"):
            member = tarfile.TarInfo(name)
            member.size = 2
            tarred.addfile(member, io.BytesIO(b"{}"))
    catalog = data.ingest(root=str(archive))
    assert len(catalog.garments) == 1
    rows = list(zip(catalog.quarantine["reason"], catalog.quarantine["value"], strict=True))
    assert rows[0] == ("file name cannot be used", "set/caf\\xe9.json is not UTF-8")
    assert rows[1][0] == "file name cannot be used" and rows[1][1].startswith("set/xxx")
    assert rows[2] == ("duplicate image name", "set/train/annos/000001.json is in the archive twice")


def test_a_photo_of_a_folder_whose_name_is_not_utf8_is_quarantined(data):
    data.add("000001", item())
    data.add("caf\udce9", item(), item("vest"))
    data.add("pipe", text=False)
    os.mkfifo(data.root / "train/annos/pipe.json")  # reading it would wait for a writer
    catalog = data.ingest()
    assert len(catalog.garments) == 1
    rows = {r.file: (r.reason, r.num_records) for r in catalog.quarantine.itertuples()}
    assert rows["train/image/caf\\xe9.jpg"] == ("file name cannot be used", 2)
    assert rows["train/annos/pipe.json"] == ("not JSON", 1)


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [('"item2"', '"item1"', "item1 occurs twice"), ('"item2"', '"iteM2"', "'iteM2' is a garment")],
)
def test_a_garment_whose_key_is_damaged_is_not_passed_over(data, old, new, value):
    data.add("000001", item(), item("vest"))
    data.add("000002", item())
    path = data.root / "train/annos/000001.json"
    path.write_text(path.read_text().replace(old, new))
    assert len(data.ingest().garments) == 1
    [row] = data.catalog.quarantine.itertuples()
    assert value in row.value and row.num_records == 2
