"""Tables and figures of DeepMark++ (Sidnev et al., 2020).

Table 3 lists other authors' published results. Figure 10 (the grid search) is drawn by the step
``tune_postprocess``. ``paper`` has the published numbers.
"""

TABLES = ("table1", "table2", "table4", "table5", "table6", "table7")
FIGURES = ("figure4", "figure12")
