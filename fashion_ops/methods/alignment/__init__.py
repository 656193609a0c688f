"""Fashion alignment: a garment's box is known, its few landmarks are sought.

One package a method (``dfa``, ``deeppose``, ``idpr``); the trunks by name (``vgg``) and the crops with
their coordinates (``crops``) are shared. Positions are normalised: -0.5 to 0.5 across the network's
square input, whichever frame the box was laid into.
"""
