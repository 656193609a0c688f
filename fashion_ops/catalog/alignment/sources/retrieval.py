"""DeepFashion's retrieval benchmarks, In-shop and Consumer-to-shop (Liu et al., CVPR 2016).

Both have a list of items, and attributes per item. ``list_bbox_inshop.txt`` has clothes type and pose
type before the box; In-shop's partition names the item of each image and its status: train, query or
gallery.

``list_bbox_consumer2shop.txt`` has clothes type and source type (1 shop, 2 consumer) before the box.
The partition has one row per pair: consumer image, shop image, item, status. The split of an image is
that of its pairs. The gallery of the test is the shop images of "test" (official README) or of "val"
and "test" (a later one): the split is recorded, whoever evaluates retrieval chooses.
"""

from pathlib import Path

import numpy as np

from fashion_ops.catalog.alignment.list_file import RecordNames, Row, expect, integers, read_list
from fashion_ops.catalog.alignment.records import NO_ATTRIBUTES, Record, parse_box
from fashion_ops.catalog.alignment.sources.base import (
    PARTITION,
    Attribute,
    Listing,
    Lists,
    Pair,
    join,
    one_of,
    read_base_lists,
    same_type,
)
from fashion_ops.catalog.alignment.sources.landmark_detection import (
    SPLITS,
    attribute_names,
    attribute_values,
)
from fashion_ops.catalog.quarantine import Reason, Refused

IN_SHOP_SPLITS = ("train", "query", "gallery")
POSES = ("front", "side", "back", "zoom-out", "zoom-in", "stand-alone")  # codes 1..6
SOURCES = ("shop", "user")  # codes 1, 2; DeepFashion2, and so the catalog, calls consumers users
_ATTRIBUTE_FOLDERS = ("Anno/attributes", "Anno")


class Items:
    """The items of a benchmark and their attributes; where those lists are missing, items have none."""

    def __init__(self, root: Path, file: str, lists: Lists) -> None:
        listed = read_list(root, file, header=False)
        listed.check_count(lists.names)
        self._file = file
        self._known = {row.name for row in listed.rows}
        self._rows: dict[str, Row] = {}
        self.attributes: list[Attribute] = []
        for folder in _ATTRIBUTE_FOLDERS:
            if (root / folder / "list_attr_items.txt").is_file():
                cloth = read_list(root, f"{folder}/list_attr_cloth.txt")
                self.attributes = attribute_names(cloth)
                values = read_list(root, f"{folder}/list_attr_items.txt")
                cloth.check_count(lists.names)
                values.check_count(lists.names)
                item_names = RecordNames()  # these rows name items, which are no records
                self._rows = values.by_name(item_names)
                lists.names.refusals += item_names.refusals
                break

    def check(self, item_id: str) -> str:
        """``item_id`` if the list of items names it; else raises Refused."""
        if item_id not in self._known:
            raise Refused(Reason.ITEM, f"{item_id} is not in {self._file}")
        return item_id

    def attribute_values(self, item_id: str) -> np.ndarray:
        """Attributes of an item, int8; raises Refused where its row is missing or malformed."""
        if not self.attributes:
            return NO_ATTRIBUTES
        if item_id not in self._rows:
            raise Refused(Reason.NOT_LISTED, f"list_attr_items.txt has no {item_id}")
        return attribute_values(self._rows[item_id], len(self.attributes))


def read_in_shop(root: Path) -> Listing:
    """Read the lists of In-shop below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = read_base_lists(root, "_inshop")
    lists.add("partition", PARTITION)
    items = Items(root, "Anno/list_item_inshop.txt", lists)

    def status(name: str) -> str:
        row = lists.row("partition", name)
        expect(row, 3, "image, item and evaluation status")
        return one_of(row.fields[2], IN_SHOP_SPLITS)

    def box(row: Row, record: Record) -> None:
        expect(row, 7, "image, clothes type, pose type, x_1, y_1, x_2, y_2")
        kind, pose = integers(row.fields[1:3])
        same_type(record, kind)
        if not 1 <= pose <= len(POSES):
            raise Refused(Reason.CODE, f"pose type {pose}; expected 1..{len(POSES)}")
        record.pose, record.source, record.box = pose, "shop", parse_box(row.fields[3:])

    def item(row: Row, record: Record) -> None:
        record.item_id = items.check(row.fields[1])
        record.attributes = items.attribute_values(record.item_id)

    listing = join(lists, status, box, {"partition": item})
    listing.attributes = items.attributes
    return listing


def read_consumer_to_shop(root: Path) -> Listing:
    """Read the lists of Consumer-to-shop below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = read_base_lists(root, "_consumer2shop")
    items = Items(root, "Anno/list_item_consumer2shop.txt", lists)
    pairs = _pairs(lists, items)
    pair_of: dict[str, Pair] = {}  # the first pair of each image
    for pair in pairs:
        for name in (pair.consumer, pair.shop):
            pair_of.setdefault(name, pair)

    def status(name: str) -> str:
        if name not in pair_of:
            raise Refused(Reason.NOT_LISTED, PARTITION)
        return pair_of[name].split

    def box(row: Row, record: Record) -> None:
        expect(row, 7, "image, clothes type, source type, x_1, y_1, x_2, y_2")
        kind, source = integers(row.fields[1:3])
        same_type(record, kind)
        if not 1 <= source <= len(SOURCES):
            raise Refused(Reason.CODE, f"source type {source}; expected 1 shop or 2 consumer")
        record.source, record.box = SOURCES[source - 1], parse_box(row.fields[3:])
        record.item_id = pair_of[record.name].item_id
        record.attributes = items.attribute_values(record.item_id)

    listing = join(lists, status, box)
    listing.attributes, listing.pairs = items.attributes, pairs
    return listing


def _pairs(lists: Lists, items: Items) -> list[Pair]:
    """The rows of the partition. A refused row loses no record, but its images may be lost."""
    listed = read_list(lists.root, PARTITION)
    listed.check_count(lists.names)
    pairs = []
    for row in listed.rows:
        for name in row.fields[:2]:
            lists.names.names.setdefault(name, (PARTITION, row.line))
        try:
            expect(row, 4, "consumer's image, shop's image, item, evaluation status")
            consumer, shop, item_id, status = row.fields
            split = one_of(status, SPLITS)
            pairs.append(Pair(consumer, shop, items.check(item_id), split, PARTITION, row.line))
        except Refused as refused:
            lists.names.refusals.append(refused.row("", PARTITION, row.name, 0, row.line))
    return pairs
