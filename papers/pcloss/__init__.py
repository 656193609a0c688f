"""PCLoss on a regression and on a heatmap model: ``run(request) -> Table``."""

TABLES = ("models",)
