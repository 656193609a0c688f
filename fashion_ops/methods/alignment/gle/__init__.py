"""GLE: full-resolution heatmaps from global-local embedding modules (Lee et al., ICCV workshops 2019).

The modules follow the paper, not its released code, which discards the output of the non-local block.
``warm_start`` begins a training with the weights of another network.
"""
