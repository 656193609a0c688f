"""The topology of infra/compose.yaml as plain processes, each on a free port of 127.0.0.1.

PostgreSQL is Debian's, S3 is an emulator that runs as a thread here (its content outlives a stop), the
rest is what the image starts. Addresses and credentials reach the processes through their environment.
"""

import logging
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DAEMON = Path(__file__).with_name("jumping_daemon.py")
BUCKET = "fashion-ops"
LONG = 400  # seconds that a busy machine may take for anything
OURS = ("DAGSTER", "MLFLOW", "RAY", "AWS", "PG", "FASHION_OPS", "PYTEST")


def postgres_binaries() -> Path | None:
    """Debian's folder of PostgreSQL's newest binaries, or the PATH's; None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[4]))
    named = shutil.which("postgres")
    return found[-1].parent if found else Path(named).resolve().parent if named else None


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {LONG} s")
        time.sleep(0.1)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Stack:
    """All services for the repository at ``root``; a context manager.

    They stop and start by the names that they have in the compose file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = Path(tempfile.mkdtemp(prefix="fo-", dir="/tmp"))  # sockets need short paths
        self.folder.chmod(0o755)  # PostgreSQL does not run as root
        names = ("postgres", "s3", "mlflow", "ray", "code", "webserver")
        self.ports = {name: free_port() for name in names}
        # What must not be found anywhere afterwards.
        self.secrets = {name: secrets.token_hex(16) for name in ("postgres", "key", "s3", "ray")}
        self.processes: dict[str, subprocess.Popen] = {}
        self.clock = self.folder / "clock"  # seconds by which the daemon's clock is wrong
        self.clock.write_text("0")
        self._s3: ThreadedMotoServer | None = None

    @property
    def env(self) -> dict[str, str]:
        """Of every process: what the compose file gives its services."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
        given = (self.secrets[name] for name in ("postgres", "key", "s3", "ray"))
        password, key, secret, token = given
        ports = {name: str(port) for name, port in self.ports.items()}
        database = f"fashion_ops:{password}@127.0.0.1:{ports['postgres']}"
        return {
            **kept,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),
            "HOME": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "DO_NOT_TRACK": "1",
            "FASHION_OPS_ROOT": str(self.root),
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_SETTINGS": "postgres",
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": ports["postgres"],
            "DAGSTER_POSTGRES_USER": "fashion_ops",
            "DAGSTER_POSTGRES_PASSWORD": password,
            "DAGSTER_POSTGRES_DB": "dagster",
            "DAGSTER_CODE_HOST": "127.0.0.1",
            "DAGSTER_CODE_PORT": ports["code"],
            "CLOCK_OFFSET": str(self.clock),
            "PGHOST": "127.0.0.1",
            "PGPORT": ports["postgres"],
            "PGUSER": "fashion_ops",
            "PGPASSWORD": password,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3']}",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_MAX_ATTEMPTS": "1",  # a test does not wait for what it has stopped itself
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://{database}/mlflow",
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{ports['mlflow']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
            "RAY_ADDRESS": f"127.0.0.1:{ports['ray']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": str(LONG),
        }

    def __enter__(self) -> "Stack":
        try:
            self.start("ray-head")
            self._start_postgres()
            self.start_s3()
            stores = ("--databases", "dagster", "mlflow", "--buckets", BUCKET)
            self.run(sys.executable, str(ROOT / "infra/services/make_stores.py"), *stores)
            self.start("mlflow")
            self.run(sys.executable, "-m", "pipelines.home")
            self.ready("ray-head", "mlflow")
            self.start("ray-worker")
            self.ready("ray-worker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in [*self.processes][::-1]:
            self.stop(name)
        self.stop_s3()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=2 * LONG
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def start(self, name: str) -> None:
        """Start a service of this class's table; returns before it is ready."""
        self._start(name, self._commands()[name], self.env)

    def ready(self, *names: str) -> None:
        """Wait until these answer.

        Raises:
            RuntimeError: one ended instead; with what it said last.
        """
        port = {"mlflow": "mlflow", "dagster-code": "code", "dagster-webserver": "webserver"}
        for name in names:
            if name.startswith("ray"):
                self._wait(name, lambda n=name: "Ray runtime started" in self.log(n))
            elif name == "dagster-webserver":
                self._wait(name, lambda: self._answers("webserver", "/server_info"))
            elif name == "mlflow":
                self._wait(name, lambda: self._answers("mlflow", "/health"))
            else:
                self._wait(name, lambda n=name: listens(self.ports[port[n]]))

    def _wait(self, name: str, holds: Callable[[], bool]) -> None:
        def holds_or_ended() -> bool:
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} ended: {self.log(name)[-2000:]}")
            return holds()

        wait_for(name, holds_or_ended)

    def _answers(self, port: str, path: str) -> bool:
        try:
            url = f"http://127.0.0.1:{self.ports[port]}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, name: str, kill: bool = True) -> None:
        """End a service and all that it started: pulled out, unless it must close its files."""
        process = self.processes.pop(name)
        number = signal.SIGKILL if kill and name != "postgres" else signal.SIGINT
        if process.poll() is None:
            os.killpg(process.pid, number)
        process.wait(30)

    def start_s3(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._s3 = ThreadedMotoServer("127.0.0.1", self.ports["s3"], verbose=False)
        self._s3.start()

    def stop_s3(self) -> None:
        if self._s3 is not None:
            self._s3.stop()
            self._s3 = None

    def _commands(self) -> dict[str, list[str]]:
        """The commands of infra/compose.yaml, with this stack's addresses."""
        local, ports = "--host=127.0.0.1", self.ports
        workspace = f"--workspace={ROOT / 'infra/services/workspace.yaml'}"
        ray = [
            "ray",
            "start",
            "--block",
            "--node-ip-address=127.0.0.1",
            "--object-store-memory=100000000",
        ]
        code = ["dagster", "code-server", "start", "--module-name=pipelines.definitions"]
        return {
            "ray-head": [
                *(
                    *ray,
                    "--head",
                    f"--port={ports['ray']}",
                    "--num-cpus=0",
                    "--include-dashboard=false",
                ),
                f"--temp-dir={self.folder}/ray",
            ],
            "ray-worker": [*ray, f"--address=127.0.0.1:{ports['ray']}", "--num-cpus=2"],
            "mlflow": [
                *("mlflow", "server", local, f"--port={ports['mlflow']}", "--workers=1"),
                f"--artifacts-destination=s3://{BUCKET}/mlflow",
            ],
            "dagster-code": [*code, local, f"--port={ports['code']}"],
            "dagster-daemon": [sys.executable, str(DAEMON), "run", workspace],
            "dagster-webserver": [
                "dagster-webserver",
                local,
                f"--port={ports['webserver']}",
                workspace,
            ],
        }

    def _start(self, name: str, command: list[str], env: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(
                [str(BIN / command[0]) if "/" not in command[0] else command[0], *command[1:]],
                cwd=self.root,
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _start_postgres(self) -> None:
        binaries = postgres_binaries()
        assert binaries is not None
        data, password = self.folder / "postgres", self.folder / "password"
        password.write_text(self.secrets["postgres"])
        data.mkdir()
        become: list[str] = []
        if os.geteuid() == 0:  # it refuses to run as root
            shutil.chown(data, "nobody")
            shutil.chown(password, "nobody")
            become = ["/usr/bin/setpriv", "--reuid=nobody", "--clear-groups"]
        initdb = [
            *(f"{binaries}/initdb", f"--pgdata={data}", "--username=fashion_ops", "--no-sync"),
            *("--auth=scram-sha-256", f"--pwfile={password}"),
        ]
        subprocess.run([*become, *initdb], check=True, capture_output=True, cwd="/")
        password.unlink()
        options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        server = [f"{binaries}/postgres", "-D", str(data), "-p", str(self.ports["postgres"])]
        for key, value in options.items():
            server += ["-c", f"{key}={value}"]
        self._start("postgres", [*become, *server], {"PATH": os.environ["PATH"]})
        ready = re.compile("database system is ready")
        self._wait("postgres", lambda: bool(ready.search(self.log("postgres"))))
