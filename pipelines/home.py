"""Prepares DAGSTER_HOME, the folder of the Dagster instance: ``python -m pipelines.home``."""

import os
import sys
from pathlib import Path

from fashion_ops.params import Notify
from fashion_ops.workspace import find_root
from pipelines.notify import find_webhook


def prepare_home(root: Path) -> Path:
    """Make DAGSTER_HOME (default ``root/.dagster``) with the settings of the repository at ``root``.

    The settings are ``infra/dagster.yaml`` and, for each NAME in the environment variable
    ``DAGSTER_SETTINGS``, ``infra/dagster-NAME.yaml``.

    Returns:
        The absolute path, which the environment variable DAGSTER_HOME of this process now has.
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


def main() -> int:
    """Prepare DAGSTER_HOME; returns 2, with a message, if alarms could not be delivered."""
    prepare_home(find_root())
    try:
        find_webhook(Notify())  # that of the environment; params.yaml is checked when it is read
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
