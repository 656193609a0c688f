"""The papers' tables, made again on the data set at hand: ``fashion-ops ablate PAPER --table N``.

One package a paper, one small file a table in it. What they share lives here:

- ``request``: what was asked for;
- ``judged``: the images and garments that are judged, and whether they are the paper's;
- ``table``: numbers beside the paper's; ``write``: as Markdown, CSV and an image;
- ``compare``: one network's maps read in several ways, times of several ways, interleaved;
- ``isolated``: a measurement in a process of its own;
- ``command``: the command line.
"""
