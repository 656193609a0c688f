"""DeepFashion's In-shop Clothes Retrieval benchmark (Liu et al., CVPR 2016).

``list_bbox_inshop.txt`` has clothes type and pose type before the box; the partition names the item of
each image and its status: train, query or gallery.
"""

from pathlib import Path

from fashion_ops.catalog.alignment.list_file import Row, expect, integers
from fashion_ops.catalog.alignment.records import Record, parse_box
from fashion_ops.catalog.alignment.refusals import Reason, Refused
from fashion_ops.catalog.alignment.sources.base import Listing, Lists, join, same_type
from fashion_ops.catalog.alignment.sources.items import Items

SPLITS = ("train", "query", "gallery")
POSES = ("front", "side", "back", "zoom-out", "zoom-in", "stand-alone")  # codes 1..6


def read(root: Path) -> Listing:
    """All of the benchmark below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = Lists(root)
    lists.add("landmarks", "Anno/list_landmarks_inshop.txt", primary=True)
    lists.add("bbox", "Anno/list_bbox_inshop.txt")
    lists.add("partition", "Eval/list_eval_partition.txt")
    items = Items(root, "Anno/list_item_inshop.txt", lists)

    def item(row: Row, record: Record) -> None:
        record.item_id = items.check(row.fields[1])
        record.attributes = items.attribute_values(record.item_id)

    listing = join(lists, lambda name: _status(lists.row("partition", name)), _box, {"partition": item})
    listing.attributes = items.attributes
    return listing


def _status(row: Row) -> str:
    expect(row, 3, "image, item and evaluation status")
    if row.fields[2] not in SPLITS:
        raise Refused(Reason.PARTITION, f"{row.fields[2]}; expected one of {', '.join(SPLITS)}")
    return row.fields[2]


def _box(row: Row, record: Record) -> None:
    expect(row, 7, "image, clothes type, pose type, x_1, y_1, x_2, y_2")
    kind, pose = integers(row.fields[1:3])
    same_type(record, kind)
    if not 1 <= pose <= len(POSES):
        raise Refused(Reason.CODE, f"pose type {pose}; expected 1..{len(POSES)}")
    record.pose, record.source, record.box = pose, "shop", parse_box(row.fields[3:])
