"""Table 1 of GLE (Lee et al., 2019) over the number of its modules."""

TABLES = ("table1",)
