"""Tables and figures of DFA (Liu et al., ECCV 2016).

``runs`` trains the models that they compare, once for all of them. Figure 7 is in
``papers.applications``. Tables 1 and 5 describe data, figures 4 and 8 to 11 are images; the step
``dfa_stage`` draws figure 4's clusters. ``paper`` has the published numbers.
"""

TABLES = ("table2", "table3", "table4")
FIGURES = ("figure5", "figure6", "figure7")
