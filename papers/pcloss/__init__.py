"""PCLoss on a regression and on a heatmap model."""

TABLES = ("models",)
