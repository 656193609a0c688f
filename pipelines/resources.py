"""The resource of all assets, checks and sensors: the repository that they read and write."""

import os
from functools import cached_property
from pathlib import Path

import dagster as dg

from fashion_ops.ledger import Ledger
from fashion_ops.params import Params, load_params
from fashion_ops.workspace import Workspace, write_whole

RUN_CLUSTER = "FASHION_OPS_RAY_CLUSTER"  # names the manifest of a Ray cluster that each run makes


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
        """``params.yaml`` as it is now.

        Raises:
            ValueError: see ``load_params``.
        """
        return load_params(self.workspace.params)

    def settings(self) -> Params:
        """See ``last_valid_params``."""
        return last_valid_params(self.workspace.root)


def last_valid_params(root: Path) -> Params:
    """``params.yaml`` as it was when it was last valid, for what must live while it is broken.

    Schedules, sensors and alarms take their settings from here, so that a mistake in the file neither
    switches them off nor silences them. Steps never do: ``RepositoryResource.params`` raises the error.
    A copy of the file in ``.dagster`` is the memory; without one the settings are the defaults.
    """
    file, copy = root / "params.yaml", root / ".dagster" / "params.yaml"
    try:
        params = load_params(file)
    except ValueError:
        try:
            return load_params(copy)
        except ValueError:
            return Params()
    try:
        text = file.read_bytes()
        if not copy.is_file() or copy.read_bytes() != text:
            write_whole(copy, text)
    except OSError:  # a workspace that can't be written
        pass
    return params


def run_cluster_manifest(root: Path) -> Path | None:
    """The manifest that FASHION_OPS_RAY_CLUSTER names, relative to ``root``; None if it is not set."""
    name = os.environ.get(RUN_CLUSTER)
    return root / name if name else None
