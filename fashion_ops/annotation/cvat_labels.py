"""The labels of a CVAT project: 13 skeletons, a rectangle, a polygon, and a tag of the photo.

``labels.json`` is for the constructor's "Raw" page. A skeleton's SVG shows where its points are when
somebody draws a new one; ``layout.csv`` has them: medians of the synthetic wardrobe's frontal garments
with all landmarks, mirrored, in a square of 100.
"""

import csv
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import orjson

from fashion_ops.taxonomy import CATEGORIES, Category

BOX, OUTLINE, PHOTO = "garment box", "garment outline", "photo"
_NUMBERS = {"scale": 3, "occlusion": 3, "zoom_in": 3, "viewpoint": 3, "style": 1_000_000}
_LEFT, _RIGHT, _MIDDLE = "#2675db", "#e48b20", "#5c5c5c"


def labels_json() -> bytes:
    """The labels for CVAT's raw constructor."""
    labels = [
        {
            "name": c.name,
            "type": "skeleton",
            "attributes": [_number(name, most) for name, most in _NUMBERS.items()],
            "sublabels": [
                {"name": name, "type": "points", "color": _color(name), "attributes": []}
                for name in c.landmark_names
            ],
            "svg": skeleton_svg(c),
        }
        for c in CATEGORIES
    ]
    labels += [
        {"name": BOX, "type": "rectangle", "attributes": []},
        {"name": OUTLINE, "type": "polygon", "attributes": []},
        {
            "name": PHOTO,
            "type": "tag",
            "attributes": [
                _number("pair_id", 1_000_000_000, -1),
                _attribute("source", "select", "", ["", "shop", "user"]),
            ],
        },
    ]
    return orjson.dumps(labels, option=orjson.OPT_INDENT_2) + b"\n"


def _number(name: str, most: int, least: int = 0) -> dict[str, Any]:
    return _attribute(name, "number", str(least), [str(least), str(most), "1"])


def _attribute(name: str, kind: str, default: str, values: list[str]) -> dict[str, Any]:
    facts = {"name": name, "mutable": False, "input_type": kind}
    return {**facts, "default_value": default, "values": values}


def labels_element() -> Element:
    """The same labels as they stand in the meta part of an annotations.xml."""
    root = Element("labels")
    for c in CATEGORIES:
        _label(root, c.name, "skeleton", svg=skeleton_svg(c))
        for name in c.landmark_names:
            _label(root, name, "points", parent=c.name)
    for name, kind in ((BOX, "rectangle"), (OUTLINE, "polygon"), (PHOTO, "tag")):
        _label(root, name, kind)
    return root


def _label(root: Element, name: str, kind: str, **texts: str) -> None:
    label = SubElement(root, "label")
    SubElement(label, "name").text = name
    SubElement(label, "type").text = kind
    SubElement(label, "attributes")
    for tag, text in texts.items():
        SubElement(label, tag).text = text


def skeleton_svg(kind: Category) -> str:
    """The template of a skeleton: its links as lines, its points as circles, in a square of 100."""
    places = _layout()[kind.first - 1 :]
    return "".join(tostring(shape, "unicode") for shape in _shapes(kind, places))


def _shapes(kind: Category, places: list[tuple[str, str]]) -> Iterator[Element]:
    for a, b in kind.links:
        (x1, y1), (x2, y2) = places[a], places[b]
        facts = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "stroke": "black", "stroke-width": "0.5"}
        ends = {"data-node-from": str(a + 1), "data-node-to": str(b + 1)}
        yield Element("line", {**facts, "data-type": "edge", **ends})
    for number, name in enumerate(kind.landmark_names, 1):
        x, y = places[number - 1]
        facts = {"r": "0.75", "cx": x, "cy": y, "stroke": "black", "stroke-width": "0.1"}
        names = {"data-element-id": str(number), "data-node-id": str(number), "data-label-name": name}
        yield Element("circle", {**facts, "fill": _color(name), "data-type": "element node", **names})


def _color(name: str) -> str:
    return _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE


@cache
def _layout() -> list[tuple[str, str]]:
    """Where each of the 294 landmarks is: x and y."""
    text = resources.files("fashion_ops.annotation").joinpath("layout.csv").read_text(encoding="utf-8")
    return [(row["x"], row["y"]) for row in csv.DictReader(text.splitlines())]
