"""Bad input: every invalid record of alignment data is named with file, line, reason and value."""

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from synthetic_alignment import read_in, write_alignment_data

from fashion_ops.catalog.alignment.reader import AlignmentCatalog

LANDMARKS, BOXES = "Anno/list_landmarks.txt", "Anno/list_bbox.txt"
STATUS = "Eval/list_eval_partition.txt"


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    write_alignment_data(folder, train=8, val=2, test=2, items=3, people=2)
    return folder


class Case:
    """A copy of the twin that a test breaks and reads in."""

    def __init__(self, clean, folder, source="fld"):
        self.source, self.root, self.catalog = source, folder / source, folder / "catalog"
        shutil.copytree(clean / source, self.root)

    def lines(self, file):
        return (self.root / file).read_text().splitlines()

    def rewrite(self, file, change):
        lines = self.lines(file)
        change(lines)
        (self.root / file).write_text("\n".join(lines) + "\n")

    def fields(self, file, line, change):
        """Change the fields of one line (1-based)."""

        def apply(lines):
            fields = lines[line - 1].split()
            change(fields)
            lines[line - 1] = "  ".join(fields)

        self.rewrite(file, apply)

    def read(self):
        totals = read_in(self.source, self.root, self.catalog)
        table = AlignmentCatalog(self.catalog).quarantine
        garments = pd.read_parquet(self.catalog / "garments.parquet")
        assert totals.records == len(garments) + table["num_records"].sum()
        return totals, table


@pytest.fixture
def case(clean, tmp_path):
    return Case(clean, tmp_path)


def put(index, *values):
    def change(fields):
        fields[index : index + len(values)] = values

    return change


def drop_last(fields):
    del fields[-1]


SINGLE = {
    "too few tokens": (LANDMARKS, drop_last, "wrong number of tokens"),
    "too many tokens": (LANDMARKS, lambda f: f.append("7"), "wrong number of tokens"),
    "nothing but a name": (
        LANDMARKS,
        lambda f: f.__delitem__(slice(1, None)),
        "wrong number of tokens",
    ),
    "not a number": (LANDMARKS, put(4, "x17"), "not an integer"),
    "clothes type": (LANDMARKS, put(1, "4"), "unknown clothes type"),
    "variation": (LANDMARKS, put(2, "9"), "unknown variation type"),
    "visibility": (LANDMARKS, put(3, "3"), "unknown visibility code"),
    "zero but visible": (LANDMARKS, put(3, "0", "0", "0"), "(0, 0) with a visible code"),
    "far out": (LANDMARKS, put(3, "0", "5000", "12"), "landmark outside the image"),
    "swapped box": (BOXES, put(1, "50", "50", "20", "80"), "box swapped or empty"),
    "0-based box": (BOXES, put(1, "0", "4"), "box is 0-based"),
    "box outside": (BOXES, put(1, "900", "900", "950", "950"), "box outside the image"),
    "short box": (BOXES, drop_last, "wrong number of tokens"),
    "status": (STATUS, put(1, "trial"), "unknown evaluation status"),
    "path": (LANDMARKS, put(0, "../../secret.jpg"), "not in a list that must name it"),
}


@pytest.mark.parametrize("what", SINGLE)
def test_one_bad_row(case, what):
    file, change, reason = SINGLE[what]
    name = case.lines(file)[4].split()[0]
    case.fields(file, 5, change)
    _, table = case.read()
    own = table[table["reason"] == reason]
    assert len(own), table.to_string()
    row = own.iloc[0]
    if what != "path":
        assert len(table) == 1 and row["num_records"] == 1
        assert (row["file"], row["line"], row["item"]) == (file, 5, name) and row["value"]


def test_all_of_them_at_once_and_nothing_is_lost(case):
    for i, what in enumerate(list(SINGLE)[:7]):
        file, change, _ = SINGLE[what]
        case.fields(file, 3 + i, change)
    totals, table = case.read()
    assert totals.records == 12 and len(table) == 7
    assert sorted(table["line"]) == list(range(3, 10))


@pytest.mark.parametrize(("says", "lost"), [("14", 2), ("9", 0)])
def test_a_header_that_disagrees(case, says, lost):
    case.rewrite(LANDMARKS, lambda lines: lines.__setitem__(0, says))
    totals, table = case.read()
    row = table.iloc[0]
    assert (row["file"], row["line"], row["num_records"]) == (LANDMARKS, 1, lost)
    assert row["reason"] == "header count disagrees with rows"
    assert row["value"] == f"line 1 says {says}, 12 rows follow" and totals.records == 12 + lost


def test_a_list_without_a_count_names_the_file(case):
    case.rewrite(BOXES, lambda lines: lines.__setitem__(0, "image_name"))
    with pytest.raises(
        ValueError, match=r"list_bbox\.txt: line 1 is 'image_name'; expected the number"
    ):
        case.read()


def test_images_that_are_not_there_or_not_whole(case):
    names = [line.split()[0] for line in case.lines(LANDMARKS)[2:5]]
    paths = [case.root / "Img" / name for name in names]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:-200])
    paths[2].write_bytes(b"no image")
    _, table = case.read()
    found = dict(zip(table["item"], table["reason"], strict=True))
    assert found[names[0]] == "image missing"
    assert found[names[1]] == "image truncated"
    assert found[names[2]] == "image cannot be decoded"
    assert table["line"].tolist() == [3, 4, 5] and set(table["file"]) == {LANDMARKS}


def test_names_that_one_list_lacks_or_repeats(case):
    case.rewrite(BOXES, lambda lines: lines.__delitem__(5))
    case.rewrite(BOXES, lambda lines: lines.__setitem__(0, "11"))
    case.rewrite(LANDMARKS, lambda lines: lines.append(lines[2]))
    case.rewrite(LANDMARKS, lambda lines: lines.__setitem__(0, "13"))
    case.rewrite(STATUS, lambda lines: lines.append("img/img_77777777.jpg  train"))
    case.rewrite(STATUS, lambda lines: lines.__setitem__(0, "13"))
    totals, table = case.read()
    assert totals.records == 14
    lack = table[table["value"] == BOXES].iloc[0]
    assert lack["item"] == case.lines(LANDMARKS)[5].split()[0]
    assert lack["reason"] == "not in a list that must name it"
    twice = table[table["reason"] == "duplicate image name"].iloc[0]
    assert (twice["line"], twice["value"]) == (15, "first in line 3")
    stray = table[table["item"] == "img/img_77777777.jpg"].iloc[0]
    assert (stray["file"], stray["line"], stray["value"]) == (STATUS, 15, LANDMARKS)


def test_items_and_types_of_the_retrieval_lists(clean, tmp_path):
    shop = Case(clean, tmp_path / "a", "in_shop")
    shop.fields(STATUS, 3, put(1, "id_99999999"))
    own = shop.lines("Anno/list_bbox_inshop.txt")[3].split()[1]
    shop.fields("Anno/list_bbox_inshop.txt", 4, put(1, "2" if own != "2" else "1"))
    _, table = shop.read()
    assert table["reason"].tolist() == ["unknown item", "clothes types of two lists disagree"]
    both = Case(clean, tmp_path / "b", "consumer_to_shop")
    name = both.lines(STATUS)[2].split()[0]
    (both.root / "Img" / name).unlink()
    _, table = both.read()
    assert table["num_records"].sum() == 1  # its pairs are reported, too, and no record is lost twice
    assert (table["value"] == f"a pair's image was refused: {name}").sum() == 3
    assert name not in set(AlignmentCatalog(both.catalog).images["file_name"])


def test_lsp_without_its_file(clean, tmp_path):
    lsp = Case(clean, tmp_path, "lsp")
    (lsp.root / "joints.mat").write_bytes(b"MATLAB")
    with pytest.raises(ValueError, match=r"joints\.mat: no array 'joints' can be read"):
        lsp.read()


def test_padded_integers_are_decimal(case):
    """``072`` is 72, and fields may be separated by any white space."""
    before = case.lines(LANDMARKS)[2].split()
    case.rewrite(
        LANDMARKS,
        lambda lines: lines.__setitem__(2, "\t ".join([before[0], *(f.zfill(3) for f in before[1:])])),
    )
    _, table = case.read()
    assert not len(table)
    garment = pd.read_parquet(case.catalog / "garments.parquet").iloc[0]
    assert garment["codes"].tolist() == [int(c) for c in before[3::3]]


def test_a_box_may_reach_one_pixel_beyond(case):
    image = cv2.imread(str(case.root / "Img" / case.lines(BOXES)[2].split()[0]))
    height, width = image.shape[:2]
    case.fields(BOXES, 3, put(1, "1", "1", str(width + 1), str(height)))
    _, table = case.read()
    garment = pd.read_parquet(case.catalog / "garments.parquet").iloc[0]
    np.testing.assert_array_equal(garment["box"], [0, 0, width, height])
    assert not len(table)


def test_too_many_refusals_are_named_with_file_and_line(case):
    file, change, _ = SINGLE["visibility"]
    case.fields(file, 5, change)
    totals, table = case.read()
    totals.check_quarantined(1 / 12, case.root, "ingest_alignment")
    with pytest.raises(ValueError, match="1 of 12 records are invalid") as caught:
        totals.check_quarantined(0.05, case.root, "ingest_alignment")
    message = str(caught.value)
    assert f"{case.root}: " in message and "ingest_alignment.max_quarantined allows 5.00%" in message
    place = f"{LANDMARKS}, line 5, {table['item'][0]}"
    assert f"1 x unknown visibility code; for example {place}: 3; expected 0 visible" in message


def test_a_split_that_is_lost_whole_is_named(case):
    names = [line.split()[0] for line in case.lines(STATUS) if line.endswith("val")]
    assert len(names) == 2
    for name in names:
        (case.root / "Img" / name).unlink()
    totals, _ = case.read()
    with pytest.raises(ValueError, match="nothing is left of split val"):
        totals.check_quarantined(0.5, case.root, "ingest_alignment")
    totals.check_quarantined(1, case.root, "ingest_alignment")
