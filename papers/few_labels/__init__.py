"""What a few labelled photos of one's own buy: finetuning from the package's landmarker, and from none.

No paper's table: it answers how a retailer's first fifty labels should be used. ``photos`` reads the
labels, ``folds`` deals them, ``arms`` trains, ``few_labels`` compares, ``curves`` draws.
"""

TABLES = ("few_labels",)
