"""CenterNet's backbones."""
