"""Alignment sources: what the twin writes is what the catalog holds, whichever the format."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from synthetic_alignment import COUNTS, NAMES, read_in, write_alignment_data

from fashion_ops.catalog.alignment import schemas
from fashion_ops.catalog.alignment.reader import SUBSETS, AlignmentCatalog
from fashion_ops.catalog.schemas import IMAGES
from fashion_ops.taxonomy.alignment import point_set

PHOTOS = sum(COUNTS[split] for split in ("train", "val", "test"))


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return write_alignment_data(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def catalogs(twin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogs")
    totals = {name: read_in(name, twin / name, folder / name) for name in NAMES}
    return {name: (AlignmentCatalog(folder / name), totals[name]) for name in NAMES}


def test_all_formats_come_in_whole(catalogs):
    items = COUNTS["items"]
    expected = {"fld": PHOTOS, "category_attribute": PHOTOS}
    expected |= {"in_shop": 3 * items, "consumer_to_shop": 5 * items}
    for name, (catalog, totals) in catalogs.items():
        assert totals.quarantined.total() == 0 and totals.records == expected.get(
            name, COUNTS["people"]
        )
        assert len(catalog.garments) == len(catalog.images) == totals.records
        IMAGES.validate(catalog.images.reset_index(drop=True))
        schemas.GARMENTS.validate(catalog.garments.reset_index(drop=True))
        for row in catalog.images.itertuples():
            assert catalog.image(row.image_id).shape == (row.height, row.width, 3)


def test_landmarks_are_the_files_less_one(twin, catalogs):
    """The files count from 1, with FLD's codes; the catalog from 0, with COCO's."""
    lines = (twin / "fld/Anno/list_landmarks.txt").read_text().splitlines()
    boxes = (twin / "fld/Anno/list_bbox.txt").read_text().splitlines()
    garments = catalogs["fld"][0].garments
    sizes = {1: 6, 2: 4, 3: 8}
    for line, box_line, row in zip(lines[2:], boxes[2:], garments.itertuples(), strict=True):
        name, kind, variation, *rest = line.split()
        values = np.array(rest, int).reshape(-1, 3)
        found = np.reshape(row.landmarks, (-1, 3))
        assert len(values) == len(found) == sizes[int(kind)]
        assert (row.clothes_type, row.variation) == (int(kind), int(variation))
        np.testing.assert_array_equal(row.codes, values[:, 0])
        np.testing.assert_array_equal(found[:, 2], 2 - values[:, 0])
        shown = values[:, 0] < 2
        np.testing.assert_array_equal(found[shown, :2], values[shown, 1:] - 1)
        assert not found[~shown].any()
        x1, y1, x2, y2 = map(int, box_line.split()[1:])
        np.testing.assert_array_equal(row.box, [x1 - 1, y1 - 1, x2, y2])
        assert catalogs["fld"][0].images.loc[row.image_id, "file_name"] == f"Img/{name}"


def test_the_two_landmark_lists_agree_but_for_the_variation(catalogs):
    """Category & Attribute has no such column: its header says so, its README does not."""
    fld, other = (catalogs[name][0].garments for name in ("fld", "category_attribute"))
    assert set(other["variation"]) == {0} and set(fld["variation"]) <= {1, 2, 3, 4, 5}
    for a, b in zip(fld["landmarks"], other["landmarks"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_attributes_have_names_with_spaces(catalogs):
    catalog = catalogs["category_attribute"][0]
    names = catalog.attributes["name"].tolist()
    assert "short sleeve" in names and catalog.attributes["kind"].tolist()[0] == "texture"
    values = np.stack(list(catalog.garments["attributes"]))
    assert values.shape == (PHOTOS, len(names)) and set(np.unique(values)) == {-1, 0, 1}
    sleeves = [names.index(n) for n in ("sleeveless", "short sleeve", "long sleeve")]
    short = catalog.garments["category"].str.contains("Short_Sleeve")
    np.testing.assert_array_equal(values[short][:, sleeves], [[-1, 1, -1]] * int(short.sum()))
    assert (values[catalog.garments["clothes_type"] == 2][:, sleeves] == 0).all()


def test_items_and_pairs(catalogs):
    in_shop = catalogs["in_shop"][0].garments
    train = set(in_shop["item_id"][in_shop["split"] == "train"])
    assert train and not train & set(in_shop["item_id"][in_shop["split"] != "train"])
    assert set(in_shop["split"]) == {"train", "query", "gallery"} and in_shop["pose"].min() >= 1
    catalog = catalogs["consumer_to_shop"][0]
    pairs, garments = catalog.pairs, catalog.garments.set_index("image_id")
    assert len(pairs) == COUNTS["items"] * 2 * 3
    for column, source in (("consumer_image_id", "user"), ("shop_image_id", "shop")):
        own = garments.loc[pairs[column]]
        assert set(own["source"]) == {source}
        assert own["item_id"].tolist() == pairs["item_id"].tolist()
        assert own["split"].tolist() == pairs["split"].tolist()


def test_points_as_arrays(catalogs):
    catalog = catalogs["fld"][0]
    upper, every = catalog.points("train", "upper"), catalog.points("train")
    assert upper.xy.shape[1:] == (6, 2) and every.xy.shape[1:] == (8, 2)
    rows = every.clothes_type == 1
    np.testing.assert_array_equal(every.xy[rows][:, [0, 1, 2, 3, 6, 7]], upper.xy)
    assert not every.present[rows][:, 4:6].any() and not every.observed[rows][:, 4:6].any()
    np.testing.assert_array_equal(upper.state == 0, upper.visibility == 2)
    found = sum(int(every.subset(name).sum()) for name in SUBSETS)
    assert found == len(every) == COUNTS["train"]
    zoomed = every.take(every.subset("medium_zoom_in") | every.subset("large_zoom_in"))
    cut_off = (zoomed.present & ~zoomed.observed).sum(axis=1)
    assert (cut_off > 1).all()
    with pytest.raises(KeyError, match="unknown clothes type 'shoes'; known: person, upper"):
        catalog.points("train", "shoes")


def test_garments_are_seen_from_both_sides(catalogs):
    """Left is the viewer's left on a front view and stays with the garment on a back view."""
    points = catalogs["fld"][0].points(clothes_type="full")
    hems = points.xy[:, 6:8][(points.visibility[:, 6:8] == 2).all(axis=1)]
    right_way_round = (hems[:, 0, 0] < hems[:, 1, 0]).mean()
    assert 0.7 < right_way_round < 1


def test_lsp_by_whose_left(twin, tmp_path, catalogs):
    observer = catalogs["lsp"][0].points(clothes_type="person")
    read_in("lsp_person_centric", twin / "lsp", tmp_path / "person")
    person = AlignmentCatalog(tmp_path / "person").points(clothes_type="person")
    joints = loadmat(twin / "lsp/joints.mat")["joints"]
    np.testing.assert_array_equal(person.xy, joints[:2].transpose(2, 1, 0) - 1)
    lsp = point_set("lsp14")
    names = lsp.point_names
    right, left = ([names.index(f"{s}_shoulder"), names.index(f"{s}_hip")] for s in ("right", "left"))
    assert (observer.xy[:, right, 0].mean(axis=1) >= observer.xy[:, left, 0].mean(axis=1)).all()
    turned = (observer.xy != person.xy).any(axis=(1, 2))
    assert turned.any() and not turned.all()  # people who face the viewer, and backs
    np.testing.assert_array_equal(observer.xy[turned], person.xy[turned][:, lsp.mirror])
    low, high = observer.xy.min(axis=1), observer.xy.max(axis=1)
    assert (observer.box[:, :2] <= low).all() and (observer.box[:, 2:] >= high).all()


def test_the_same_twin_has_the_same_bytes(tmp_path):
    few = {"train": 4, "val": 1, "test": 1, "items": 2, "people": 2}
    once, again = (write_alignment_data(tmp_path / str(n), workers=n, **few) for n in (1, 2))

    def digests(folder: Path) -> dict[str, str]:
        return {
            str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in sorted(folder.rglob("*"))
            if p.is_file()
        }

    assert digests(again) == digests(once)


def test_an_empty_twin(tmp_path):
    write_alignment_data(tmp_path / "raw", train=0, val=0, test=0, items=0, people=0)
    for name in NAMES:
        assert read_in(name, tmp_path / "raw" / name, tmp_path / name).records == 0


def test_ids_have_gaps(twin):
    names = re.findall(r"img_(\d{8})", (twin / "fld/Anno/list_bbox.txt").read_text())
    assert len(names) == len(set(names)) == PHOTOS
