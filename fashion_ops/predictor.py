"""Alias: models registered before ``fashion_ops.inference`` existed import ``Predictor`` from here."""

from fashion_ops.inference.predictor import Predictor, decode_photo

__all__ = ["Predictor", "decode_photo"]
