"""The labelling configuration of Label Studio for garments and their landmarks.

After the pages "RectangleLabels", "KeyPointLabels", "PolygonLabels", "Choices" and "Number" of Label
Studio's documentation.
"""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from fashion_ops.annotation.photos import GRADES
from fashion_ops.taxonomy import CATEGORIES

CONTROLS = {
    "rectanglelabels": "garment",
    "keypointlabels": "landmark",
    "polygonlabels": "polygon",
    "choices": "visibility",
}  # type of a region -> the control that makes it


def label_config() -> str:
    """The configuration as XML: the same names as in the regions that are written."""
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image", zoom="true")
    of_garment = {"toName": "image", "perRegion": "true", "whenTagName": CONTROLS["rectanglelabels"]}
    garments = _labels(view, "RectangleLabels", "rectanglelabels")
    landmarks = _labels(view, "KeyPointLabels", "keypointlabels")
    outlines = _labels(view, "PolygonLabels", "polygonlabels")
    for c in CATEGORIES:
        SubElement(garments, "Label", value=c.name)
    for name in dict.fromkeys(name for c in CATEGORIES for name in c.landmark_names):
        SubElement(landmarks, "Label", value=name)
    SubElement(outlines, "Label", value="outline")
    of_landmark = {**of_garment, "whenTagName": CONTROLS["keypointlabels"]}
    choices = SubElement(view, "Choices", {"name": CONTROLS["choices"], **of_landmark})
    for name in ("visible", "hidden"):
        SubElement(choices, "Choice", value=name)
    for grade in GRADES:
        most = {} if grade == "style" else {"max": "3"}
        SubElement(view, "Number", {"name": grade, **of_garment, "min": "0", **most})
    indent(view)
    return tostring(view, "unicode") + "\n"


def _labels(view: Element, tag: str, kind: str) -> Element:
    return SubElement(view, tag, name=CONTROLS[kind], toName="image")
