"""Metrics of predictions: OKS-AP, box AP, NE, PDL, PCP, errors by cluster, bootstrap, drift."""
