"""The base of all sections of ``params.yaml`` and of all training configurations; reading YAML."""

from itertools import accumulate, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Stride32 = Annotated[int, Field(ge=32, multiple_of=32)]  # HRNet halves its input five times
Crop = tuple[Stride32, Stride32]
Model = TypeVar("Model", bound=BaseModel)
SECRET = "notify"  # the section with the webhook's address


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


CLIP = Field(
    default=5.0, gt=0, description="largest norm of all gradients together; null does not clip"
)


FREEZE = Field(
    default=False,
    description="keep the pretrained backbone as it is, and train only what follows it",
)


REAL_SHARE = Field(
    default=None,
    gt=0,
    le=1,
    description="share of the samples that are real photos, not images that the wardrobe drew; null "
    "draws all alike",
)


class TrainingConfig(Section):
    """One optimisation run: AdamW (Adam if ``weight_decay`` is 0), one-cycle or stepped."""

    lr: float = Field(default=2e-3, gt=0)
    lr_steps: tuple[tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0)]], ...] | None = (
        Field(default=None, description="[epochs, lr] of each step in turn; null is one-cycle up to lr")
    )
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=1, description="of all devices together")
    weight_decay: float = Field(default=1e-4, ge=0)
    clip_gradients: float | None = CLIP
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @model_validator(mode="after")
    def _steps_fill_the_run(self) -> "TrainingConfig":
        if self.lr_steps is None:
            return self
        total = sum(epochs for epochs, _ in self.lr_steps)
        if total != self.epochs:
            raise ValueError(f"lr_steps last {total} epochs, epochs is {self.epochs}: must be equal")
        if self.lr_steps[0][1] != self.lr:
            raise ValueError(
                f"lr_steps start with {self.lr_steps[0][1]}, lr is {self.lr}: must be equal"
            )
        return self

    def with_epochs(self, epochs: int) -> Self:
        """Copy with another length; ``lr_steps`` keep their shares of the run.

        A step that gets less than half an epoch is left out.
        """
        changes: dict[str, Any] = {"epochs": epochs}
        if self.lr_steps is not None:
            ends = [0, *accumulate(n for n, _ in self.lr_steps)]
            ends = [round(end * epochs / self.epochs) for end in ends]
            lengths = [end - start for start, end in pairwise(ends)]
            steps = [(n, lr) for n, (_, lr) in zip(lengths, self.lr_steps, strict=True) if n]
            changes |= {"lr_steps": steps, "lr": steps[0][1]}
        return type(self).model_validate(self.model_dump() | changes)


def read_yaml(model: type[Model], path: Path) -> Model:
    """Read settings from a YAML file; missing keys have their defaults.

    Raises:
        ValueError: the file is missing, is no YAML or breaks a rule; the message names key and value.
    """
    values = read_mapping(path)
    try:
        return model.model_validate(values)
    except ValidationError as error:  # it repeats the values, of which one is a secret
        raise ValueError(f"{path}: not valid: {explain(error)}") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; empty for an empty file.

    Raises:
        ValueError: the file is missing, is no YAML or holds something else; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ValueError(f"{path}: cannot be read as YAML: {why}; check the path") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: cannot be read as YAML: not UTF-8: {error}; save it so") from error
    if line := conflict_line(text):
        raise ValueError(
            f"{path}: line {line} starts a merge conflict; resolve it, or take one side with "
            f"`git checkout --ours {path.name}`"
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = explain_yaml(error)
        raise ValueError(f"{path}: cannot be read as YAML: {why}; correct it") from None
    except (ValueError, RecursionError) as error:  # a date that is none, 10,000 brackets
        raise ValueError(f"{path}: cannot be read as YAML: {error}; correct it") from error
    if values is not None and not isinstance(values, dict):
        short = repr(values) if len(repr(values)) < 40 else f"{repr(values)[:37]}..."
        raise ValueError(f"{path}: holds {short}; must hold a mapping, as in `seed: 0`")
    return values or {}


def conflict_line(text: str) -> int | None:
    """Number of the line where git left its first merge conflict; None if there is none."""
    lines = text.splitlines()
    return next((n for n, line in enumerate(lines, 1) if line.startswith("<<<<<<< ")), None)


def explain_yaml(error: Exception) -> str:
    """The line, the column and what is wrong there, from an error of PyYAML or ruamel.yaml.

    The text of the line stays out: it may hold a secret.
    """
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}" if mark else str(what)


def explain(error: ValidationError) -> str:
    """Each error after the other on one line: the key, what is wrong, the value unless it is secret."""
    parts = []
    for e in error.errors():
        value = repr(e["input"])
        hidden = isinstance(e["input"], dict) or SECRET in e["loc"]
        got = "" if hidden else f" (got {value[:60]})"
        key = ".".join(map(str, e["loc"])).replace("\n", " ")
        parts.append(f"{key}: {e['msg']}{got}" if key else f"{e['msg']}{got}")
    return "; ".join(parts)


def check_frozen(freeze_backbone: bool, *weights: str | None) -> None:
    """Refuse a backbone that stays as it was drawn at random.

    Args:
        freeze_backbone: whether it is frozen.
        weights: what it may start from; None is nothing.

    Raises:
        ValueError: both are so.
    """
    if freeze_backbone and all(name is None for name in weights):
        raise ValueError(
            "freeze_backbone keeps the weights that the backbone starts with, which are random: name "
            "pretrained or start_from, or set it to false"
        )
