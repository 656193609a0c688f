"""FLD, the Fashion Landmark Detection benchmark (Liu et al., ECCV 2016; README v1.1).

``Anno/list_bbox.txt``, ``Anno/list_landmarks.txt``, ``Anno/list_joints.txt`` (since v1.1, may be
missing) and ``Eval/list_eval_partition.txt``; images in ``Img/img`` or ``img``. Ids have gaps: rows are
matched by name, never by number.
"""

from pathlib import Path

from fashion_ops.catalog.alignment.list_file import Row, expect
from fashion_ops.catalog.alignment.records import Record, parse_box, parse_joints
from fashion_ops.catalog.alignment.sources.base import Listing, Lists, join, one_of

SPLITS = ("train", "val", "test")
JOINTS = "Anno/list_joints.txt"


def read(root: Path) -> Listing:
    """Read the lists of FLD below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = Lists(root)
    lists.add("landmarks", "Anno/list_landmarks.txt", primary=True)
    lists.add("bbox", "Anno/list_bbox.txt")
    lists.add("partition", "Eval/list_eval_partition.txt")
    extras = {}
    if (root / JOINTS).is_file():
        lists.add("joints", JOINTS)
        extras["joints"] = _joints
    return join(lists, lambda name: evaluation_status(lists.row("partition", name)), box, extras)


def evaluation_status(row: Row) -> str:
    """train, val or test; raises Refused for anything else."""
    expect(row, 2, "image and evaluation status")
    return one_of(row.fields[1], SPLITS)


def box(row: Row, record: Record) -> None:
    """Read a row of ``list_bbox.txt`` into ``record``; raises Refused."""
    expect(row, 5, "image, x_1, y_1, x_2, y_2")
    record.box = parse_box(row.fields[1:])


def _joints(row: Row, record: Record) -> None:
    record.joints = parse_joints(row)
