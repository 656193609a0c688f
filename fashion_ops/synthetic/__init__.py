"""Data that we draw ourselves: the wardrobe and the alignment data sets made from it."""
