"""Folders and images as labelling tools write them: read, or named in a line that says why."""

import json
import os

import pytest
from PIL import Image
from raw_data import HEIGHT, WIDTH, item, jpeg
from test_ingest_coco import annotation, image, write
from test_labels_of_tools import adds_up, values

from fashion_ops.catalog.sources.base import split_of
from fashion_ops.taxonomy import CATEGORIES, category

# Layouts


def lay(data, labels, folder, name="{0:06d}.jpg", **more):
    """One image and its label in the file ``labels``, which calls the image in ``folder`` ``name``."""
    target = data.root / labels
    target.parent.mkdir(parents=True, exist_ok=True)
    (data.root / folder).mkdir(parents=True, exist_ok=True)
    (data.root / folder / "000000.jpg").write_bytes(jpeg())
    content = {"images": [image(0, name.format(0))], "annotations": [annotation(0, 0)]} | more
    target.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("labels", "folder", "name", "split"),
    [
        ("annotations/instances_default.json", "images", "{0:06d}.jpg", "train"),  # CVAT
        ("annotations/person_keypoints_default.json", "images", "{0:06d}.jpg", "train"),
        ("annotations/instances_train.json", "images/train", "{0:06d}.jpg", "train"),
        ("annotations/instances_val2017.json", "val2017", "{0:06d}.jpg", "validation"),  # COCO
        ("train/_annotations.coco.json", "train", "{0:06d}.jpg", "train"),  # Roboflow
        ("valid/_annotations.coco.json", "valid", "{0:06d}.jpg", "validation"),
        ("result.json", "images", "images/{0:06d}.jpg", "train"),  # Label Studio
        ("result.json", "images", "images\\{0:06d}.jpg", "train"),
        ("labels.json", "data", "{0:06d}.jpg", "train"),  # FiftyOne
        ("annotations.json", "JPEGImages", "JPEGImages/{0:06d}.jpg", "train"),  # labelme
        ("dataset.json", ".", "{0:06d}.jpg", "train"),  # labelme2coco, COCO Annotator
        ("val.json", "val", "{0:06d}.jpg", "validation"),
        ("dev.json", "images", "./{0:06d}.jpg", "validation"),
        ("testing.json", "testing/image", "{0:06d}.jpg", "test"),
        ("annotations/deepfashion2_train.json", "train/image", "{0:06d}.jpg", "train"),  # MMPose
        ("labels/train.JSON", "train/images", "{0:06d}.jpg", "train"),
    ],
)
def test_layouts_of_labelling_tools_are_found(data, labels, folder, name, split):
    lay(data, labels, folder, name)
    catalog = data.ingest(source="coco", max_quarantined=0)
    assert catalog.images["split"].tolist() == [split]
    assert catalog.image(1).shape == (HEIGHT, WIDTH, 3)
    assert catalog.images["coco_id"].tolist() == [0] and catalog.garments["item"].tolist() == ["0"]


def test_splits_of_one_export_come_together(data):
    for split in ("train", "valid", "test"):
        lay(data, f"{split}/_annotations.coco.json", split)
    catalog = data.ingest(source="coco", max_quarantined=0)
    assert catalog.images["split"].tolist() == ["train", "validation", "test"]
    assert catalog.images["file_name"].tolist()[1] == "valid/000000.jpg"


@pytest.mark.parametrize(
    "name", ["/data/{0:06d}.jpg", "C:\\images\\{0:06d}.jpg", "../images/{0:06d}.jpg"]
)
def test_paths_that_lead_elsewhere_are_refused_with_what_is_expected(data, name):
    lay(data, "result.json", "images", name)
    data.ingest(source="coco")
    (value,) = values(data, "path leads outside the data set")
    assert value.endswith("expected a path below the images' folder")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            ("val.json", "validation.json"),
            "val.json and validation.json are both of the split validation",
        ),
        (
            ("first.json", "train.json"),
            "first.json is one of 2 label files and its name tells no split; rename",
        ),
        (("annotations/a_train.json", "train.json"), "are both of the split train; keep one"),
    ],
)
def test_label_files_whose_split_is_not_clear_are_named(data, files, message):
    for name in files:
        lay(data, name, "images")
    with pytest.raises(ValueError, match=message) as caught:
        data.ingest(source="coco")
    assert len(str(caught.value).splitlines()) == 1


def test_labels_of_one_file_per_image_are_named(data):
    lay(data, "images/000000.json", "images")
    for number in range(30):
        (data.root / "images" / f"{number:06d}.json").write_text('{"shapes": []}')
    with pytest.raises(
        ValueError, match=r"holds 30 \.json files, such as 000000\.json; expected one COCO file"
    ):
        data.ingest(source="coco")


def test_a_json_that_is_no_label_file_and_a_split_without_labels_are_said(data, capsys):
    lay(data, "train.json", "train")
    (data.root / "info.json").write_text('{"year": 2024}')
    (data.root / "val").mkdir()
    (data.root / "val" / "1.jpg").write_bytes(jpeg())
    (data.root / "notes").mkdir()
    data.ingest(source="coco", max_quarantined=0)
    assert data.refusals == [("info.json", "", "not used"), ("val", "", "not used")]
    printed = capsys.readouterr().out
    assert "ingest: not used: info.json: no COCO file" in printed
    assert "ingest: not used: val: no label file tells the split validation; name one" in printed
    assert data.metrics["quarantined"] == 0


@pytest.mark.parametrize(
    ("folder", "split"),
    [("val", "validation"), ("valid", "validation"), ("Training", "train"), ("testing", "test")],
)
def test_deepfashion2s_splits_may_have_other_names(data, folder, split):
    data.add("000001", item(), split=folder)
    catalog = data.ingest(max_quarantined=0)
    assert catalog.images["split"].tolist() == [split]
    assert catalog.images["file_name"].tolist() == [f"{folder}/image/000001.jpg"]


def test_deepfashion2s_folders_that_are_not_clear_or_not_used_are_said(data, capsys):
    data.add("000001", item())
    (data.root / "test" / "image").mkdir(parents=True)
    (data.root / "train.json").write_text('{"images": [], "annotations": []}')
    (data.root / "wardrobe.json").write_text('{"seed": 1}')  # of ``synthesize``; no labels
    data.ingest(max_quarantined=0)
    assert data.refusals == [("test", "", "not used"), ("train.json", "", "not used")]
    assert "not used: test: expected test/image and test/annos" in capsys.readouterr().out
    data.add("000001", item(), split="extra")
    with pytest.raises(ValueError, match="extra: no split; rename it to train, validation or test"):
        data.ingest()
    (data.root / "extra").rename(data.root / "training")
    with pytest.raises(ValueError, match="train and training are both of the split train"):
        data.ingest()


def test_deepfashion2s_image_folder_of_another_name_is_said(data):
    data.add("000001", item())
    (data.root / "train" / "image").rename(data.root / "train" / "images")
    with pytest.raises(ValueError, match="train/images: rename it to image"):
        data.ingest()


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("instances_val2017", "validation"),
        ("deepfashion2_train", "train"),
        ("DEV", "validation"),
        ("minitrain2", None),
        ("train-val", None),
        ("pants", None),
    ],
)
def test_a_word_of_a_name_tells_the_split(name, split):
    assert split_of(name) == split


# Images


def encoded(tmp_path, suffix, kind, **options):
    path = tmp_path / f"x{suffix}"
    Image.effect_noise((WIDTH, HEIGHT), 60).convert("RGB").save(path, kind, **options)
    return path.read_bytes()


@pytest.mark.parametrize("copy_images", [True, False])
@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        *((".jfif", "JPEG"), (".JPG", "JPEG"), (".tif", "TIFF"), (".TIFF", "TIFF"), (".avif", "AVIF")),
        *((".webp", "WEBP"), (".BMP", "BMP"), (".heic", "JPEG")),  # as phones rename them
    ],
)
def test_images_are_read_by_their_content_whatever_the_suffix(
    data, tmp_path, suffix, kind, copy_images
):
    data.add(f"000001{suffix}", item(), data=encoded(tmp_path, suffix, kind))
    catalog = data.ingest(max_quarantined=0, copy_images=copy_images)
    assert catalog.images["file_name"].tolist() == [f"train/image/000001{suffix}"]
    assert catalog.image(1).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".jxl"])
@pytest.mark.parametrize("source", ["coco", "deepfashion2"])
def test_a_suffix_that_is_not_read_is_said_and_counted(data, suffix, source):
    content = b"\0\0\0\x18ftypheic" + bytes(200)
    if source == "coco":
        write(
            data,
            [image(1, f"1{suffix}"), image(2)],
            [annotation(1, 1), annotation(2, 1), annotation(3, 2)],
        )
        (data.root / "image" / f"1{suffix}").write_bytes(content)
    else:
        data.add(f"000001{suffix}", item(), item("vest"), data=content)
        data.add("000002", item())
    data.ingest(source=source)
    assert [reason for _, _, reason in data.refusals] == ["this suffix is not read"]
    assert values(data, "this suffix is not read") == [f"{suffix}; convert it to .jpg or .png"]
    assert data.metrics["quarantined"] == 2 and adds_up(data)


def test_a_photo_beside_the_one_that_is_read_costs_no_garment(data):
    data.add("000001", item())
    (data.root / "train" / "image" / "000001.heic").write_bytes(bytes(99))
    assert data.ingest().images["file_name"].tolist() == ["train/image/000001.jpg"]
    assert data.refusals == [("train/image/000001.heic", "", "duplicate image name")]


@pytest.mark.parametrize(("orientation", "is_said"), [(6, True), (8, True), (1, False), (3, False)])
def test_exif_that_turns_the_image_is_said_where_the_sides_are_swapped(
    data, tmp_path, orientation, is_said
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    write(data, [image(1, width=HEIGHT, height=WIDTH), image(2)], [annotation(1, 1), annotation(2, 2)])
    path = data.root / "image" / "000001.jpg"
    path.write_bytes(encoded(tmp_path, ".jpg", "JPEG", exif=exif))
    data.ingest(source="coco")
    (value,) = values(data, "size disagrees with labels")
    assert value.startswith("image 60x80, labels say (80, 60)")
    assert (f"EXIF orientation {orientation} turns it; save the photo turned" in value) == is_said


def test_a_side_that_the_labels_do_not_give_is_not_compared(data):
    rows = [image(1, width=None, height=None), image(2, height=None), image(3, width=61.0, height=None)]
    write(data, rows, [annotation(i, i) for i in (1, 2, 3)])
    assert data.ingest(source="coco").images["coco_id"].tolist() == [1, 2]


def test_transparent_tiffs_become_white_as_pngs_do(data, tmp_path):
    path = tmp_path / "x.tif"
    Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0)).save(path)
    data.add("000001.tif", item(), data=path.read_bytes())
    assert (data.ingest(max_quarantined=0).image(1) == 255).all()


def test_all_categories_by_their_official_names_and_ids(data):
    kinds = [c.name for c in CATEGORIES]
    write(data, [image(i) for i in range(13)], [annotation(i, i, name) for i, name in enumerate(kinds)])
    garments = data.ingest(source="coco", max_quarantined=0).garments
    assert garments["category_id"].tolist() == [category(name).id for name in kinds]


def test_a_file_name_that_is_no_utf_8_is_refused_and_holds_up_no_other(data):
    data.add("000001", item())
    for folder, suffix in (("image", b".jpg"), ("annos", b".json")):
        path = os.fsencode(data.root / "train" / folder)
        known = data.root / "train" / folder / f"000001{suffix.decode()}"
        os.link(known, path + b"/caf\xe9" + suffix)
    data.ingest()
    assert data.refusals == [("train/image/caf\\xe9.jpg", "", "file name cannot be used")]
    assert values(data, "file name cannot be used") == [
        "train/image/caf\\xe9.jpg is not UTF-8; rename it"
    ]


def test_a_lone_surrogate_in_a_coco_file_is_refused_or_written_as_an_escape(data):
    write(data, [image(1, "\ud800.jpg"), image(2)], [annotation(1, 1), annotation("\udc00", 2)])
    assert data.ingest(source="coco").garments["item"].tolist() == ["\\udc00"]
    assert data.refusals == [("annotations.json", "image 1", "file name cannot be used")]
