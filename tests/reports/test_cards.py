"""Cards of a version: numbers as counted by hand, values that stay text, a page that loads nothing."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from raw_data import Data, item

from fashion_ops.catalog import schemas
from fashion_ops.params import Params
from fashion_ops.reports.card_facts import DataSource, gather
from fashion_ops.reports.card_page import card_page
from fashion_ops.reports.cards import data_card, description, model_card
from fashion_ops.reports.markdown import code, number, table, text, to_html

ORIGIN = {"lineage": "abc", "git_commit": "c0ffee", "snapshot": "beef"}


def metrics(ap=0.625):
    own = {
        "box_ap": 0.5,
        "train": 2,
        "validation": 2,
        "landmark_ap": {"universal": 0.25, "refined": ap},
    }
    return {
        "landmark_ap": {"mean_shape": 0.1, "refined": ap},
        "landmark_ap_own_boxes": {"refined": 0.375},
        "box_ap": -1.0,
        "categories_without_training": ["sling"],
        "per_category": {"skirt": own},
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two skirts to train on, two to evaluate, of which one is predicted as it is labelled."""
    made = Data(tmp_path_factory.mktemp("cards"))
    made.add("000001", item(), item(occlusion=3))
    hidden = [v for i in range(8) for v in (12 + i, 22 + i, i % 3)]
    made.add("000002", item(landmarks=hidden), item("vest"), split="validation")
    made.add("000003", split="validation")
    made.add("000004", item(bounding_box=[1, 1, 0, 0]), split="validation")
    (made.root / "LICENSE").write_text("\nFor research only. <b>Ask</b> | first\nmore\n")
    made.ingest()
    garments = made.catalog.garments
    rows = garments[garments["split"] == "validation"]
    predicted = pd.DataFrame(
        {
            "image_id": rows["image_id"],
            "garment_id": rows["garment_id"],
            "category_id": rows["category_id"],
            "score": np.float32(0.9),
            "box": rows["box"],
            "landmarks": [
                np.asarray(v, np.float32) + (0 if k == 9 else 500)
                for k, v in zip(rows["category_id"], rows["landmarks"], strict=True)
            ],
            "deviations": [np.zeros(0, np.float32)] * len(rows),
        }
    )
    folder = made.ws.evaluation / "predictions" / "truth_boxes"
    folder.mkdir(parents=True)
    schemas.PREDICTIONS.validate(predicted.reset_index(drop=True)).to_parquet(
        folder / "refined.parquet"
    )
    (made.ws.evaluation / "metrics.json").write_text(json.dumps(metrics()))
    also = made.ws.evaluation / "also" / "shop"
    also.mkdir(parents=True)
    (also / "metrics.json").write_text(json.dumps(metrics(0.125)))
    bundle = made.ws.root / "bundle"
    for name in ("skirt", "vest"):
        folder = bundle / "finetuned" / name
        folder.mkdir(parents=True)
        (folder / "model.json").write_text('{"method": "top_down", "backbone": "hrnet"}')
        (folder / "weights.safetensors").write_bytes(bytes(600_000))
    return made


@pytest.fixture(scope="module")
def facts(data):
    return gather(Params(), data.ws, data.ws.root / "bundle", ORIGIN)


def test_the_data_card_counts_what_is_in_the_catalog(facts):
    card = data_card(facts)
    assert "|data/raw|For research only. \\<b\\>Ask\\</b\\> \\| first|3|" in card
    assert "|train|1|0|2|16|" in card and "|validation|2|1|2|20|" in card
    # 24 landmarks of skirts: 8 + 8 visible; of the third 2 visible, 3 hidden, 3 not labelled
    assert "|skirt|2|1|75.0 %|12.5 %|12.5 %|" in card
    assert "|occlusion|heavy|1|" in card and "|empty or inverted box|1|" in card


def test_the_model_card_has_metrics_by_category_and_subset(facts):
    card = model_card(facts)
    assert "|refined, which predict uses|0.625|0.375|" in card
    assert "|skirt|2|2|0.500|0.250||0.625|" in card
    assert "|scale|moderate|2|0.500|" in card  # the skirt is found, the vest is not
    assert "|shop|0.125||" in card
    assert "|finetuned|top\\_down|hrnet|2|1.2|" in card
    assert "Not trained on any garment of: sling." in card
    assert "`fashion-ops restore VERSION --verify`" in card and "|lineage|abc|" in card
    assert "notify" not in card and "webhook" not in card
    assert "chosen on up to 200 of the images that are evaluated" in card
    apart = replace(facts, params={**facts.params, "tune_postprocess": {"split": "train"}})
    assert "of the images that are evaluated" not in model_card(apart)
    assert str(facts.data.sources[0].name) == "data/raw"


def test_what_is_not_known_is_said(data, tmp_path):
    empty = Data(tmp_path)
    empty.ws.evaluation.mkdir(parents=True)
    (empty.ws.evaluation / "metrics.json").write_text("{}")
    unknown = gather(Params(), empty.ws, tmp_path / "none", {"lineage": "x"})
    assert "Not recorded." in model_card(unknown) and "Not measured:" in model_card(unknown)
    assert "cannot be restored" in model_card(unknown)
    assert "The catalog was not at hand" in data_card(unknown)


def test_drawn_data_and_their_limit_are_said(facts):
    drawn = DataSource("data/raw", 3, "drawn by this program", is_synthetic=True)
    sources = facts.data.sources[:]
    facts.data.sources[:] = [drawn]
    try:
        assert "All training data are drawn." in model_card(facts)
    finally:
        facts.data.sources[:] = sources
    assert "All training data are drawn." not in model_card(facts)


def test_the_description_fits_into_the_registry(facts):
    said = description(facts, 7)
    assert said.startswith("garment-landmarks 7: AP 0.625 with ground-truth boxes, 0.375 with its own")
    assert "`fashion-ops restore 7 --verify`" in said
    assert len(said) + 12 * max(map(len, said.splitlines())) < 5000  # of 13 categories


HOSTILE = [
    "<script>alert(1)</script>",
    "[x](http://evil.example) ![y](http://evil.example/p.png)",
    "a | b\n| c | d |\n# head",
    "`code` *bold* _it_ ~~no~~ &lt;",
    "<http://evil.example>",
    "</pre></main><img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_is_text_and_never_markup(value):
    html = to_html(table(("name", "number"), [(value, 1), ("last", 2)]) + "\n" + text(value))
    assert html.count("<tr>") == 3 and html.count("<td") == 4
    assert not re.search(r"<(script|a|img|em|strong|code|del|h1)\b", html)
    shown = " ".join(value.split())
    escaped = (
        shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )
    assert html.count(escaped) == 2
    block = to_html(code(f"```\n{value}\n```"))
    assert block.count("<pre>") == 1 and "<script" not in block and "<img" not in block


def test_markdown_of_a_card_that_was_edited_loads_nothing_either():
    page = card_page(
        "m", 3, "torch", ["# T\n\n![x](http://evil.example/x.png)\n\n<script>a</script>\n"]
    )
    assert "<script" not in page and "<img" not in page and "<a " not in page
    assert "&lt;script&gt;" in page and "m, version 3" in page


def test_numbers_that_are_not_known_are_empty():
    assert [number(v) for v in (None, -1.0, float("nan"), 0.5, 1234)] == ["", "", "", "0.500", "1,234"]


def test_the_page_of_a_version_needs_nothing_from_elsewhere(facts):
    page = card_page("garments <1>", 3, "openvino", [model_card(facts), data_card(facts)])
    assert "garments &lt;1&gt;, version 3" in page and page.count("<article>") == 2
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", page)
    assert "There is no card" in card_page("folder", 0, "torch", [])
