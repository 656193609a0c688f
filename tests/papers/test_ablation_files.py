"""Files, marks and the command: what a reader sees."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fashion_ops.catalog.reader import Catalog
from fashion_ops.taxonomy import CATEGORIES
from papers.command import app
from papers.deepmark import FIGURES, TABLES, paper
from papers.evaluation_set import identify, load_evaluation_set
from papers.table import Column, PaperColumn, Table
from papers.write import csv_frame, draw, markdown, write_table

runner = CliRunner()


def small(*, same_data: bool = False, **changes) -> Table:
    rows = pd.DataFrame(
        {"AP": [0.5, np.nan], "time, ms": [12.3456, 7.0], "remark": ["", "nothing evaluated"]},
        index=pd.Index(["first", "second"], name="variant"),
    )
    fields = {
        "name": "table9",
        "title": "A table",
        "columns": (
            Column("AP"),
            Column("time, ms", 1, "machine", zero=True),
            Column("remark", drawn=False),
        ),
        "rows": rows,
        "ours": "9 images",
        "theirs": "DeepFashion2 on a phone",
        "same_data": same_data,
        "paper": (
            PaperColumn("AP", {"first": 0.25}),
            PaperColumn("time, ms", {"first": 50.0, "second": 60.0}),
        ),
        "notes": ("A note.",),
    }
    return Table(**fields | changes)


def test_markdown_puts_the_papers_numbers_beside_ours_and_marks_them():
    text = markdown(small(), "python -m papers x --table 9")
    lines = text.splitlines()
    assert (
        "| variant | AP | paper (another data set) | time, ms | paper (another machine) | remark |"
        in lines
    )
    assert "| first | 0.500 | 0.250 | 12.3 | 50.0 |  |" in lines
    assert "| second | — | — | 7.0 | 60.0 | nothing evaluated |" in lines
    assert "**Another data set**" in text and "`python -m papers x --table 9`" in text
    assert "- A note." in lines and "![A table](table9.png)" in lines


def test_nothing_is_marked_on_the_papers_own_data():
    text = markdown(small(same_data=True), "x")
    assert "| variant | AP | paper | time, ms | paper (another machine) | remark |" in text
    assert "nother data set" not in text


def test_csv_holds_both_and_what_they_were_measured_on():
    frame = csv_frame(small())
    assert frame.columns.tolist() == [
        "AP",
        "AP_paper",
        "time, ms",
        "time, ms_paper",
        "remark",
        "ours_on",
        "paper_on",
    ]
    assert frame.loc["first", "AP_paper"] == 0.25 and np.isnan(frame.loc["second", "AP_paper"])
    assert set(frame["ours_on"]) == {"9 images"}


def test_files_are_the_same_each_time(tmp_path):
    paths = write_table(small(), tmp_path / "a" / "b", "x")
    assert [p.name for p in paths] == ["table9.md", "table9.csv", "table9.png"]
    again = write_table(small(), tmp_path / "c", "x")
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_an_image_needs_no_numbers(tmp_path):
    empty = small(paper=()).rows.assign(AP=np.nan)
    draw(small(paper=(), rows=empty), tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_a_papers_row_must_be_ours():
    with pytest.raises(ValueError, match="AP: third"):
        small(paper=(PaperColumn("AP", {"third": 0.1}),))


def test_papers_numbers():
    """Spot checks against the printed tables, and that the parts fit each other."""
    assert paper.TABLE_2["combined"] == (0.445, 0.652, 56.76)
    assert paper.TABLE_4["+ PoseFix"] == (0.583, 0.591)
    assert paper.TABLE_5["occlusion: heavy"] == (0.209, 0.132, 0.285)
    assert paper.TABLE_5["overall"][1:] == paper.TABLE_2["combined"][:2]
    assert paper.TABLE_1["mdla34"][1::2] == paper.TABLE_2["baseline"][:2]
    points, boxes = np.array(list(paper.TABLE_7.values())).mean(0)
    assert (round(points, 3), round(boxes, 3)) == (0.445, 0.652)
    for network, techniques, decode, total in paper.TABLE_6.values():
        assert network + techniques + decode == pytest.approx(total, abs=0.0015)


def test_the_wardrobe_is_another_data_set(config_of, ws):
    evaluated = load_evaluation_set(config_of())
    assert not evaluated.is_papers_data
    # Garments were taken out of the catalog by hand, so the manifest no longer vouches for it.
    assert evaluated.name.startswith("a data set of your own, 24 validation images")
    manifest = json.loads((ws.raw / "wardrobe.json").read_text())
    counts = evaluated.catalog.garments["split"].value_counts()
    for split in manifest["splits"]:
        manifest["splits"][split]["garments"] = int(counts[split])
    other = ws.root / "other"
    other.mkdir(exist_ok=True)
    (other / "wardrobe.json").write_text(json.dumps(manifest))
    assert identify(evaluated.catalog, other) == "synthetic wardrobe"


def test_a_drawn_part_says_so(config_of):
    one, other = load_evaluation_set(config_of(images=5)), load_evaluation_set(config_of(images=5))
    assert "5 of 24 validation images" in one.name
    assert one.images["image_id"].tolist() == other.images["image_id"].tolist()
    assert set(one.garments["image_id"]) <= set(one.images["image_id"])


class Counted(Catalog):
    """A catalog with so many garments of each split and category."""

    def __init__(self, counts):
        rows = [(split, c) for (split, c), n in counts.items() for _ in range(n)]
        self.garments = pd.DataFrame(rows, columns=["split", "category_id"])


def test_deepfashion2_is_known_by_its_counts(tmp_path):
    released = {("train", c.id): c.train_count for c in CATEGORIES}
    released |= {("validation", c.id): c.validation_count for c in CATEGORIES}
    fewer = {key: n // 10 for key, n in released.items()}
    assert identify(Counted(released), tmp_path) == "DeepFashion2"
    assert identify(Counted(fewer), tmp_path) == "a data set of your own"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}\n")
    return tmp_path


def ablate(*arguments):
    return runner.invoke(app, ["deepmark", *arguments])


def test_unknown_tables_list_the_known(here):
    for arguments in (["--table", "3"], [], ["--table", "2", "--figure", "4"]):
        done = ablate(*arguments)
        assert done.exit_code == 2
        assert all(name in done.output for name in (*TABLES, *FIGURES))


def test_no_catalog_and_no_detector_say_what_makes_them(here, ws):
    done = ablate("--table", "5")
    assert done.exit_code == 2 and "train_detector" in done.output
    (here / "models").symlink_to(ws.detector.parent)
    done = ablate("--table", "5")
    assert done.exit_code == 2 and "fashion-ops ingest" in done.output


def test_the_command_writes_and_prints_a_table(here, ws):
    (here / "models").symlink_to(ws.detector.parent)
    (here / "data").symlink_to(ws.catalog.parent)
    done = ablate("--table", "7", "--images", "6", "--out", "docs/x")
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (here / "docs" / "x").iterdir()) == [
        "table7.csv",
        "table7.md",
        "table7.png",
    ]
    text = (here / "docs" / "x" / "table7.md").read_text()
    assert "`python -m papers deepmark --table 7 --images 6`" in text
    assert text in done.output
