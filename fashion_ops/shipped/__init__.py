"""The models in the package: a detector and a universal landmarker, for photos before any training.

``models`` is a bundle whose landmarks are those of the universal landmarker. ``python -m
bench.shipped.train`` made it; models/CARD.md says of what, under which licences, and how good it is.
"""

from pathlib import Path

SHIPPED = "shipped"  # names these models wherever a folder of models can be named


def are_there() -> bool:
    """Whether this installation has the shipped models."""
    return (Path(__file__).parent / "models").is_dir()


def shipped_models() -> Path:
    """Return the folder of the shipped models.

    Raises:
        FileNotFoundError: this installation lacks them.
    """
    folder = Path(__file__).parent / "models"
    if not are_there():
        raise FileNotFoundError(
            f"{folder}: the shipped models are missing; install fashion-ops again, or train models"
        )
    return folder


def model_folder(name: str | Path, part: str, root: Path = Path()) -> Path:
    """Return the folder of one model that a parameter such as ``start_from`` names.

    Args:
        name: ``shipped``, or the folder of a model.
        part: ``detector`` or ``landmarker``, of the shipped models.
        root: where a relative path starts.

    Raises:
        FileNotFoundError: this installation lacks the shipped models.
    """
    return shipped_models() / part if str(name) == SHIPPED else root / name
