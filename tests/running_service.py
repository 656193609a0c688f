"""The service on a free port of this process, with models that are loaded already."""

import socket
import threading
import time
from contextlib import contextmanager

import uvicorn

from fashion_ops.serving.app import create_app
from fashion_ops.serving.champion import Champion, Served
from fashion_ops.serving.limits import Limits
from fashion_ops.serving.service import Service


class Fixed:
    """A source of models that are loaded already."""

    def __init__(self, predictor):
        self.champion = Champion(predictor and Served("test", 7, predictor, "torch"))
        self.woken = 0

    def start(self):
        pass

    def stop(self):
        pass

    def wake(self):
        self.woken += 1


@contextmanager
def running(source, limits=None, desk=None, **settings):
    """Run the application on a free port, with the page if ``desk`` makes its state; yields its URL."""
    service = source.service = Service(source, limits or Limits(), **settings)
    app = create_app(service, desk and desk(service))
    config = uvicorn.Config(app, port=0, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
