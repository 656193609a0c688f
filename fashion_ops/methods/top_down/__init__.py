"""Aggregation & Finetuning: top-down heatmaps on grouped landmarks (Lin, arXiv 2005.00419).

One universal network for all 13 categories on grouped landmarks, and 13 copies of it, each finetuned on
one category. Beside the heatmaps the network has an optional head for the pseudo-labels of DFA.
"""
