"""Each way in which a record can be invalid ends in quarantine, and takes nothing valid with it."""

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_data import HEIGHT, WIDTH, item, jpeg

from fashion_ops.catalog.images import MAX_PIXELS, probe_bytes, probe_file
from fashion_ops.catalog.quarantine import VALUE_LENGTH, Reason, Refused


def landmarks(*first, name="skirt"):
    return [*first, *item(name)["landmarks"][3:]]


def huge_png():
    """A few bytes that promise an image of 20000 x 20000 pixels."""
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    )


def huge_jpeg():
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", 60000, 60000) + data[at + 9 :]


@pytest.mark.parametrize(
    ("bad", "reason", "value"),
    [
        (item(category_id=14), "unknown category", "14"),
        (item(category_id="9"), "unknown category", "'9'"),
        (item(category_name="vest"), "unknown category", "id 9 is skirt, named 'vest'"),
        (item(landmarks=[1, 2, 2] * 7), "wrong landmark count", "21 numbers; expected 24"),
        (item(landmarks=[1, 2, 2] * 8 + [1]), "wrong landmark count", "25 numbers; expected 24"),
        (
            item(landmarks=landmarks(float("nan"), 5, 2)),
            "coordinate not finite",
            "landmark 1 left_waist",
        ),
        (item(landmarks=landmarks(5, float("inf"), 2)), "coordinate not finite", "[5, inf, 2]"),
        (item(landmarks=landmarks(5, 1e39, 2)), "coordinate not finite", "1e+39"),
        (item(landmarks=landmarks(5, 10**400, 2)), "coordinate not finite", "inf"),
        (item(bounding_box=[1, 2, float("inf"), 4]), "coordinate not finite", "box"),
        (item(segmentation=[[1, 2, float("nan"), 4]]), "coordinate not finite", "polygon"),
        (item(landmarks=landmarks(5, 5, 3)), "visibility outside 0..2", "[5, 5, 3]"),
        (item(landmarks=landmarks(5, 5, -1)), "visibility outside 0..2", "[5, 5, -1]"),
        (item(landmarks=landmarks(5, 5, 1.5)), "visibility outside 0..2", "[5, 5, 1.5]"),
        (item(bounding_box=[10, 20, 10, 70]), "empty or inverted box", "[10, 20, 10, 70]"),
        (item(bounding_box=[55, 20, 10, 70]), "empty or inverted box", "[55, 20, 10, 70]"),
        (item(bounding_box=[200, 20, 255, 70]), "size disagrees with labels", f"{WIDTH}x{HEIGHT}"),
        (item(landmarks=[500, 500, 2] * 8), "size disagrees with labels", "outside"),
        ("nothing", "JSON of another shape", "category None"),
        (item(landmarks=landmarks("5", 5, 2)), "JSON of another shape", "'5'"),
        (item(landmarks=landmarks(None, 5, 2)), "JSON of another shape", "None"),
        (item(landmarks=landmarks(True, 5, 2)), "JSON of another shape", "True"),
        (item(landmarks={"x": 1}), "JSON of another shape", "landmarks"),
        (item(bounding_box=[1, 2, 3]), "JSON of another shape", "four numbers"),
        (item(bounding_box=None), "JSON of another shape", "box None"),
        (item(segmentation=[[1, 2, 3]]), "JSON of another shape", "polygon"),
        (item(segmentation=7), "JSON of another shape", "polygon"),
        (item(scale=4), "JSON of another shape", "scale 4"),
        (item(style=2**70), "JSON of another shape", "style"),
    ],
)
def test_a_bad_item_leaves_the_good_ones(data, bad, reason, value):
    data.add("000001", item("vest"), bad, item("shorts"))
    data.add("000002", item("vest dress"))
    catalog = data.ingest()
    assert catalog.garments["category_id"].tolist() == [5, 7, 12]
    for name, row in zip(("vest", "shorts"), catalog.garments.itertuples(), strict=False):
        np.testing.assert_array_equal(row.landmarks, item(name)["landmarks"])
        assert [len(p) for p in row.polygons] == [6, 8]
    (refusal,) = catalog.quarantine.itertuples()
    assert (refusal.file, refusal.item) == ("train/annos/000001.json", "item2")
    assert refusal.reason == reason
    assert value in refusal.value
    assert refusal.num_records == 1


@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        (b"", "image cannot be decoded"),
        (b"no image at all", "image cannot be decoded"),
        (b"\xff\xd8\xff\xe0 broken", "image truncated"),
        (jpeg()[:-40], "image truncated"),
        (jpeg()[: len(jpeg()) // 2], "image truncated"),
        (jpeg(".png")[:-30], "image truncated"),
        (huge_png(), "image has too many pixels"),
        (huge_jpeg(), "image has too many pixels"),
    ],
)
@pytest.mark.parametrize("copy_images", [True, False])
def test_an_invalid_image_takes_its_items(data, bytes_, reason, copy_images):
    data.add("000001", item(), item("vest"), data=bytes_)
    data.add("000002", item())
    catalog = data.ingest(copy_images=copy_images)
    assert data.refusals == [("train/image/000001.jpg", "", reason)]
    assert catalog.quarantine["num_records"].tolist() == [2]
    assert catalog.images["coco_id"].tolist() == [2]
    assert len(catalog.garments) == 1


def test_labels_without_image_and_images_without_labels(data):
    data.add("000001", item(), item("vest"), data=False)
    data.add("000002", text=False)
    data.add("000003")
    data.add("000004", item())
    data.ingest()
    assert data.refusals == [
        ("train/image/000002.jpg", "", "image without labels"),
        ("train/annos/000001.json", "", "labels without image"),
    ]
    assert data.metrics["quarantined"] == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{'single': 1}", "not JSON"),
        ('{"item1": {"category_id": 1', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "JSON of another shape"),
        ("null", "JSON of another shape"),
        ('{"annotations": []}', "JSON of another shape"),
    ],
)
def test_unreadable_labels(data, text, reason):
    data.add("000001", text=text)
    data.add("000002", item())
    assert len(data.ingest().garments) == 1
    assert data.refusals == [("train/annos/000001.json", "", reason)]
    assert data.catalog.quarantine["value"].str.len().max() <= VALUE_LENGTH


def test_two_images_of_one_name(data):
    data.add("000001.jpg", item())
    data.add("000001.png", text=False, data=jpeg(".png"))
    assert data.ingest().images["file_name"].tolist() == ["train/image/000001.jpg"]
    assert data.refusals == [("train/image/000001.png", "", "duplicate image name")]


def test_the_same_name_in_both_splits_is_normal(data):
    data.add("000001", item())
    data.add("000001", item(), split="validation")
    data.ingest(max_quarantined=0)
    assert data.metrics["images"] == 2


def test_too_many_refusals_fail_and_leave_the_old_catalog(data):
    data.add("000001", item(style=77))
    data.ingest()
    data.add("000002", item(category_id=99), item(), item())
    data.add("000003", text="{")
    with pytest.raises(ValueError, match="2 of 5 records are invalid") as caught:
        data.ingest(max_quarantined=0.39)
    message = str(caught.value)
    assert "allows 39.00%" in message
    assert "1 x unknown category; for example train train/annos/000002.json item1: 99" in message
    assert "1 x not JSON; for example train train/annos/000003.json" in message
    assert data.catalog.garments["style"].tolist() == [77]
    assert [p.name for p in data.ws.catalog.parent.iterdir()] in (
        ["raw", "catalog"],
        ["catalog", "raw"],
    )
    data.ingest(max_quarantined=0.4)
    assert data.metrics["garments"] == 3


MEMBERS = ("../evil.json", "/etc/evil.json", "a/../../evil.jpg", "..\\evil.json")


def pack(data, kind, names):
    """An archive of the raw folder, inside one folder as many are, with further members ``names``."""
    target = data.root.parent / f"set.{kind}"
    whole = [
        (f"set/{p.relative_to(data.root)}", p.read_bytes()) for p in data.root.rglob("*") if p.is_file()
    ]
    whole += [(name, b"{}") for name in names]
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for name, content in whole:
                archive.writestr(name, content)
            link = zipfile.ZipInfo("set/train/image/link.jpg")
            link.external_attr = 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
        return target
    with tarfile.open(target, "w:gz") as archive:
        for name, content in whole:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for kind_, name in (
            (tarfile.SYMTYPE, "link.jpg"),
            (tarfile.LNKTYPE, "hard.jpg"),
            (tarfile.FIFOTYPE, "pipe"),
        ):
            member = tarfile.TarInfo(f"set/train/image/{name}")
            member.type, member.linkname = kind_, "/etc/passwd"
            archive.addfile(member)
    return target


@pytest.mark.parametrize(("kind", "special"), [("zip", 1), ("tar.gz", 3)])
def test_archives_are_read_and_nothing_leaves_the_scratch_folder(data, kind, special):
    data.add("000001", item("vest"))
    archive = pack(data, kind, MEMBERS)
    before = sorted(p for p in data.ws.root.rglob("*"))
    catalog = data.ingest(root=f"data/{archive.name}")
    assert catalog.garments["category_id"].tolist() == [5]
    assert catalog.image(1).shape == (HEIGHT, WIDTH, 3)
    refused = catalog.quarantine
    assert refused["reason"].tolist() == ["path leads outside the data set"] * (len(MEMBERS) + special)
    assert set(MEMBERS) <= set(refused["value"])
    created = {p for p in data.ws.root.rglob("*") if p not in before}
    assert all(data.ws.catalog in (p, *p.parents) for p in created)


def test_archives_need_copies_and_must_be_whole(data):
    data.add("000001", item())
    archive = pack(data, "zip", ())
    with pytest.raises(ValueError, match="copy_images: true"):
        data.ingest(root=f"data/{archive.name}", copy_images=False)
    os.truncate(archive, 200)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        data.ingest(root=f"data/{archive.name}")
    assert not data.ws.catalog.exists()


def encoded(kind, mode, size=(37, 23), **options):
    target = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(target, kind, **options)
    return target.getvalue()


@pytest.mark.parametrize(
    "data_",
    [
        encoded("JPEG", "RGB"),
        encoded("JPEG", "L"),
        encoded("JPEG", "RGB", progressive=True),
        encoded("JPEG", "RGB", exif=b"Exif\0\0" + bytes(30000)),
        encoded("JPEG", "RGB", icc_profile=bytes(100_000)),
        encoded("JPEG", "RGB") + b"trailing bytes",
        encoded("PNG", "RGBA"),
        encoded("PNG", "L") + b"trailing bytes",
        encoded("BMP", "RGB"),
        encoded("WEBP", "RGB"),
    ],
)
def test_the_size_read_from_the_header_is_that_of_the_decoded_image(tmp_path, data_):
    height, width = cv2.imdecode(np.frombuffer(data_, np.uint8), cv2.IMREAD_IGNORE_ORIENTATION).shape[
        :2
    ]
    assert (width, height) == (37, 23)
    path = tmp_path / "image"
    path.write_bytes(data_)
    assert probe_bytes(data_) == probe_file(path) == (width, height)


def test_every_cut_of_a_image_is_noticed():
    for whole in (
        encoded("JPEG", "RGB"),
        encoded("PNG", "RGB"),
        encoded("JPEG", "RGB", progressive=True),
    ):
        for end in range(0, len(whole), 17):
            with pytest.raises(Refused):
                probe_bytes(whole[:end])


def test_the_pixel_limit_is_checked_before_decoding(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    for data_ in (huge_png(), huge_jpeg(), huge_png()[:-12], huge_jpeg()[:-2]):
        with pytest.raises(Refused, match=str(MAX_PIXELS)):
            probe_bytes(data_)


def test_values_are_one_readable_line(data):
    data.add("000001", text=json.dumps({"item1": item(category_id="a\n" * 500)}))
    data.add("000002", item())
    (value,) = data.ingest().quarantine["value"]
    assert len(value) == VALUE_LENGTH
    assert "\n" not in value


def test_names_of_items_are_one_readable_line_too():
    """A lone surrogate, which JSON may hold, is no UTF-8 and would break the table."""
    row = Refused(Reason.SHAPE, "x").row("train", "a.json", "image \ud800\n" + 500 * "9")
    assert len(row.item) == VALUE_LENGTH and row.item.startswith("image \\ud800 9")
    row.item.encode()
