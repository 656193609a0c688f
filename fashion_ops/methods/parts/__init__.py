"""What several methods share.

- ``crops``, ``frames``      from a box in an image to a network input and back, two conventions;
- ``regions``                training samples: the region around each garment;
- ``augment``, ``color``     augmentation of a batch;
- ``heatmaps``               landmarks to heatmaps and back;
- ``backbones``              backbones by name;
- ``trainer``, ``schedule``  one optimisation run: options, checkpoints, learning rate, sample order;
- ``training_module``        base of the methods' modules;
- ``warm_start``             copying the tensors of another network that fit;
- ``history``, ``memory``    metrics of each epoch in a file; keeping freed memory for the next step;
- ``position_constraint``    the position constraint loss;
- ``pseudo_labels``          clusters of landmarks as soft labels, by ``kmeans``; ``contextual_kmeans``
                             clusters their outer products.
"""
