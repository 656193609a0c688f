"""PoseFix: refine a pose that another model predicted (Moon et al., CVPR 2019; DeepMark++, section 3.3)."""
