"""Training of DeepPose's three stages."""

import torch

from fashion_ops.methods.alignment.data import AlignmentData, AlignmentSamples
from fashion_ops.methods.alignment.deeppose.inference import DeepPose, correct
from fashion_ops.methods.alignment.deeppose.model import PatchStage
from fashion_ops.methods.alignment.deeppose.module import PatchModule
from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.training import train_stage
from fashion_ops.methods.parts.trainer import TrainerOptions, fit
from fashion_ops.params import DfaStage


def train_deeppose(
    config: DfaStage,
    data: AlignmentData,
    seed: int,
    first: TrainedStage | None = None,
    options: TrainerOptions | None = None,
) -> DeepPose:
    """Train 1 + N + N networks with DFA's protocol, without pseudo-labels.

    With ``config.inherit`` stage 2 starts from stage 1's backbone and stage 3 from stage 2, as in DFA.

    Args:
        config: the section of DFA.
        data: the training garments.
        seed: of weights, order and augmentation.
        first: a trained stage 1 (DFA's "direct regression"); None trains it.
        options: how each stage's training is carried out; without ``checkpoint``.
    """
    if first is None:
        first = train_stage(config.model_copy(update={"clusters": 0}), 1, data, seed, options=options)
    positions, stages = first.predict(data.crops).positions, []
    for number in (2, 3):
        stage_seed = seed + 1_000 * number
        torch.manual_seed(stage_seed)
        pretrained = None if config.inherit else config.pretrained
        stage = PatchStage(
            config.backbone, config.input_size, len(data.mirror), pretrained, config.dropout
        )
        if config.inherit and not stages:
            stage.warm_start(first.nets[0])
        elif config.inherit:
            stage.load_state_dict(stages[-1].state_dict())
        samples = AlignmentSamples(data.crops, data.shapes, positions, rows=data.shapes.labelled)
        fit(PatchModule(stage, config, data.mirror, stage_seed), samples, options)
        positions = correct(stage, data.crops, positions, config.precision).positions
        stages.append(stage)
    return DeepPose(first, tuple(stages))
