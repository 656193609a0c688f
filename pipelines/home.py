"""Prepares DAGSTER_HOME, the folder of the Dagster instance: ``python -m pipelines.home``."""

import os
import sys
from pathlib import Path

from fashion_ops.commands.answers import answered, debug_option
from fashion_ops.files.outputs import FileKind, check_file
from fashion_ops.files.publishing import write_whole
from fashion_ops.params import Notify
from fashion_ops.services import (
    POSTGRES_PORT,
    Service,
    await_answer,
    limit_postgres,
    speaks_postgres,
)
from fashion_ops.workspace import find_root
from pipelines.notify import find_webhook

SETTINGS = FileKind(
    "python -m pipelines.home", "`python -m pipelines.home` copies it into DAGSTER_HOME"
)
POSTGRES = "postgres"  # among DAGSTER_SETTINGS: Dagster's history is in PostgreSQL


def prepare_home(root: Path) -> Path:
    """Make DAGSTER_HOME (default ``root/.dagster``) with the settings of the repository at ``root``.

    The settings are ``infra/dagster.yaml`` and, for each NAME in the environment variable
    ``DAGSTER_SETTINGS``, ``infra/dagster-NAME.yaml``.

    Returns:
        The absolute path, which the environment variable DAGSTER_HOME of this process now has.

    Raises:
        OutputRefused: DAGSTER_HOME, elsewhere, has settings that somebody else made.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or root / ".dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    more = [f"dagster-{name}.yaml" for name in _settings()]
    settings = b"".join((root / "infra" / name).read_bytes() for name in ("dagster.yaml", *more))
    target = home / "dagster.yaml"
    if not target.is_file() or target.read_bytes() != settings:
        if home != (root / ".dagster").resolve():  # that folder is ours, whatever is in it
            check_file(target, SETTINGS)
        write_whole(target, settings)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def await_history() -> None:
    """Ask PostgreSQL whether it answers, if it holds Dagster's history.

    Raises:
        ServiceError: it does not answer.
    """
    limit_postgres()
    host = os.environ.get("DAGSTER_POSTGRES_HOST", "")
    if POSTGRES not in _settings() or not host or host.startswith("/"):  # or a socket of this host
        return
    port = int(os.environ.get("DAGSTER_POSTGRES_PORT") or POSTGRES_PORT)
    remedy = "start it, or correct DAGSTER_POSTGRES_HOST and DAGSTER_POSTGRES_PORT"
    service = Service("Dagster's PostgreSQL", f"{host}:{port}", remedy)
    await_answer(service, speaks_postgres(host, port))


def _settings() -> list[str]:
    """The names in the environment variable ``DAGSTER_SETTINGS``."""
    return os.environ.get("DAGSTER_SETTINGS", "").split()


def main(arguments: list[str] | None = None) -> None:
    """Prepare the home of this workspace; exit status 2 if alarms could not be delivered.

    ``--debug`` prints the traceback of an error.
    """
    with debug_option(list(sys.argv[1:] if arguments is None else arguments)), answered():
        prepare_home(find_root())
        find_webhook(Notify())  # that of the environment; params.yaml is checked when it is read


if __name__ == "__main__":
    main()
