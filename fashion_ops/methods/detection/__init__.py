"""Garment boxes by Cascade R-CNN and Hybrid Task Cascade, and the other places boxes come from.

Cai & Vasconcelos, "Cascade R-CNN", CVPR 2018; Chen et al., "Hybrid Task Cascade", CVPR 2019: the two
detectors of Aggregation & Finetuning's Table 2. Proposals, anchors, pooling, coding, matching, sampling
and resizing are torchvision's; what lives here is what it lacks: the cascade, the interleaved mask
branch and the semantic branch.
"""
