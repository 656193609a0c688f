"""What a table is made from, as the command line asked for it."""

from dataclasses import dataclass
from pathlib import Path

from fashion_ops.params import Params
from fashion_ops.workspace import Workspace


@dataclass(frozen=True)
class Request:
    """What to make a table from; None leaves a choice to the table.

    ``images``: how many validation images to judge, drawn by the seed; None takes all.
    ``epochs``: length of each training run. ``backbones``: rows of tables that compare backbones.
    ``batch``: images of a measured training step. ``seeds``: a training of each; None is the
    parameters' own. ``answers``: ways of finetuning rare categories that are trained too. ``config``:
    a file of training settings.
    """

    params: Params
    ws: Workspace
    images: int | None = None
    epochs: int | None = None
    backbones: tuple[str, ...] | None = None
    batch: int | None = None
    seeds: tuple[int, ...] | None = None
    answers: tuple[str, ...] | None = None
    config: Path | None = None
