"""Tables and figures of DeepMark++ (Sidnev et al., 2020).

Table 3 lists other authors' published results. Figure 10 (the grid search) is drawn by the step
``tune_postprocess``. Figure 11 repeats figure 1 on a phone with its neural processor, for which no
other machine can stand in; ``bench.edge`` compares runtimes on the machine at hand. ``paper`` has the
published numbers.
"""

TABLES = ("table1", "table2", "table4", "table5", "table6", "table7")
FIGURES = ("figure1", "figure3", "figure4", "figure12")
