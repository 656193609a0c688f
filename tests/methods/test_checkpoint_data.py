"""A checkpoint belongs to its training data: every data set has a name, and ``fit`` refuses another."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_quads import quads

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.alignment.data import AlignmentSamples
from fashion_ops.methods.centernet.data import Images
from fashion_ops.methods.detection.data import LabelledImages, Labels
from fashion_ops.methods.parts.regions import Regions
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.params import TrainingConfig

BLACK = np.zeros((40, 40, 3), np.uint8)
GARMENTS = TrainingGarments(
    np.arange(3),
    np.array([1, 2, 2]),
    np.tile(np.array([4, 4, 30, 30], np.float32), (3, 1)),
    np.full((3, 5, 3), 2, np.float32),
    np.full((3, 4), 0.25, np.float32),
)
QUADS = quads(4, 0)


def moved(array: np.ndarray) -> np.ndarray:
    """A copy with one changed value."""
    out = array.copy()
    out.flat[-1] += 1
    return out


def regions(**changes):
    return Regions(replace(GARMENTS, **changes), lambda _: BLACK, (16, 16), 1.2)


def images(ids=None, **changes):
    return Images(ids or np.arange(3), replace(GARMENTS, **changes), lambda _: BLACK, 32)


def labelled(boxes=GARMENTS.boxes, ids=(0, 1, 2), outline=9.0):
    outlines = [[np.array([0.0, 0, 9, 0, 9, outline])]]
    labels = {i: Labels(boxes[i : i + 1], np.array([1]), outlines) for i in range(3)}
    return LabelledImages(np.array(ids), labels, lambda _: BLACK, masks=True)


def samples(visibility=None, previous=None, rows=None):
    shapes = QUADS.shapes
    if visibility is not None:
        shapes = replace(shapes, visibility=visibility)
    return AlignmentSamples(QUADS.crops, shapes, previous, rows=rows)


def test_predictions_that_a_refiner_starts_from_are_no_part_of_the_name():
    """Their last bits differ between the nodes that a training may go on on."""
    predicted = replace(GARMENTS, landmarks=moved(GARMENTS.landmarks))
    here = Regions(predicted, lambda _: BLACK, (16, 16), 1.2, labelled=GARMENTS)
    assert here.fingerprint() == regions().fingerprint()


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (regions, {name: moved(v) for name, v in vars(GARMENTS).items() if v is not None}),
        (
            images,
            {n: moved(getattr(GARMENTS, n)) for n in ("category_id", "boxes", "landmarks")},
        ),
        (labelled, {"boxes": moved(GARMENTS.boxes), "ids": (0, 2, 1), "outline": 8.0}),
        (
            samples,
            {
                "visibility": moved(QUADS.shapes.visibility),
                "previous": QUADS.shapes.positions,
                "rows": np.arange(3),
            },
        ),
    ],
)
def test_a_data_set_is_named_after_all_of_its_labels(make, changes):
    names = [
        make().fingerprint(),
        *(make(**{key: value}).fingerprint() for key, value in changes.items()),
    ]
    assert len(set(names)) == len(names) == len(changes) + 1
    assert make().fingerprint() == names[0]


class Values(torch.utils.data.Dataset):
    def __init__(self, values):
        self.values = np.asarray(values, np.float32)

    def fingerprint(self):
        return str(self.values.tolist())

    def __len__(self):
        return len(self.values)

    def __getitems__(self, indices):
        return {"x": torch.from_numpy(self.values[indices][:, None])}


class Line(TrainingModule):
    def __init__(self):
        super().__init__(TrainingConfig(epochs=2, batch_size=2, precision="fp32"), 0)
        self.model = torch.nn.Linear(1, 1)

    def losses(self, batch, generator):
        return {"loss": self.model(batch["x"]).square().mean()}


def test_a_run_does_not_go_on_from_a_checkpoint_of_other_data(tmp_path):
    checkpoint = tmp_path / "run.ckpt"
    fit(Line(), Values([1, 2, 3, 4]), TrainerOptions(checkpoint=checkpoint))
    for data, weights in ((Values([1, 2, 3, 5]), None), (Values([1, 2, 3, 4]), np.ones(4))):
        with pytest.raises(ValueError, match=r"of another run, with training data .*delete it"):
            fit(Line(), data, TrainerOptions(checkpoint=checkpoint), weights)
    assert len(fit(Line(), Values([1, 2, 3, 4]), TrainerOptions(checkpoint=checkpoint))) == 2
