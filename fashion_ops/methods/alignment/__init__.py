"""Fashion alignment: a garment's box is known, its few landmarks are sought.

One package a method (``dfa``, ``deeppose``, ``idpr``, ``gle``), and ``applications`` for what landmarks
are good for. The regressions share trunks by name (``vgg``) and crops with their coordinates
(``crops``): positions are normalised, -0.5 to 0.5 across the network's square input, whichever frame
the box was laid into.
"""
