"""DeepMark++'s tables and figures (Sidnev et al., 2020), one file each, ``run(request) -> Table``.

Table 3 is other people's published results and has nothing to measure. Figure 10 (the grid search) is
what ``tune_postprocess`` draws. The paper's own numbers are in ``paper``.
"""

TABLES = ("table1", "table2", "table4", "table5", "table6", "table7")
FIGURES = ("figure4", "figure12")
