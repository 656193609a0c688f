"""DeepMark++: CenterNet with landmarks (Sidnev et al., 2020; Zhou et al., 2019)."""
