"""DeepFashion's Category & Attribute benchmark (Liu et al., CVPR 2016), also called DeepFashion-C.

It has the lists of FLD, but its landmarks have no variation type although its README says so: the
header decides. Four further lists may be missing, then categories are "" and attributes empty:
``list_category_cloth.txt`` (name, type), ``list_category_img.txt`` (image, label counted from 1),
``list_attr_cloth.txt`` (name with spaces, type) and ``list_attr_img.txt`` (image, then one value per
attribute: 1, -1, 0 unknown).
"""

from pathlib import Path

import numpy as np

from fashion_ops.catalog.alignment.list_file import (
    ListFile,
    Row,
    expect,
    integers,
    named_types,
    read_list,
)
from fashion_ops.catalog.alignment.records import Record
from fashion_ops.catalog.alignment.sources.base import Attribute, Listing, Lists, join
from fashion_ops.catalog.alignment.sources.fld import box, evaluation_status
from fashion_ops.catalog.quarantine import Reason, Refused

KINDS = {"1": "texture", "2": "fabric", "3": "shape", "4": "part", "5": "style"}


def read(root: Path) -> Listing:
    """Read the lists of the benchmark below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = Lists(root)
    lists.add("landmarks", "Anno/list_landmarks.txt", primary=True)
    lists.add("bbox", "Anno/list_bbox.txt")
    lists.add("partition", "Eval/list_eval_partition.txt")
    extras = {}
    if (root / "Anno/list_category_img.txt").is_file():
        cloth = read_list(root, "Anno/list_category_cloth.txt")
        cloth.check_count(lists.names)
        names = [name for name, _ in named_types(cloth)]
        lists.add("category", "Anno/list_category_img.txt")
        extras["category"] = lambda row, record: _category(row, record, names)
    attributes: list[Attribute] = []
    if (root / "Anno/list_attr_img.txt").is_file():
        cloth = read_list(root, "Anno/list_attr_cloth.txt")
        cloth.check_count(lists.names)
        attributes = attribute_names(cloth)
        lists.add("attributes", "Anno/list_attr_img.txt")
        extras["attributes"] = lambda row, record: _attributes(row, record, len(attributes))
    listing = join(lists, lambda name: evaluation_status(lists.row("partition", name)), box, extras)
    listing.attributes = attributes
    return listing


def attribute_names(cloth: ListFile) -> list[Attribute]:
    """The attributes, in the order of their columns in ``list_attr_img.txt``."""
    return [Attribute(name, KINDS.get(kind, "")) for name, kind in named_types(cloth)]


def attribute_values(row: Row, count: int) -> np.ndarray:
    """Values 1, -1, 0 of one row, (count,) int8; raises Refused for anything else."""
    expect(row, 1 + count, f"a name and {count} attributes")
    values = np.array(integers(row.fields[1:]), np.int64)
    if ((values < -1) | (values > 1)).any():
        odd = int(values[(values < -1) | (values > 1)][0])
        raise Refused(Reason.CODE, f"attribute value {odd}; expected 1, -1 or 0")
    return values.astype(np.int8)


def _category(row: Row, record: Record, names: list[str]) -> None:
    expect(row, 2, "image and category label")
    label = integers(row.fields[1:])[0]
    if not 1 <= label <= len(names):
        raise Refused(Reason.CODE, f"category label {label}; expected 1..{len(names)}")
    record.category = names[label - 1]


def _attributes(row: Row, record: Record, count: int) -> None:
    record.attributes = attribute_values(row, count)
