"""Sources of alignment data, by the name that parameters use."""

from fashion_ops.catalog.alignment.sources import category_attribute, fld, lsp, retrieval
from fashion_ops.catalog.alignment.sources.base import Source

SOURCES: dict[str, Source] = {
    "fld": fld.read,
    "category_attribute": category_attribute.read,
    "in_shop": retrieval.read_in_shop,
    "consumer_to_shop": retrieval.read_consumer_to_shop,
    "lsp": lsp.observer_centric,
    "lsp_person_centric": lsp.person_centric,
}
