"""What In-shop and Consumer-to-shop share: the list of items and the attributes of each."""

from pathlib import Path

import numpy as np

from fashion_ops.catalog.alignment.list_file import Names, Row, read_list
from fashion_ops.catalog.alignment.records import NO_ATTRIBUTES
from fashion_ops.catalog.alignment.refusals import Reason, Refused
from fashion_ops.catalog.alignment.sources.base import Attribute, Lists
from fashion_ops.catalog.alignment.sources.category_attribute import attribute_names, attribute_values

_FOLDERS = ("Anno/attributes", "Anno")


class Items:
    """The items of a benchmark. Where the attribute lists are missing, items have none."""

    def __init__(self, root: Path, file: str, lists: Lists) -> None:
        listed = read_list(root, file, header=False)
        lists.check_count(listed)
        self._file = file
        self._known = {row.name for row in listed.rows}
        self._rows: dict[str, Row] = {}
        self.attributes: list[Attribute] = []
        for folder in _FOLDERS:
            if (root / folder / "list_attr_items.txt").is_file():
                cloth = read_list(root, f"{folder}/list_attr_cloth.txt")
                self.attributes = attribute_names(cloth)
                own = read_list(root, f"{folder}/list_attr_items.txt")
                lists.check_count(cloth)
                lists.check_count(own)
                aside = Names()  # these rows are named by items, which are no records
                self._rows = own.by_name(aside)
                lists.names.refusals += aside.refusals
                break

    def check(self, item_id: str) -> str:
        """Raises Refused unless the list of items names it."""
        if item_id not in self._known:
            raise Refused(Reason.ITEM, f"{item_id} is not in {self._file}")
        return item_id

    def attribute_values(self, item_id: str) -> np.ndarray:
        """Attributes of an item, int8. Raises Refused where its row is missing or odd."""
        if not self.attributes:
            return NO_ATTRIBUTES
        if item_id not in self._rows:
            raise Refused(Reason.NOT_LISTED, f"list_attr_items.txt has no {item_id}")
        return attribute_values(self._rows[item_id], len(self.attributes))
