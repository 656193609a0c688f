"""Printed numbers on DeepFashion2's validation split: Lin, 2020, and svip-lab's HRNet.

AP as fractions.
"""

DATA = "DeepFashion2, 32,153 validation images"

TABLE_2 = {  # row -> AP_box, AP_kps
    "Cascade R-CNN, 294 channels": (0.707, 0.556),
    "Cascade R-CNN, 81": (0.707, 0.559),
    "HTC, 81": (0.764, 0.579),
    "+ hflip test": (0.764, 0.584),
    "+ finetune": (0.764, 0.612),
    "+ hflip train": (0.764, 0.614),
    "ground truth, 81": (1.0, 0.652),
}

TABLE_3 = {  # category -> train, validation, AP_box, AP_kps without and with finetuning
    "short_sleeve_top": (71645, 12556, 0.867, 0.734, 0.736),
    "long_sleeve_top": (36064, 5966, 0.814, 0.660, 0.670),
    "short_sleeve_outwear": (543, 142, 0.540, 0.382, 0.386),
    "long_sleeve_outwear": (13457, 2011, 0.823, 0.605, 0.619),
    "vest": (16095, 2113, 0.761, 0.590, 0.595),
    "sling": (1985, 322, 0.656, 0.470, 0.576),
    "shorts": (36616, 4167, 0.784, 0.625, 0.655),
    "trousers": (55387, 9586, 0.810, 0.560, 0.572),
    "skirt": (30835, 6522, 0.818, 0.601, 0.627),
    "short_sleeve_dress": (17211, 3127, 0.807, 0.689, 0.693),
    "long_sleeve_dress": (7907, 1477, 0.659, 0.496, 0.509),
    "vest_dress": (17949, 3352, 0.812, 0.592, 0.634),
    "sling_dress": (6492, 1149, 0.773, 0.586, 0.686),
}
TABLE_3_MEAN = (0.764, 0.584, 0.612)

# svip-lab's plain HRNet-w48, 294 channels, 210 epochs: ground-truth boxes, its detector's boxes.
PLAIN = (0.702, 0.579)
