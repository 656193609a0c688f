"""Fashion alignment: predict the few landmarks of a garment whose box is known.

Each method is a package (``dfa``, ``deeppose``, ``idpr``, ``gle``). The regression methods share
backbones by name (``vgg``), crops with their coordinates (``crops``) and training data (``data``).
Positions are normalised: -0.5 to 0.5 across the square input of the network.
"""
