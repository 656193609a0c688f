"""DeepFashion's Consumer-to-shop Clothes Retrieval benchmark (Liu et al., CVPR 2016).

``list_bbox_consumer2shop.txt`` has clothes type and source type (1 shop, 2 consumer) before the box.
The partition has one row a pair: consumer's image, shop's image, item, status. An image's split
is that of its pairs. The gallery of the test is the shop images of "test" (official README) or of
"val" and "test" (a later one): ``retrieval`` code chooses by split.
"""

from pathlib import Path

from fashion_ops.catalog.alignment.list_file import Names, Row, expect, integers, read_list
from fashion_ops.catalog.alignment.records import Record, parse_box
from fashion_ops.catalog.alignment.refusals import Reason, Refused
from fashion_ops.catalog.alignment.sources.base import Listing, Lists, Pair, join, same_type
from fashion_ops.catalog.alignment.sources.fld import SPLITS
from fashion_ops.catalog.alignment.sources.items import Items

PARTITION = "Eval/list_eval_partition.txt"
SOURCES = ("shop", "user")  # codes 1, 2; the house says user for consumer


def read(root: Path) -> Listing:
    """All of the benchmark below ``root``.

    Raises:
        ValueError: a list is missing or has no row count.
    """
    lists = Lists(root)
    lists.add("landmarks", "Anno/list_landmarks_consumer2shop.txt", primary=True)
    lists.add("bbox", "Anno/list_bbox_consumer2shop.txt")
    items = Items(root, "Anno/list_item_consumer2shop.txt", lists)
    pairs = _pairs(lists, items)
    own: dict[str, Pair] = {}
    for pair in pairs:
        for name in (pair.consumer, pair.shop):
            own.setdefault(name, pair)

    def status(name: str) -> str:
        if name not in own:
            raise Refused(Reason.NOT_LISTED, PARTITION)
        return own[name].split

    def box(row: Row, record: Record) -> None:
        expect(row, 7, "image, clothes type, source type, x_1, y_1, x_2, y_2")
        kind, source = integers(row.fields[1:3])
        same_type(record, kind)
        if not 1 <= source <= len(SOURCES):
            raise Refused(Reason.CODE, f"source type {source}; expected 1 shop or 2 consumer")
        record.source, record.box = SOURCES[source - 1], parse_box(row.fields[3:])
        record.item_id = own[record.name].item_id
        record.attributes = items.attribute_values(record.item_id)

    listing = join(lists, status, box)
    listing.attributes, listing.pairs = items.attributes, pairs
    return listing


def _pairs(lists: Lists, items: Items) -> list[Pair]:
    """The rows of the partition; a row that is refused loses no record, its images may."""
    listed = read_list(lists.root, PARTITION)
    lists.check_count(listed)
    names: Names = lists.names
    pairs = []
    for row in listed.rows:
        for name in row.fields[:2]:
            names.names.setdefault(name, (PARTITION, row.line))
        try:
            expect(row, 4, "consumer's image, shop's image, item, evaluation status")
            consumer, shop, item_id, split = row.fields
            if split not in SPLITS:
                raise Refused(Reason.PARTITION, f"{split}; expected one of {', '.join(SPLITS)}")
            pairs.append(Pair(consumer, shop, items.check(item_id), split, PARTITION, row.line))
        except Refused as refused:
            names.refusals.append(refused.at(PARTITION, row.line, row.name, num_records=0))
    return pairs
