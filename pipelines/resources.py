"""The resource of all assets, checks and sensors: the repository that they read and write."""

from functools import cached_property
from pathlib import Path

import dagster as dg

from fashion_ops.ledger import Ledger
from fashion_ops.params import Params, load_params
from fashion_ops.workspace import Workspace


class RepositoryResource(dg.ConfigurableResource):
    """The fashion-ops repository at ``root``: its workspace, ledger and parameters."""

    root: str

    @property
    def workspace(self) -> Workspace:
        """The folders that the steps read and write."""
        return Workspace(Path(self.root))

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, which is opened once."""
        return Ledger(self.workspace.root)

    def params(self) -> Params:
        """``params.yaml`` as it is now."""
        return load_params(self.workspace.params)
