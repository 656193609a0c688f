"""GLE's Table 1: normalised error of each landmark, on FLD with k = 3, on DeepFashion with k = 2."""

FLD = (0.0386, 0.0391, 0.0675, 0.0672, 0.0576, 0.0605, 0.0615, 0.0621, 0.0568)
DEEPFASHION = (0.0312, 0.0324, 0.0427, 0.0434, 0.0361, 0.0373, 0.0442, 0.0475, 0.0393)
