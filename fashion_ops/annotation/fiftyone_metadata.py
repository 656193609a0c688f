"""metadata.json of a FiftyOne dataset folder: the fields of its samples, and a skeleton a category.

FiftyOne shows one skeleton a field, so that all 13 are in ``info`` and ``default_skeleton`` is not set.
"""

from typing import Any

import orjson

from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES

_VERSION = "1.0.0"  # of the document; newer versions migrate it when they load it
_FIELDS = "fiftyone.core.fields"
_LABELS = "fiftyone.core.labels"


def metadata(count: int) -> bytes:
    """The document for ``count`` samples."""
    embedded = {
        "metadata": "fiftyone.core.metadata.ImageMetadata",
        "garments": f"{_LABELS}.Detections",
        "landmarks": f"{_LABELS}.Keypoints",
        "outlines": f"{_LABELS}.Polylines",
    }
    fields = [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", subfield=f"{_FIELDS}.StringField"),
        _field("source", "StringField"),
        _field("pair_id", "IntField"),
        *(_field(name, "EmbeddedDocumentField", of=kind) for name, kind in embedded.items()),
    ]
    skeletons = {
        c.name: {"labels": list(c.landmark_names), "edges": [list(link) for link in c.links]}
        for c in CATEGORIES
    }
    document = {
        "name": "fashion-ops",
        "version": _VERSION,
        "media_type": "image",
        "sample_fields": fields,
        "classes": {name: list(CATEGORY_NAMES) for name in ("garments", "landmarks")},
        "default_classes": list(CATEGORY_NAMES),
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "info": {"skeletons": skeletons, "num_samples": count},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def _field(
    name: str, kind: str, of: str | None = None, subfield: str | None = None, db_field: str = ""
) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": f"{_FIELDS}.{kind}",
        "embedded_doc_type": of,
        "subfield": subfield,
        "fields": [],
        "db_field": db_field or name,
        "description": None,
        "info": None,
    }
