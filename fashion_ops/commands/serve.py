"""``fashion-ops serve``: the service on this machine."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fashion_ops import CHAMPION_URI
from fashion_ops.commands.shared import between, complain
from fashion_ops.files.outputs import check_above
from fashion_ops.services import ServiceError
from fashion_ops.workspace import current_workspace

if TYPE_CHECKING:
    from fashion_ops.serving.champion import FixedFolder, Follower

MOST = 1e6  # of an option: seconds, megabytes or megapixels
LABELLING = "labelling"  # in the state folder: photos in work
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_address(host: str, port: int) -> None:
    """Check that a service may listen there, before it loads models for a minute.

    Raises:
        ValueError: another program does, or it is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ValueError(
            f"--host {host} --port {port}: cannot be listened on: {why}; choose another, or --port 0 "
            "for a free one"
        ) from error


def _subscribe(source: "Follower | FixedFolder", webhook: str, secret: str) -> None:
    """Let MLflow post to ``--webhook``; complains if it does not, because the service polls as well."""
    from fashion_ops.serving.sources import subscribe_to

    asked = "the registry is asked every --poll seconds only"
    try:
        if not subscribe_to(source, webhook, secret):
            complain(f"--webhook {webhook}: the registry has no webhooks; {asked}")
    except (ServiceError, ValueError) as error:
        complain(f"--webhook {webhook}: {error}; {asked}")


def serve(
    model: Annotated[
        str | None,
        typer.Option(
            help="models:/NAME@ALIAS, which is followed, a folder of models, or shipped: the models in "
            f"the package. Default: {CHAMPION_URI}, and those of the package until there is one.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; by default this machine's own.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    engine: Annotated[
        Literal["openvino", "torch"],
        typer.Option(help="openvino runs the whole pipeline exported, on the CPU; torch also on GPUs."),
    ] = "openvino",
    state: Annotated[
        Path, typer.Option(help="Folder for copies of versions; keep it across restarts.")
    ] = Path(".serving"),
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of openvino; 0: all cores.")] = 0,
    poll: Annotated[
        float,
        typer.Option(
            callback=between(0, MOST, above=True), help="Seconds between looks at the registry."
        ),
    ] = 10.0,
    webhook: Annotated[
        str | None,
        typer.Option(
            help="Public URL of /v1/champion; MLflow posts moves of the alias there, signed with "
            "FASHION_OPS_WEBHOOK_SECRET."
        ),
    ] = None,
    body_mb: Annotated[
        float, typer.Option(callback=between(0, MOST, above=True), help="Megabytes of a request.")
    ] = 32.0,
    photos: Annotated[int, typer.Option(min=1, help="Photos of a request and of a batch.")] = 16,
    megapixels: Annotated[
        float, typer.Option(callback=between(0, MOST, above=True), help="Megapixels of a photo.")
    ] = 24.0,
    queue: Annotated[int, typer.Option(min=1, help="Requests at once; more get 429.")] = 64,
    seconds: Annotated[
        float, typer.Option(callback=between(0, MOST, above=True), help="That a request may take.")
    ] = 30.0,
    ranking: Annotated[
        Path | None,
        typer.Option(help="File of `fashion-ops select`: photos that the page at /label offers."),
    ] = None,
) -> None:
    """Answer HTTP requests with garments (POST /v1/garments) and sizes (/v1/sizes).

    The page at /label takes corrections, /model shows the cards, /docs the requests.

    The service follows the alias in the registry and switches between two requests. Where the variable
    FASHION_OPS_TOKEN is set, requests must carry it as a bearer token.
    """
    check_above(state / LABELLING / "photo")
    import uvicorn

    from fashion_ops.serving.app import create_app
    from fashion_ops.serving.champion import FixedFolder
    from fashion_ops.serving.labelling.desk import Desk
    from fashion_ops.serving.labelling.queue import Ranking
    from fashion_ops.serving.limits import Limits
    from fashion_ops.serving.observing import log_json
    from fashion_ops.serving.settings import TOKEN, WEBHOOK_SECRET, ServiceSettings

    limits = Limits(body_mb=body_mb, photos=photos, megapixels=megapixels, queue=queue, seconds=seconds)
    if webhook and not os.environ.get(WEBHOOK_SECRET):
        raise ValueError(f"--webhook {webhook}: set {WEBHOOK_SECRET}, which MLflow signs with")
    ranked = Ranking.read(ranking) if ranking else Ranking()
    service = ServiceSettings(
        model=model, engine=engine, state=state, threads=threads, poll=poll, limits=limits
    ).make()
    check_address(host, port)
    if host not in LOOPBACK and not service.token:
        complain(f"--host {host}: other machines may ask without a token; set {TOKEN} to require one")
    if isinstance(service.source, FixedFolder):
        service.source.start()  # what is wrong with it is said here, before anything listens
    log_json()
    if webhook:
        _subscribe(service.source, webhook, service.webhook_secret)
    ws = current_workspace()
    desk = Desk(service, state / LABELLING, ws if ws.params.is_file() else None, ranked)
    uvicorn.run(
        create_app(service, desk),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=30,
    )
