"""GLE: full-resolution heatmaps from global-local embedding modules (Lee et al., ICCV workshops 2019).

The modules are the paper's, not its released code's, which throws away the non-local block's output.
"""
