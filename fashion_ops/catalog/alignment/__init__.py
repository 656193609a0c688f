"""Fashion alignment data: images of one garment (or person) each, with its box and few landmarks.

- ``sources``: DeepFashion's benchmarks of landmark detection (FLD, Category & Attribute) and of
  retrieval (In-shop, Consumer-to-shop), and LSP;
- ``list_file``: DeepFashion's ``list_*.txt``; ``records``: what is read from them and checked;
- ``schemas``: the tables of the catalog; ``ingest`` writes them, ``reader`` reads them;
- ``landmark_table``: landmarks alone, as CSV.

Inside the catalog, visibility is COCO's: 0 not in the image, 1 occluded, 2 visible; the codes of the
source stand beside it. Coordinates count from 0; those in DeepFashion's files count from 1.
"""
