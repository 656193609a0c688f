"""How well the visibility of landmarks is predicted: visible, occluded, or cut off by the photo.

Most landmarks are visible, so that accuracy says little by itself: a model that calls all of them
visible reaches ``always_visible``. Cut-off landmarks are the rare state that users need to know.
"""

from dataclasses import dataclass

import numpy as np

VISIBLE, CUT_OFF = 0, 2  # states; 1 is occluded


@dataclass(frozen=True)
class VisibilityScore:
    """Visibility over the landmarks that count; a share of nothing is NaN.

    Attributes:
        accuracy: share of landmarks whose state is predicted.
        always_visible: share that is visible, the accuracy without any model.
        cut_off_precision: share of those predicted to be cut off that are.
        cut_off_recall: share of those cut off that are predicted to be.
    """

    accuracy: float
    always_visible: float
    cut_off_precision: float
    cut_off_recall: float

    def metrics(self) -> dict[str, float]:
        """Return the scores by the names that the step ``dfa_stage`` reports, without those NaN."""
        named = {
            "visibility accuracy": self.accuracy,
            "always visible": self.always_visible,
            "cut-off precision": self.cut_off_precision,
            "cut-off recall": self.cut_off_recall,
        }
        return {name: value for name, value in named.items() if not np.isnan(value)}


def score_visibility(predicted: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> VisibilityScore:
    """Score predicted states.

    Args:
        predicted: (N, n), 0 visible, 1 occluded, 2 cut off.
        truth: (N, n), the same states.
        counted: bool (N, n), the landmarks that the garment's type has.
    """
    cut, called = (truth == CUT_OFF) & counted, (predicted == CUT_OFF) & counted
    both = int((cut & called).sum())
    return VisibilityScore(
        _share(int(((predicted == truth) & counted).sum()), int(counted.sum())),
        _share(int(((truth == VISIBLE) & counted).sum()), int(counted.sum())),
        _share(both, int(called.sum())),
        _share(both, int(cut.sum())),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
