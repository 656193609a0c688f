"""DeepMark++: CenterNet with landmarks (Sidnev et al., arXiv 2006.00710; Zhou et al., arXiv 1904.07850)."""
