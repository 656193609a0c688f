"""PCLoss on a regression and on heatmap models."""

TABLES = ("models", "landmarker")
