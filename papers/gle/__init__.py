"""GLE's Table 1 (Lee et al., 2019) over the number of its modules: ``run(config) -> Table``."""

TABLES = ("table1",)
