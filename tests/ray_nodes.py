"""Machines for a Ray cluster, on one machine: ``ray start`` processes that share nothing.

Each worker has its own network namespace (joined by a bridge), process namespace, host name,
``/dev/shm`` and an empty folder where the driver has its files. Killing it is pulling the plug. It
needs root and Linux; ``possible`` says whether that is given.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from fashion_ops.distributed.cluster import KEEPALIVE

RAY = str(Path(sys.executable).parent / "ray")
UNPLUG = ("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child")


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def possible() -> bool:
    """Whether this user may make namespaces, bridges and mounts."""
    name = f"fo{os.getpid()}t"
    mounts = (*UNPLUG, "mount", "-t", "tmpfs", "none", "/mnt")
    made = _succeeds("ip", "link", "add", name, "type", "bridge") and _succeeds(*mounts)
    _succeeds("ip", "link", "del", name)
    return made and _succeeds("ip", "netns", "add", name) and _succeeds("ip", "netns", "del", name)


class Cluster:
    """A head without CPUs beside the driver, and workers that come and go; a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fo-", dir="/tmp"))  # sockets need short paths
        self._id = os.getpid() % 60000
        self._bridge = f"fo{self._id}b"
        self._net = f"10.{100 + self._id // 250 % 100}.{self._id % 250}"
        with socket.socket() as free:
            free.bind(("", 0))
            self.address = f"{self._net}.1:{free.getsockname()[1]}"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("RAY")} | {
            **KEEPALIVE,
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_AUTH_MODE": "token",
            "RAY_ADDRESS": self.address,
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
        self.nodes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Cluster":
        try:
            for command in (
                f"ip link add {self._bridge} type bridge",
                f"ip addr add {self._net}.1/24 dev {self._bridge}",
                f"ip link set {self._bridge} up",
            ):
                subprocess.run(command.split(), check=True)
            host, port = self.address.split(":")
            self._start(
                "head",
                *(RAY, "start", "--head", "--block", f"--node-ip-address={host}", f"--port={port}"),
                *("--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self.folder}/ray"),
            )
            self._wait_for_head()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in [*self.nodes]:
            self.kill(name)
        _succeeds("ip", "link", "del", self._bridge)
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, name: str) -> None:
        """Plug in a machine with one CPU; returns before it has joined."""
        number = 2 + sum(node != "head" for node in self.nodes) + 10 * len(name)
        space, outer, inner = f"fo{self._id}{name}", f"fo{self._id}{name}o", f"fo{self._id}{name}i"
        address = f"{self._net}.{number}"
        for command in (
            f"ip netns add {space}",
            f"ip link add {outer} type veth peer name {inner}",
            f"ip link set {inner} netns {space}",
            f"ip link set {outer} master {self._bridge}",
            f"ip link set {outer} up",
            f"ip -n {space} addr add {address}/24 dev {inner}",
            f"ip -n {space} link set {inner} up",
            f"ip -n {space} link set lo up",
        ):
            subprocess.run(command.split(), check=True)
        setup = " && ".join(
            [
                "mount -t proc proc /proc",
                "mount -t tmpfs none /dev/shm",
                f"mount -t tmpfs none {self.folder}",
                f"hostname {name}",
                f"mkdir {self.folder}/home && cd {self.folder}/home",
                # A busy machine may need longer than the 30 s that Ray gives a node to start.
                f"for attempt in 1 2 3 4; do {RAY} start --block --address={self.address}"
                f" --node-ip-address={address} --num-cpus=1 --temp-dir={self.folder}/ray"
                " --object-store-memory=100000000; done",
            ]
        )
        self._start(name, "ip", "netns", "exec", space, *UNPLUG, "sh", "-c", setup)

    def kill(self, name: str) -> None:
        """Pull the plug."""
        node = self.nodes.pop(name)
        node.send_signal(signal.SIGTERM if name == "head" else signal.SIGKILL)
        try:
            node.wait(20)
        except subprocess.TimeoutExpired:
            node.kill()
        if name != "head":
            # Deleting the space takes the kernel a while, and the link's name must be free at once.
            _succeeds("ip", "link", "del", f"fo{self._id}{name}o")
            _succeeds("ip", "netns", "del", f"fo{self._id}{name}")

    def processes(self, name: str, title: str) -> list[psutil.Process]:
        """The processes of a node whose title contains ``title``, such as ``TrainWorker``."""
        found = []
        for process in psutil.Process(self.nodes[name].pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if title in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("w") as log:
            self.nodes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=self.env, cwd=self.folder, start_new_session=True
            )

    def _wait_for_head(self) -> None:
        host, port = self.address.split(":")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.nodes["head"].poll() is None:
            if "Ray runtime started" in (self.folder / "head.log").read_text():
                return
            time.sleep(0.2)
        raise RuntimeError((self.folder / "head.log").read_text() or f"no head at {host}:{port}")
