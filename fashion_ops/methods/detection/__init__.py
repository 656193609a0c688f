"""Garment boxes by Cascade R-CNN and Hybrid Task Cascade (HTC), and other sources of boxes.

Cai & Vasconcelos, "Cascade R-CNN", CVPR 2018; Chen et al., "Hybrid Task Cascade", CVPR 2019: the two
detectors of Aggregation & Finetuning's Table 2. torchvision provides proposals, anchors, pooling, box
coding, matching, sampling and resizing; this package adds the cascade, the interleaved mask branch and
the semantic branch.

- ``backbones``  backbones with a feature pyramid by name;
- ``cascade``    the box heads;
- ``htc``        the mask branch and the semantic branch;
- ``sources``    where boxes come from: a detector, or a file of COCO results.
"""
