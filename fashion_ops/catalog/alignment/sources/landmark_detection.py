"""FLD and Category & Attribute, DeepFashion's benchmarks of landmark detection.

FLD (Liu et al., ECCV 2016; README v1.1) has ``Anno/list_bbox.txt``, ``Anno/list_landmarks.txt``,
``Anno/list_joints.txt`` (since v1.1, may be missing) and ``Eval/list_eval_partition.txt``; images are
in ``Img/img`` or ``img``. Ids have gaps: rows are matched by name, never by number.

Category & Attribute (Liu et al., CVPR 2016), also called DeepFashion-C, has the lists of FLD, but its
landmarks have no variation type although its README says so: the header decides. Four further lists
may be missing, then categories are "" and attributes empty: ``list_category_cloth.txt`` (name, type),
``list_category_img.txt`` (image, label counted from 1), ``list_attr_cloth.txt`` (name with spaces,
type) and ``list_attr_img.txt`` (image, then one value per attribute: 1, -1, 0 unknown).
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
from fashion_ops.catalog.alignment.records import Record, parse_box, parse_joints
from fashion_ops.catalog.alignment.sources.base import (
    PARTITION,
    Attribute,
    Listing,
    Lists,
    RowParser,
    join,
    one_of,
    read_base_lists,
)
from fashion_ops.catalog.quarantine import Reason, Refused

SPLITS = ("train", "val", "test")
KINDS = {"1": "texture", "2": "fabric", "3": "shape", "4": "part", "5": "style"}
JOINTS = "Anno/list_joints.txt"


def read_fld(root: Path) -> Listing:
    """Read the lists of FLD below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = read_base_lists(root)
    lists.add("partition", PARTITION)
    extras: dict[str, RowParser] = {}
    if (root / JOINTS).is_file():
        lists.add("joints", JOINTS)
        extras["joints"] = _joints
    return _join(lists, extras)


def read_category_attribute(root: Path) -> Listing:
    """Read the lists of Category & Attribute below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = read_base_lists(root)
    lists.add("partition", PARTITION)
    extras: dict[str, RowParser] = {}
    attributes: list[Attribute] = []
    if (root / "Anno/list_category_img.txt").is_file():
        cloth = read_list(root, "Anno/list_category_cloth.txt")
        cloth.check_count(lists.names)
        names = [name for name, _ in named_types(cloth)]
        lists.add("category", "Anno/list_category_img.txt")
        extras["category"] = lambda row, record: _category(row, record, names)
    if (root / "Anno/list_attr_img.txt").is_file():
        cloth = read_list(root, "Anno/list_attr_cloth.txt")
        cloth.check_count(lists.names)
        attributes = attribute_names(cloth)
        lists.add("attributes", "Anno/list_attr_img.txt")
        extras["attributes"] = lambda row, record: _attributes(row, record, len(attributes))
    listing = _join(lists, extras)
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


def _join(lists: Lists, extras: dict[str, RowParser]) -> Listing:
    def status(name: str) -> str:
        row = lists.row("partition", name)
        expect(row, 2, "image and evaluation status")
        return one_of(row.fields[1], SPLITS)

    return join(lists, status, _box, extras)


def _box(row: Row, record: Record) -> None:
    expect(row, 5, "image, x_1, y_1, x_2, y_2")
    record.box = parse_box(row.fields[1:])


def _joints(row: Row, record: Record) -> None:
    record.joints = parse_joints(row)


def _category(row: Row, record: Record, names: list[str]) -> None:
    expect(row, 2, "image and category label")
    label = integers(row.fields[1:])[0]
    if not 1 <= label <= len(names):
        raise Refused(Reason.CODE, f"category label {label}; expected 1..{len(names)}")
    record.category = names[label - 1]


def _attributes(row: Row, record: Record, count: int) -> None:
    record.attributes = attribute_values(row, count)
