"""MLflow: models, runs, aliases, the promotion gate, and the way back to a version."""
