"""Aggregation & Finetuning's tables (Lin, 2020) and its open questions: ``run(request) -> Table``.

Table 2 (detector, aggregation, finetuning, flips), Table 3 (categories), figure ``gain`` (finetuning
gain against the number of garments: the paper's open question), tables ``puzzle`` and
``puzzle_training`` (why a plain network was reported with a higher AP on ground-truth boxes). Table 1
is other people's results. The papers' numbers are in ``paper``; models are trained once and kept by
``runs``.
"""

TABLES = ("table2", "table3", "puzzle", "puzzle_training")
FIGURES = ("gain",)
