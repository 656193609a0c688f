"""Prepares DAGSTER_HOME, the folder of the Dagster instance: ``python -m pipelines.home``."""

import os
import sys
from pathlib import Path

from fashion_ops.commands.answers import answered, debug_option
from fashion_ops.workspace import find_root


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


def main(arguments: list[str] | None = None) -> None:
    """Prepare the home of this workspace; ``--debug`` prints the traceback of an error."""
    with debug_option(list(sys.argv[1:] if arguments is None else arguments)), answered():
        prepare_home(find_root())


if __name__ == "__main__":
    main()
