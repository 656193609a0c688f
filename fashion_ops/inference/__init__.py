"""Trained models at work: prediction, export, post-processing search, reproduction of predictions."""
