"""DFA's section 4.4 (Liu et al., ECCV 2016): a subset of DeepFashion that was not published.

10K images, 50 attributes. Recall and accuracy as fractions, by localisation.
"""

DATA = "DeepFashion, 10K images and 50 attributes of the authors' choice"
TOP5_RECALL = {"full image": 0.27, "bbox": 0.53, "human joints": 0.65, "fashion landmarks": 0.73}
HIT_20 = {"full image": 0.25, "bbox": 0.40, "human joints": 0.45, "fashion landmarks": 0.51}
