"""PoseFix: refine a predicted pose (Moon et al., CVPR 2019; DeepMark++ section 3.3).

``errors`` synthesises the pose errors that a refiner learns to undo.
"""
