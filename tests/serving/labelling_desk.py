"""A service with the page, in a workspace of its own, whose champion finds planted garments."""

from contextlib import contextmanager
from types import SimpleNamespace

from labelled_photos import Planted, draw, items
from page_client import Client
from running_service import Fixed, running

from fashion_ops.serving.labelling.desk import Desk
from fashion_ops.serving.labelling.queue import Ranking
from fashion_ops.workspace import Workspace

DRAWN = draw(6)  # photos and their labels
PHOTO, LABELS = next(d for d in DRAWN if len(items(d[1])) > 1)  # of several garments


@contextmanager
def desk_in(folder, drawn, *, limits=None, ranking=None, workspace=True, **settings):
    """Run it; yields its URL, workspace, desk and two people."""
    made = {}
    ws = Workspace(folder / "shop") if workspace else None
    if ws is not None:
        ws.inbox.mkdir(parents=True, exist_ok=True)

    def desk(service):
        made["desk"] = Desk(service, folder / "state", ws, ranking or Ranking())
        return made["desk"]

    with running(Fixed(Planted(drawn)), limits, desk, **settings) as url:
        people = {name: Client(url, name.title()) for name in ("ada", "ben")}
        yield SimpleNamespace(url=url, ws=ws, desk=made["desk"], **people)
