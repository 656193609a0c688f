"""Where the models of a service come from: an alias of the registry, or a folder."""

import os
from pathlib import Path

from fashion_ops import CHAMPION_URI
from fashion_ops.registry.followed import FollowedModel, subscribe
from fashion_ops.serving.champion import FixedFolder, Follower, Loader
from fashion_ops.shipped import SHIPPED, are_there, shipped_models
from fashion_ops.workspace import find_root

WEBHOOK = "fashion-ops-serve"  # MLflow takes lower-case letters, digits and ``._-``


def find_source(
    model: str | None, state: Path, loader: Loader, seconds: float = 10.0
) -> Follower | FixedFolder:
    """Return the source that ``model`` names, not started.

    Args:
        model: ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, a folder, or ``shipped`` for the models
            in the package. None follows the champion, and serves the models in the package until there
            is one.
        state: folder for local copies.
        loader: of the models.
        seconds: between two questions to the registry.

    Raises:
        ValueError: it names no model of a registry.
        FileNotFoundError: there is no such folder.
    """
    if model is None:
        followed = FollowedModel.parse(CHAMPION_URI)
        fallback = shipped_models() if are_there() else None
        return Follower(followed, _root(), state, loader, seconds, fallback)
    if model == SHIPPED:
        return FixedFolder(shipped_models(), state, loader)
    if model.startswith("models:"):
        return Follower(FollowedModel.parse(model), _root(), state, loader, seconds)
    folder = Path(model)
    if not folder.is_dir():
        raise FileNotFoundError(f"{model}: no folder of models; name one, or {CHAMPION_URI}")
    return FixedFolder(folder, state, loader)


def subscribe_to(source: Follower | FixedFolder, url: str, secret: str) -> bool:
    """Let MLflow post changes of aliases to ``url``; False for a folder or without webhooks.

    Raises:
        ServiceError: the registry does not answer, or fails.
        ValueError: it refuses the address.
    """
    return isinstance(source, Follower) and subscribe(source.root, WEBHOOK, url, secret)


def _root() -> Path:
    """The folder that the registry is found from; any, where the environment names a server."""
    return Path() if os.environ.get("MLFLOW_TRACKING_URI") else find_root()
