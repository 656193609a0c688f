"""Fashion alignment: predict the few landmarks of a garment whose box is known.

Each method is a package (``dfa``, ``deeppose``, ``idpr``, ``gle``). The first three share backbones by
name (``vgg``), crops with their coordinates (``crops``) and training data (``data``). Their positions
are normalised: -0.5 to 0.5 across the square input of the network. ``gle`` predicts heatmaps in pixels.
``describe`` counts what ``dfa``, ``deeppose`` and ``gle`` cost, and ``initial_weights`` reads what a
training starts from.
"""
