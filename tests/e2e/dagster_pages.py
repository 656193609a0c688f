"""``dagster dev`` of a copy of the repository, and its pages as a user clicks through them in Chromium.

Nothing is downloaded: the browser is the system's. Runs are waited for through the webserver's API, on
an empty page, because a page that is watched costs more than the run it shows.
"""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from browser import FLAGS, find_browser
from clone import Clone
from playwright.sync_api import Error, Page, TimeoutError, sync_playwright

PATIENCE = 1500.0  # seconds that a busy machine may take for anything
BOX = "[class*=AssetNode_minimalAssetNodeBox]"  # of an asset, small
GROUP = "[class*=CollapsedGroupNode_collapsedGroupNodeBox]"
COLOURS = f"""() => Object.fromEntries([...document.querySelectorAll("{BOX}")].map(box =>
    [box.innerText, box.style.getPropertyValue("--minimal-border").match(/[a-z]+(?=\\)$)/)[0]]))"""
ALL_GREEN = f"""() => {{ const found = Object.values(({COLOURS})());
  return found.length > 0 && found.every(colour => colour == "green"); }}"""
ENDED = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED", "CANCELED")
BACKFILL = "{partitionBackfillsOrError(limit: 1) {... on PartitionBackfills {results {status}}}}"
RUN = "{runsOrError(limit: 1) {... on Runs {results {runId status}}}}"


class Pages:
    """What a user does on the pages of one Dagster."""

    def __init__(self, page: Page, address: str, log: Callable[[], str]) -> None:
        self.page, self.address, self.log = page, address, log

    def ask(self, query: str) -> dict[str, Any]:
        answer = self.page.request.post(f"{self.address}/graphql", data={"query": query})
        return answer.json()["data"]

    def open_graph(self) -> None:
        """The lineage of all assets, a box a group."""
        self.page.goto(f"{self.address}/asset-groups/")
        self.page.locator(f"{GROUP}, {BOX}").first.wait_for()

    def colours(self) -> dict[str, str]:
        """The colour of each asset's box in the graph, once they are all green or never get so.

        The graph is higher than the window, and what is out of sight has no box: it is turned.
        """
        self.open_graph()
        if self.page.locator(GROUP).count():
            self.page.keyboard.press("Alt+e")  # opens all; the browser remembers
            self.page.locator(BOX).first.wait_for()
        self.page.mouse.move(960, 500)
        found: dict[str, str] = {}
        for turn in (0, *[-300] * 5, *[300] * 10):
            self.page.mouse.wheel(0, turn)
            self.page.wait_for_timeout(300)
            if self.page.locator(BOX).count():
                with suppress(TimeoutError):
                    self.page.wait_for_function(ALL_GREEN, timeout=20_000)
                found |= self.page.evaluate(COLOURS)
        return found

    def materialize_all(self) -> str:
        """Press the button, launch; the backfill's status when it has ended."""
        self.open_graph()
        self.page.get_by_role("button", name="Materialize all").click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Launch backfill").click()
        self.page.get_by_text("Created backfill").wait_for()

        def ended() -> str:
            [found] = self.ask(BACKFILL)["partitionBackfillsOrError"]["results"]
            return found["status"] if found["status"] in ENDED else ""

        return self._idle_until(ended)

    def materialize_partition(self, asset: str, key: str) -> str:
        """On the partition's page; the run's status when it has ended."""
        self.open_partition(asset, key)
        before = self.ask(RUN)["runsOrError"]["results"][0]["runId"]
        self.page.get_by_role("button", name="Materialize").first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_text("1 partition", exact=True).wait_for()
        dialog.get_by_role("button", name="Launch 1 run").click()

        def ended() -> str:
            [run] = self.ask(RUN)["runsOrError"]["results"]
            over = run["status"] in ("SUCCESS", "FAILURE", "CANCELED")
            return run["status"] if over and run["runId"] != before else ""

        return self._idle_until(ended)

    def open_partition(self, asset: str, key: str) -> None:
        self.page.goto(f"{self.address}/assets/{asset}?view=partitions&partition={key}")
        self.page.get_by_text("Latest materialization").wait_for()

    def metadata(self) -> dict[str, str]:
        """What the open page shows, by name; of a number or a text."""
        self.page.get_by_text("dvc md5").wait_for()
        rows = [row.locator("td").all_inner_texts() for row in self.page.locator("tr").all()]
        return {row[0]: row[1] for row in rows if len(row) > 1}

    def image_width(self, name: str) -> int:
        """Pixels of an image among the open page's metadata, which opens in a dialog."""
        row = self.page.locator("tr", has=self.page.get_by_text(name, exact=True))
        row.get_by_text("[Show Markdown]").click()
        image = self.page.get_by_role("dialog").locator("img[src^='data:image/png']")
        image.wait_for()
        return image.evaluate("image => image.naturalWidth")

    def table(self, asset: str) -> list[list[str]]:
        """The rows of the table among an asset's metadata."""
        self.page.goto(f"{self.address}/assets/{asset}?view=events")
        self.page.get_by_text("Show schema").wait_for()
        rows = self.page.locator("table table tr").all()
        return [row.locator("th, td").all_inner_texts() for row in rows]

    def _idle_until(self, what: Callable[[], str]) -> str:
        self.page.wait_for_timeout(2000)  # the request is on its way
        self.page.goto("about:blank")
        return until(what, self.log)


@contextmanager
def dagster_dev(clone: Clone) -> Iterator[Pages]:
    """``dagster dev`` and a browser; all their processes end with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE / 3 * 1000)
        address = f"http://127.0.0.1:{(port := free_port())}"
        clone.python("-m", "pipelines.home")
        log = clone.root.parent / "dagster dev.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["dagster", "dev", "--host", "127.0.0.1", "--port", str(port)],
                cwd=clone.root,
                env=clone.env,
                stdout=out,
                stderr=out,
            )
        try:
            pages = Pages(page, address, lambda: log.read_text()[-6000:])
            until(lambda: "up" if answers(page, address) else "", pages.log)
            yield pages
        finally:
            stop(process)
            browser.close()


def answers(page: Page, address: str) -> bool:
    try:
        return page.request.get(f"{address}/server_info").ok
    except Error:
        return False


def until(what: Callable[[], str], log: Callable[[], str]) -> str:
    """The first answer that is not empty."""
    end = time.monotonic() + PATIENCE
    while not (found := what()):
        assert time.monotonic() < end, f"not after {PATIENCE:g} s:\n{log()}"
        time.sleep(2)
    return found


def stop(process: subprocess.Popen) -> None:
    """As Ctrl-C does; Dagster then ends its own processes."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
