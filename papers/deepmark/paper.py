"""The numbers that DeepMark++ (Sidnev et al., 2020, arXiv 2006.00710) prints, on DeepFashion2.

AP as fractions, validation split. Of Table 4 only the landmark half: its box half can't be read with
confidence (its numbers are in no order that the text agrees with).
"""

DATA = "DeepFashion2, 32,153 validation images"
PHONE = "Huawei P40 Pro (MNN, 4 threads)"
DESKTOP_GPU = "RTX 2080 Ti, PyTorch 1.4"

TABLE_1 = {  # backbone -> AP_pt with 294 and 62 channels, AP_box with 294 and 62
    "resnet50": (0.377, 0.365, 0.629, 0.627),
    "mdla34": (0.434, 0.422, 0.649, 0.651),
    "dla34_dcn": (0.466, 0.456, 0.679, 0.679),
}

TABLE_2 = {  # AP_pt, AP_box, milliseconds
    "baseline": (0.422, 0.651, 54.50),
    "NMS": (0.422, 0.652, 54.57),
    "technique 1": (0.428, 0.650, 54.61),
    "technique 2": (0.430, 0.651, 54.44),
    "technique 3": (0.431, 0.651, 54.81),
    "technique 4": (0.430, 0.651, 55.95),
    "combined": (0.445, 0.652, 56.76),
}

TABLE_4 = {  # AP_pt of Hourglass at 512 and 768
    "baseline": (0.529, 0.520),
    "+ post-processing": (0.545, 0.540),
    "+ NMS": (0.548, 0.549),
    "+ flip": (0.561, 0.563),
    "+ multi-scale": (0.568, 0.578),
    "+ PoseFix": (0.583, 0.591),
}

TABLE_5 = {  # AP_pt of visible landmarks, of visible and occluded ones, AP_box
    "scale: small": (0.408, 0.346, 0.574),
    "scale: moderate": (0.560, 0.497, 0.683),
    "scale: large": (0.467, 0.434, 0.667),
    "occlusion: slight": (0.509, 0.490, 0.691),
    "occlusion: medium": (0.502, 0.421, 0.636),
    "occlusion: heavy": (0.209, 0.132, 0.285),
    "zoom-in: no": (0.536, 0.473, 0.663),
    "zoom-in: medium": (0.440, 0.393, 0.641),
    "zoom-in: large": (0.315, 0.295, 0.592),
    "viewpoint: no wear": (0.431, 0.418, 0.669),
    "viewpoint: frontal": (0.550, 0.482, 0.669),
    "viewpoint: side or back": (0.409, 0.345, 0.614),
    "overall": (0.507, 0.445, 0.652),
}

TABLE_6 = {  # side -> giga-operations of network, techniques, decode, all
    128: (2.423, 0.0008, 0.0004, 2.424),
    256: (9.691, 0.0028, 0.0015, 9.696),
    512: (38.765, 0.0113, 0.0058, 38.783),
}

TABLE_7 = {  # AP_pt, AP_box
    "short_sleeve_top": (0.606, 0.804),
    "long_sleeve_top": (0.507, 0.724),
    "short_sleeve_outwear": (0.175, 0.347),
    "long_sleeve_outwear": (0.458, 0.724),
    "vest": (0.426, 0.679),
    "sling": (0.297, 0.422),
    "shorts": (0.545, 0.721),
    "trousers": (0.443, 0.739),
    "skirt": (0.481, 0.740),
    "short_sleeve_dress": (0.586, 0.721),
    "long_sleeve_dress": (0.375, 0.542),
    "vest_dress": (0.481, 0.710),
    "sling_dress": (0.400, 0.605),
}

# What 62 groups save against 294 landmarks, percent. The bars of the figures are images; these are
# the text's numbers (3.1 "up to", 4.3 for mDLA-34 at 256x256).
FIGURE_4 = {"time": 26.0, "memory": 28.0}
FIGURE_12 = {"time": 25.0, "memory": 15.0}
FIGURE_12_UP_TO = {"time": 26.0, "memory": 37.0}
