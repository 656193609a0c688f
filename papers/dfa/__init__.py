"""Tables and figures of DFA (Liu et al., ECCV 2016).

``runs`` trains the models that they compare, once for all of them; ``pictures`` draws photos. Figures 7
and 10 are in ``papers.applications``. Table ``stages`` follows one cascade. Tables 1 and 5 describe
data; the step ``dfa_stage`` draws figure 4's clusters. ``paper`` has the published numbers.
"""

TABLES = ("table2", "table3", "table4", "stages")
FIGURES = tuple(f"figure{n}" for n in (1, 2, 5, 6, 7, 8, 9, 10, 11))
