"""PCLoss on a regression and on a heatmap model: ``run(config) -> Table``."""

TABLES = ("models",)
