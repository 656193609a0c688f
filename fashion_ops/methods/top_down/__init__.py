"""Aggregation & Finetuning: top-down heatmaps on grouped landmarks (Lin, arXiv 2005.00419)."""
