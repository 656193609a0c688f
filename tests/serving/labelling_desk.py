"""A service with the page, in a workspace of its own, whose champion finds planted garments."""

from contextlib import contextmanager
from types import SimpleNamespace
from urllib.parse import quote

import requests
from labelled_photos import Planted
from running_service import Fixed, running

from fashion_ops.serving.labelling.desk import Desk
from fashion_ops.serving.labelling.queue import Ranking
from fashion_ops.workspace import Workspace


class Client:
    """A person at the page."""

    def __init__(self, url, person, **headers):
        self.url, self.headers = url, {"X-Person": quote(person), **headers}

    def ask(self, method, path, **options):
        address = f"{self.url}/v1/labels{path}"
        return requests.request(method, address, headers=self.headers, timeout=60, **options)

    def drop(self, data, name="shirt.jpg"):
        return self.ask("POST", "/photos", params={"name": name}, data=data)

    def change(self, draft, garments, *, done=False):
        body = {"revision": draft["revision"], "garments": garments, "done": done}
        return self.ask("PUT", f"/photos/{draft['photo']}", json=body)

    def listing(self):
        return self.ask("GET", "/photos").json()

    def save(self, *drafts, ready=False):
        chosen = [{"photo": d["photo"], "revision": d["revision"]} for d in drafts]
        return self.ask("POST", "/batches", json={"photos": chosen, "ready": ready})


@contextmanager
def desk_in(folder, drawn, *, limits=None, ranking=(), workspace=True, **settings):
    """Run it; yields its URL, workspace, desk and two people."""
    made = {}
    ws = Workspace(folder / "shop") if workspace else None
    if ws is not None:
        ws.inbox.mkdir(parents=True, exist_ok=True)

    def desk(service):
        made["desk"] = Desk(service, folder / "state", ws, Ranking(list(ranking)))
        return made["desk"]

    with running(Fixed(Planted(drawn)), limits, desk, **settings) as url:
        people = {name: Client(url, name.title()) for name in ("ada", "ben")}
        yield SimpleNamespace(url=url, ws=ws, desk=made["desk"], **people)
