"""DeepMark++: CenterNet with landmarks (Sidnev et al., 2020; Zhou et al., 2019).

Beside the files that every method has (see ``methods``):

- ``backbones``               backbones and necks by name;
- ``codec``                   how a box or landmark is written on the maps and read back;
- ``random_crop``             CenterNet's random crop of training images;
- ``warm_start``              initialisation from another detector's weights;
- ``published_weights``       CenterNet's published checkpoints under our names;
- ``landmarks``               refinement of landmarks on the heatmaps, part of ``decode``;
- ``nms``                     non-maximum suppression;
- ``test_time_augmentation``  merging the maps of mirrored images, and other scales;
- ``candidates``              decoding for a grid search of the post-processing;
- ``postprocess_file``        the file with the settings of the post-processing;
- ``deploy``                  export to ONNX and OpenVINO.
"""
