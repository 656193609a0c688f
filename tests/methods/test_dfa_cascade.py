"""DFA: the cascade on drawn quadrilaterals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_quads import MIRROR, PARAMS, error, mean_shape, quads

from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.routing import (
    EASY,
    HARD,
)
from fashion_ops.methods.alignment.dfa.training import PreviousStage, train_stage
from fashion_ops.methods.parts.device import CPU


def run_cascade(params):
    """Three stages trained on 320 quadrilaterals, and their predictions for 160 others."""
    train, test = quads(320, 1), quads(160, 2)
    stages, estimates, previous = [], [], None
    for number in (1, 2, 3):
        stage = train_stage(params, number, train, 0, previous)
        known = None if previous is None else previous.estimate
        previous = PreviousStage(stage, stage.predict(train.crops, known))
        estimates.append(stage.predict(test.crops, estimates[-1] if estimates else None))
        stages.append(stage)
    return train, test, stages, estimates


@pytest.fixture(scope="module")
def cascade():
    return run_cascade(PARAMS.model_copy(update={"epsilon": None}))


def test_the_stages_learn_under_the_papers_sgd():
    """Stage 1 beats the mean shape, stage 2 corrects it by a fifth at least, stage 3 stage 2."""
    sgd = PARAMS.model_copy(update={"optimizer": "sgd", "lr": 0.05})
    train, test, _, estimates = run_cascade(sgd)
    errors = [error(mean_shape(train.shapes, test.shapes), test.shapes)]
    errors += [error(e.positions, test.shapes) for e in estimates]
    assert errors[1] < 0.95 * errors[0] and errors[2] < 0.8 * errors[1], errors
    assert errors[3] < errors[2], errors


def test_each_stage_is_better_than_the_one_before(cascade):
    """Stage 1 beats the mean shape by a quarter, the others their predecessor by 2 %."""
    train, test, _, estimates = cascade
    shapes = test.shapes
    errors = [error(mean_shape(train.shapes, shapes), shapes)]
    errors += [error(e.positions, shapes) for e in estimates]
    assert errors[1] < 0.75 * errors[0], errors
    assert errors[2] < 0.98 * errors[1] and errors[3] < 0.98 * errors[2], errors


def test_three_forward_passes_of_four_networks(cascade):
    _, test, stages, estimates = cascade
    assert [len(s.nets) for s in stages] == [1, 1, 2]
    assert sum(e.passes for e in estimates) == 3
    assert 0 < (estimates[2].branch == HARD).mean() < 1
    average = TrainedStage(stages[2].nets, stages[2].labels, stages[2].spec)
    both = average.predict(test.crops, estimates[1])
    assert both.passes == 2 and (both.branch == -1).all()
    easy = estimates[2].branch == EASY
    one = TrainedStage(stages[2].nets[:1], None, stages[2].spec)
    alone = one.predict(test.crops, estimates[1])
    np.testing.assert_allclose(estimates[2].positions[easy], alone.positions[easy], atol=1e-6)


def test_a_stage_survives_the_disk(cascade, tmp_path):
    _, test, stages, estimates = cascade
    stages[2].save(tmp_path)
    again = TrainedStage.load(tmp_path, CPU)
    predicted = again.predict(test.crops, estimates[1]).positions
    np.testing.assert_array_equal(predicted, estimates[2].positions)
    assert again.labels is not None
    np.testing.assert_array_equal(again.labels.centers, stages[2].labels.centers)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["centers.safetensors", "easy", "hard"]


def test_stage_3_can_take_stage_2s_pseudo_labels(cascade):
    """Table 5: labels enter beside the positions, mirrored where the crop is, and change the output."""
    train, test, stages, estimates = cascade
    config = PARAMS.model_copy(update={"epsilon": 0.18, "epochs": 1, "label_input": True})
    known = stages[0].predict(train.crops)
    before = PreviousStage(stages[1], stages[1].predict(train.crops, known))
    stage = train_stage(config, 3, train, 0, before)
    assert stage.spec["label_inputs"] == 6 == stage.nets[0].label_inputs
    predicted = stage.predict(test.crops, estimates[1]).positions
    shuffled = replace(estimates[1], labels=estimates[1].labels[::-1].copy())
    one = TrainedStage(stage.nets[:1], None, stage.spec)
    assert not np.array_equal(one.predict(test.crops, shuffled).positions, predicted)
    labels = stages[1].labels
    assert labels is not None
    mirrored = labels.mirrored(MIRROR)
    np.testing.assert_allclose(mirrored.sum(1), 1)
    image = labels.centers[0][MIRROR] * [-1, 1]
    nearest = np.linalg.norm((labels.centers - image).reshape(6, -1), axis=1).argmin()
    assert mirrored[0].argmax() == nearest
    with pytest.raises(ValueError, match="set clusters above 0"):
        plain = replace(stages[1], labels=None)
        train_stage(config, 3, train, 0, PreviousStage(plain, before.estimate))


def test_a_stage_refuses_the_crops_of_another(cascade):
    train, _, stages, _ = cascade
    wider = PARAMS.model_copy(update={"padding": 1.5})
    before = PreviousStage(stages[0], stages[0].predict(train.crops))
    with pytest.raises(ValueError, match=r"stage 1 was trained with padding 1\.0 \(here 1\.5\)"):
        train_stage(wider, 2, train, 0, before)


def test_a_stage_can_start_afresh(cascade):
    """`inherit: false`, as published: stage 2's backbone is not that of stage 1."""
    train, _, stages, _ = cascade
    config = PARAMS.model_copy(update={"inherit": False, "epochs": 1, "lr": 1e-9})
    before = PreviousStage(stages[0], stages[0].predict(train.crops))
    fresh, kept = (
        train_stage(config.model_copy(update={"inherit": inherit}), 2, train, 0, before).nets[0]
        for inherit in (False, True)
    )
    first = stages[0].nets[0].trunk.fc6.weight
    torch.testing.assert_close(kept.trunk.fc6.weight, first, atol=1e-5, rtol=1e-3)
    assert (fresh.trunk.fc6.weight - first).abs().max() > 0.01


def test_a_stage_needs_the_one_before():
    with pytest.raises(ValueError, match="stages 2 and 3 need the previous stage"):
        train_stage(PARAMS, 2, quads(4, 0), 0)
