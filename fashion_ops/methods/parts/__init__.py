"""What several methods share: crops, augmentation, heatmaps, backbones, fitting, pseudo-labels."""
