"""The report: every number in it, one file, the same bytes each time."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fashion_ops.evaluation.clusters import errors_by_cluster
from fashion_ops.evaluation.keypoint_accuracy import MEAN, keypoint_accuracy
from fashion_ops.evaluation.tables import evaluate_tables
from fashion_ops.reports.charts import curve, dot_plot
from fashion_ops.reports.report import ReportContent, Tuning, write_report
from fashion_ops.taxonomy import CATEGORIES


@pytest.fixture(scope="module")
def evaluation(images, garments, predictions):
    exact = garments[["image_id", "garment_id", "category_id", "box", "landmarks"]]
    exact = exact.assign(score=np.float32(1))
    tables = {
        "mean_shape": predictions.assign(
            landmarks=[v + np.float32(5) for v in predictions["landmarks"]]
        ),
        "universal": predictions,
        "finetuned": exact,
    }
    return evaluate_tables(
        images,
        garments,
        tables,
        {"universal": predictions},
        detector=predictions,
        train_garments=garments,
    )


@pytest.fixture
def page(tmp_path, evaluation, garments, predictions) -> str:
    labels = garments[["garment_id"]].assign(cluster=np.int16(4))
    path = write_report(
        tmp_path,
        evaluation,
        ReportContent(
            dataset="shop & <street>, validation",
            num_images=25,
            accuracy=keypoint_accuracy(garments, predictions),
            clusters=errors_by_cluster(garments, predictions, labels),
            tuning=Tuning(
                [("gamma of it", 0.75, 0.35), ("alpha of it", 0.8, None)],
                {"without": 0.21, "tuned": 0.25},
                1285,
                [("the grid", b"picture bytes")],
            ),
            images=[("a skirt", np.zeros((60, 1500, 3), np.uint8))],
            curves={"train_detector": [2.0, 1.0, 0.5]},
            params={"aggregate": {"grouping": "agg81"}},
        ),
    )
    assert path == tmp_path / "report.html"
    return path.read_text(encoding="utf-8")


class Rows(HTMLParser):
    """The cells of all table rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.open = tag in ("td", "th") or (self.open and tag in ("span", "i", "div"))
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.open and self.rows:
            self.rows[-1][-1] += data.strip()


def rows(page: str) -> dict[str, list[str]]:
    parser = Rows()
    parser.feed(page)
    return {row[0]: row[1:] for row in reversed(parser.rows) if row}


def test_tables_hold_the_numbers(page, evaluation):
    table = rows(page)
    stats = evaluation.truth_boxes["universal"].stats
    own_ap = evaluation.own_boxes["universal"].stats["AP"]
    values = [stats["AP"], stats["AP50"], stats["AP75"], stats["AR"], own_ap]
    assert table["universal"] == [f"{v:.3f}" for v in values]
    assert table["finetuned"][-1] == "–"
    skirt = evaluation.per_category.loc["skirt"]
    count = str(int(skirt["train"]))
    expected = [
        count,
        count,
        *(f"{skirt[c]:.3f}" for c in ("box_AP", "mean_shape", "universal", "finetuned")),
    ]
    assert table["skirt"] == [*expected, f"{skirt['finetuned'] - skirt['universal']:+.3f}"]
    assert table["vest"] == ["0", "0", "–", "–", "–", "–", "–"]
    assert all(c.label in page for c in CATEGORIES)


def test_accuracies_stand_beside_the_published_ones(page, garments, predictions):
    parser = Rows()
    parser.feed(page)
    skirts = [row[1:] for row in parser.rows if row and row[0] == "skirt"]
    ours = keypoint_accuracy(garments, predictions).loc["skirt"]
    numbers = [f"{ours[name]:.3f}" for name in ("PCK", "PCK corner", "AUC")]
    assert [*numbers, f"{ours['EPE']:.1f}", "0.944", "0.634", "18.8"] in skirts
    means = [row[1:] for row in parser.rows if row and row[0] == MEAN]
    assert means[0][4:] == ["0.958", "0.563", "19.4"]  # of the 13 published rows


def test_what_the_grid_search_found(page):
    table = rows(page)
    assert table["gamma of it"] == ["0.75", "0.35"] and table["alpha of it"] == ["0.8", "off"]
    assert "on 1,285 pictures" in page and "0.210 without, 0.250 tuned." in page
    assert page.count("data:image/png;base64,cGljdHVyZSBieXRlcw==") == 1


def test_headline(page, evaluation):
    ratio = 1 / evaluation.truth_boxes["mean_shape"].stats["AP"]
    assert ratio > 1.1
    assert f"finetuned, {ratio:.1f}× mean shape" in page
    assert "on 25 pictures" in page


def test_one_file_without_outside_references(page):
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count("data:image/jpeg;base64,") == 1
    assert "shop &amp; &lt;street&gt;" in page
    assert "grouping: agg81" in page


def test_same_numbers_same_bytes(tmp_path, evaluation):
    content = ReportContent(dataset="x", num_images=1)
    first = write_report(tmp_path, evaluation, content).read_bytes()
    assert write_report(tmp_path, evaluation, content).read_bytes() == first
    assert b"Error by cluster" not in first


def test_dot_plot_leaves_out_what_was_not_measured():
    svg = dot_plot([("skirt", [0.0, 1.0, -1.0]), ("vest", [float("nan")] * 3)], ["a", "b", "c"])
    assert svg.count("<circle") == 2
    left, right = (float(x) for x in re.findall(r'cx="([\d.]+)"', svg))
    ticks = [float(x) for x in re.findall(r'class="tick" x="([\d.]+)"', svg)]
    assert (left, right) == (ticks[0], ticks[-1])


def test_curve_runs_from_top_to_bottom_when_the_loss_falls():
    points = re.search(r'points="([^"]+)"', curve([4.0, 2.0, 1.0]))[1].split()
    heights = [float(p.split(",")[1]) for p in points]
    assert heights == sorted(heights)
    assert curve([1.0]).count("<circle") == 1
