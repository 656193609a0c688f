"""The recipe of the models in the package: synthetic wardrobe, photos behind it, training, packing."""
