"""The numbers that the DFA paper prints: NE on FLD as fractions, strict PCP on LSP in percent."""

FLD = "FLD's own test images, VGG-16"
LSP = "LSP's 1,000 test images, VGG-16"

COLUMNS_2 = ("L. collar", "R. collar", "L. sleeve", "R. sleeve", "L. hem", "R. hem", "average")
TABLE_2 = {
    "1 - visibility": (0.104, 0.102, 0.213, 0.212, 0.141, 0.143, 0.153),
    "1 direct regression": (0.071, 0.071, 0.134, 0.130, 0.103, 0.102, 0.102),
    "1 + plabels (T=1)": (0.065, 0.065, 0.113, 0.112, 0.094, 0.095, 0.091),
    "1 + plabels (T=20)": (0.057, 0.058, 0.106, 0.104, 0.088, 0.089, 0.084),
    "2 direct regression": (0.051, 0.051, 0.098, 0.096, 0.082, 0.080, 0.078),
    "2 + plabels (abs.)": (0.050, 0.051, 0.097, 0.096, 0.080, 0.079, 0.076),
    "2 + plabels (offset)": (0.049, 0.050, 0.095, 0.093, 0.077, 0.078, 0.074),
    "3 direct regression": (0.049, 0.049, 0.094, 0.093, 0.074, 0.076, 0.073),
    "3 + two-branch": (0.048, 0.049, 0.094, 0.093, 0.073, 0.075, 0.072),
    "3 + auto-routing": (0.048, 0.049, 0.092, 0.091, 0.071, 0.073, 0.070),
    "3 + plabels (offset)": (0.048, 0.048, 0.091, 0.090, 0.071, 0.073, 0.069),
    "3 + plabels (c. offset)": (0.048, 0.048, 0.091, 0.089, 0.071, 0.072, 0.068),
}

COLUMNS_3 = ("normal pose", "medium pose", "large pose", "medium zoom-in", "large zoom-in")
TABLE_3 = {
    "1 direct regression": (0.079, 0.100, 0.111, 0.151, 0.193),
    "1 + plabels (T=20)": (0.064, 0.077, 0.085, 0.120, 0.156),
    "2 direct regression": (0.055, 0.072, 0.081, 0.104, 0.151),
    "2 + plabels (offset)": (0.053, 0.069, 0.078, 0.102, 0.148),
    "3 direct regression": (0.052, 0.069, 0.078, 0.096, 0.148),
    "3 + auto-routing": (0.051, 0.067, 0.077, 0.093, 0.146),
    "3 + plabels (c. offset)": (0.050, 0.066, 0.075, 0.091, 0.144),
}

COLUMNS_4 = ("torso", "head", "upper arms", "lower arms", "upper legs", "lower legs", "mean")
NAN = float("nan")
TABLE_4 = {
    "DeepPose": (NAN, NAN, 56.0, 38.0, 77.0, 71.0, NAN),
    "DFA": (90.8, 87.2, 70.4, 56.2, 80.6, 75.8, 74.4),
    "IDPR": (92.7, 87.8, 69.2, 55.4, 82.9, 77.0, 75.0),
    "IDPR + plabel": (93.5, 88.5, 72.3, 59.0, 83.9, 78.7, 77.0),
    "IDPR + auto-routing": (94.1, 88.9, 74.3, 61.5, 85.1, 80.4, 78.6),
}
