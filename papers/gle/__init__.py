"""GLE's Table 1 (Lee et al., 2019) over the number of its modules: ``run(request) -> Table``."""

TABLES = ("table1",)
