"""DFA's tables and figures (Liu et al., ECCV 2016), one file each, ``run(config) -> Table``.

``runs`` trains what they compare, once for all of them. Tables 1 and 5 describe, figures 4 and 8 to 11
are images: ``dfa_stage`` draws figure 4's clusters. The paper's own numbers are in ``paper``.
"""

TABLES = ("table2", "table3", "table4")
FIGURES = ("figure5", "figure6", "figure7")
