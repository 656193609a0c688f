"""Inference with trained models: predictors, export, post-processing search, reproduction."""
