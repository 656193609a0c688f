"""A person at the page: by its endpoints, and in a browser."""

import base64
import time
from urllib.parse import quote

import requests

DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, {type: "image/jpeg"}));
  for (const type of ["dragover", "drop"])
    document.getElementById("stage").dispatchEvent(
      new DragEvent(type, {dataTransfer: files, bubbles: true, cancelable: true}));
}"""


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


def wait_for(condition):
    """Wait until it is true."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Person:
    """Somebody at the page, in a browser of their own."""

    def __init__(self, chromium, url, name="Ada", **context):
        self.context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, **context})
        self.page, self.client, self.faults = self.context.new_page(), Client(url, name), []
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: self.faults.append(dialog.message))
        self.page.on("console", self._listen)
        self.page.goto(f"{url}/label")
        self.page.fill("#name", name)
        self.page.keyboard.press("Enter")
        self.until("!document.getElementById('enter').open")

    def _listen(self, message):
        if message.type == "error" and "409" not in message.text:
            self.faults.append(message.text)

    def until(self, condition):
        """Wait for a condition in JavaScript; the page's policy forbids Playwright's own way."""
        wait_for(lambda: self.page.evaluate(condition))

    def drop(self, data, name="shirt.jpg"):
        self.page.evaluate(DROP, [name, base64.b64encode(data).decode()])
        self.page.locator(f"#photos button[title='{name}'][aria-current=true]").wait_for()
        self.page.locator(".garment:not(.other) .point").first.wait_for()

    def draft(self):
        """What the service has of the open photo, once all is kept."""
        self.until("document.getElementById('status').textContent != '…'")
        key = self.page.locator("#photos [aria-current=true]").get_attribute("data-photo")
        return self.client.ask("GET", f"/photos/{key}").json()

    def place(self, name):
        """Where a landmark of the garment that is open is on the screen."""
        box = self.page.locator(f".garment:not(.other) .point[data-name={name}] .dot").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def unit(self):
        """Pixels of the photo in a pixel of the screen."""
        return self.page.evaluate("view.viewBox.baseVal.width / view.clientWidth")

    def drag(self, name, dx, dy):
        x, y = self.place(name)
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + dx / 2, y + dy / 2)
        mouse.move(x + dx, y + dy)
        mouse.up()

    def leave(self):
        assert self.faults == []
        self.context.close()

    def open(self, name):
        """Open a photo of the list."""
        self.page.locator(f"#photos button[title='{name}']").click()
        self.page.locator(f"#photos button[title='{name}'][aria-current=true]").wait_for()

    def start_anew(self):
        """Delete what was found."""
        while self.page.locator("#garments li").count():
            self.page.keyboard.press("Delete")

    def add(self, garment):
        """Add a garment, and drag its landmarks, then its corners, to their places."""
        self.page.keyboard.press("a")
        self.page.select_option("#new-category", garment["category"])
        self.page.keyboard.press("Enter")
        for number, point in enumerate(garment["landmarks"]):
            self.page.locator("#landmarks button").nth(number).click()
            if point["v"]:
                self._drag_to(".point.current .dot", (0, 0), point["x"], point["y"])
            if point["v"] < 2:
                self.page.keyboard.press("h" if point["v"] else "x")
        x1, y1, x2, y2 = garment["box"]
        for corner, sign, x, y in ((3, -1, x2, y2), (0, 1, x1, y1), (3, -1, x2, y2)):
            away = (8 * sign, 8 * sign)  # a handle stands outside of its corner
            self._drag_to(f".corner[data-corner='{corner}'] rect", away, x, y)

    def _drag_to(self, handle, away, x, y):
        box = self.page.locator(handle).bounding_box()
        start = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        view = self.page.locator("#view").bounding_box()
        left, top, width, height = self.page.evaluate(
            "(b => [b.x, b.y, b.width, b.height])(view.viewBox.baseVal)"
        )
        end = (
            view["x"] + (x - left) / width * view["width"],
            view["y"] + (y - top) / height * (view["height"]),
        )
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        mouse.move(end[0] - away[0], end[1] - away[1])
        mouse.up()

    def finish(self):
        """Say that the photo is right, and go."""
        key = self.page.locator("#photos [aria-current=true]").get_attribute("data-photo")
        self.page.keyboard.press("Enter")
        wait_for(lambda: self.client.ask("GET", f"/photos/{key}").json()["done"])
        self.leave()
