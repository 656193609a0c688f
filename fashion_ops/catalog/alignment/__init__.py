"""Fashion alignment data: images of one garment (or person) each, with its box and few landmarks.

- ``sources``    one file a data set: FLD, DeepFashion's Category & Attribute, In-shop and
  Consumer-to-shop, LSP;
- ``list_file``  DeepFashion's ``list_*.txt``; ``records`` what is read from them and checked;
- ``schemas``    the tables of the catalog; ``ingest`` writes them, ``reader`` reads them;
- ``refusals``   why a record is quarantined, with file and line;
- ``landmark_table``  landmarks alone, as CSV;
- ``twin``       the wardrobe, written in each of these formats.

Visibility is COCO's inside the catalog: 0 not in the image, 1 occluded, 2 visible; FLD's own codes
stand beside it. Coordinates count from 0: DeepFashion's files count from 1.
"""
