"""The base of all sections of ``params.yaml`` and of all training configurations; reading YAML."""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Stride32 = Annotated[int, Field(ge=32, multiple_of=32)]  # HRNet halves its input five times
Crop = tuple[Stride32, Stride32]
Model = TypeVar("Model", bound=BaseModel)
SECRET = "notify"  # the section with the webhook's address


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingConfig(Section):
    """One optimisation run: AdamW (Adam if ``weight_decay`` is 0), one-cycle or stepped."""

    lr: float = Field(default=2e-3, gt=0)
    lr_steps: tuple[tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0)]], ...] | None = (
        Field(default=None, description="[epochs, lr] of each step in turn; null is one-cycle up to lr")
    )
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=1, description="of all devices together")
    weight_decay: float = Field(default=1e-4, ge=0)
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


def read_yaml(model: type[Model], path: Path) -> Model:
    """Read settings from a YAML file; missing keys have their defaults.

    Raises:
        ValueError: the file is missing, is no YAML or breaks a rule; the message names key and value.
    """
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {explain_yaml(error)}") from None
    except ValidationError as error:  # it repeats the values, of which one is a secret
        raise ValueError(f"{path}: not valid\n{explain(error)}") from None


def explain_yaml(error: Exception) -> str:
    """What is wrong and where, without the text of the line, which may hold a secret."""
    mark = getattr(error, "problem_mark", None)  # of PyYAML's and of ruamel.yaml's errors
    if mark is None:
        return str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', None)}"


def explain(error: ValidationError) -> str:
    """One line for each error: the key, what is wrong, the value unless it is one of ``SECRET``."""
    lines = []
    for e in error.errors():
        hidden = isinstance(e["input"], dict) or SECRET in e["loc"]
        got = "" if hidden else f" (got {e['input']!r})"
        lines.append(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}{got}")
    return "\n".join(lines)
