"""Sources of alignment data, one file a format; all are listed here by the name params use."""

from fashion_ops.catalog.alignment.sources import (
    category_attribute,
    consumer_to_shop,
    fld,
    in_shop,
    lsp,
)
from fashion_ops.catalog.alignment.sources.base import Listing, Source

SOURCES: dict[str, Source] = {
    "fld": fld.read,
    "category_attribute": category_attribute.read,
    "in_shop": in_shop.read,
    "consumer_to_shop": consumer_to_shop.read,
    "lsp": lsp.observer_centric,
    "lsp_person_centric": lsp.person_centric,
}

__all__ = ["SOURCES", "Listing", "Source"]
