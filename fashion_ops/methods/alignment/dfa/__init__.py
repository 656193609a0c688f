"""DFA, Deep Fashion Alignment (Liu et al., ECCV 2016): a cascade of three stages of whole-garment CNNs.

``model`` is the network of a stage, ``labels`` the pseudo-labels of the three spaces, ``loss`` eq. 3
and 4, ``routing`` eq. 2, ``module`` the training of one network, ``training`` that of a stage,
``stage`` what a stage predicts and how it lies on disk, ``cascade`` all three of them on images.
"""
