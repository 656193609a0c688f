"""Warm start: initialise a detector from the weights of another one.

Hourglass-768 starts from Hourglass-512 (DeepMark++), or a detector of 62 groups from one of 81. The
first one starts from a checkpoint of COCO as CenterNet publishes them.
"""

from pathlib import Path

from torch import nn

from fashion_ops.errors.reading import read_weights
from fashion_ops.methods.artifact import WEIGHTS, read_spec
from fashion_ops.methods.centernet.inference import METHOD
from fashion_ops.methods.centernet.published_weights import read_published
from fashion_ops.methods.parts.published_weights import FILES
from fashion_ops.methods.parts.warm_start import WarmStart, take_fitting


def warm_start(model: nn.Module, source: Path, backbone: str) -> WarmStart:
    """Copy all tensors that fit from another detector into ``model``, in place.

    Args:
        model: the network to train.
        source: a detector's folder, or a file that CenterNet published.
        backbone: the name of the model's backbone.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds no model.
        ValueError: it is a model of another method or backbone, or none of its parameters fits.
    """
    if source.suffix in FILES:
        file, weights = source, read_published(source, backbone, model)
    else:
        read_spec(source, METHOD)
        file, weights = source / WEIGHTS, read_weights(source / WEIGHTS)
    return take_fitting(model, weights, file, "train_detector.start_from")
