"""Alias of ``fashion_ops.inference.predictor`` for models that were registered before it existed."""

from fashion_ops.inference.predictor import Predictor, decode_photo

__all__ = ["Predictor", "decode_photo"]
