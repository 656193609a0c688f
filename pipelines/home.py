"""Where Dagster keeps its history, and where the pipeline's files are.

``python -m pipelines.home`` prepares DAGSTER_HOME for ``dagster dev``.
"""

import os
from functools import cached_property
from pathlib import Path

import dagster as dg

from fashion_ops.ledger import Ledger
from fashion_ops.params import Params, load_params
from fashion_ops.workspace import Workspace, find_root


class RepositoryResource(dg.ConfigurableResource):
    """The repository that assets read and write."""

    root: str

    @property
    def workspace(self) -> Workspace:
        return Workspace(Path(self.root))

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.workspace.root)

    def params(self) -> Params:
        """``params.yaml`` as it is now."""
        return load_params(self.workspace.params)


def prepare_home(root: Path) -> Path:
    """Make DAGSTER_HOME (default ``ROOT/.dagster``) with this repository's settings; absolute.

    The settings are ``infra/dagster.yaml`` and, for each NAME in ``DAGSTER_SETTINGS``,
    ``infra/dagster-NAME.yaml``.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or root / ".dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    more = [f"dagster-{name}.yaml" for name in os.environ.get("DAGSTER_SETTINGS", "").split()]
    settings = b"".join((root / "infra" / name).read_bytes() for name in ("dagster.yaml", *more))
    target = home / "dagster.yaml"
    if not target.is_file() or target.read_bytes() != settings:
        target.write_bytes(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


if __name__ == "__main__":
    prepare_home(find_root())
