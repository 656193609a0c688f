"""Tables of Aggregation & Finetuning (Lin, 2020) and of its open questions.

Figure 1 (the 294 landmarks), Table 2 (detector, aggregation, finetuning, flips), Table 3 (categories),
figure ``gain`` (what finetuning gains by number of training garments, the paper's open question), and
tables ``inference_switches`` and ``training_switches`` (why a plain network was reported with a higher
AP on ground-truth boxes). Table 1 lists other authors' results. ``paper`` has the published numbers;
``runs`` trains models once and keeps them.
"""

TABLES = ("table2", "table3", "inference_switches", "training_switches")
FIGURES = ("figure1", "gain")
