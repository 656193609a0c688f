"""Tables and figures of the five papers, reproduced on the catalog at hand: ``python -m papers``.

Each paper is a package with one file a table or figure, whose ``run(config)`` returns a ``Table``. No
paper imports another, and ``fashion_ops`` imports none of this. Shared modules:

- ``config``: the options of a table;
- ``evaluation_set``: the images and garments to evaluate on, and whether they are the paper's;
- ``table``: our numbers beside the paper's; ``write``: a table as Markdown, CSV and an image;
- ``decode_variants``: several ways of decoding one network's maps, and their times;
- ``alignment``: FLD's garments and the errors of fashion alignment;
- ``subprocess_measure``: a measurement in a process of its own;
- ``command``: the command line.
"""

import fashion_ops as fashion_ops  # before torch: sets how OpenMP's threads wait
