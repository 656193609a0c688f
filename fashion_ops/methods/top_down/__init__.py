"""Aggregation & Finetuning: top-down heatmaps on grouped landmarks (Lin, arXiv 2005.00419).

One universal network for all 13 categories on grouped landmarks, then 13 copies of it finetuned on one
category each. Beside the heatmaps stands an optional head for DFA's pseudo-labels.
"""
