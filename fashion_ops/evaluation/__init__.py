"""Judging predictions: OKS-AP, box AP, a baseline, errors by cluster, drawings and the report."""
