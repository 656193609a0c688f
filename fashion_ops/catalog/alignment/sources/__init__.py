"""Sources of alignment data, by the name that parameters use."""

from fashion_ops.catalog.alignment.sources import landmark_detection, lsp, retrieval
from fashion_ops.catalog.alignment.sources.base import Source

SOURCES: dict[str, Source] = {
    "fld": landmark_detection.read_fld,
    "category_attribute": landmark_detection.read_category_attribute,
    "in_shop": retrieval.read_in_shop,
    "consumer_to_shop": retrieval.read_consumer_to_shop,
    "lsp": lsp.observer_centric,
    "lsp_person_centric": lsp.person_centric,
}
