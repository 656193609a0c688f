"""What a reader is told of an error: one line, and whether the reader or the program is at fault.

A mistake is what its reader can mend: a wrong option, a damaged file, a full disk, a service that does
not answer. The library raises it with a line of its own that names file, record, value and mend. Errors
of the operating system and of the libraries that read files or talk to services are mistakes too; here
they get such a line. Everything else is a fault of the program. The command line, ``pipelines`` and
``papers`` print both through this module.
"""

import errno
import linecache
import os
import re
import traceback
from pathlib import Path
from types import TracebackType

from fashion_ops.workspace import maker

MISTAKE, FAULT = 2, 1  # exit status
_PACKAGES = ("fashion_ops", "pipelines", "papers", "bench")

_OS_ERRORS = {  # what to do about an error of the operating system
    errno.EACCES: "make it accessible to this user, or choose another place",
    errno.EPERM: "make it accessible to this user, or choose another place",
    errno.EROFS: "make the file system writable, or work in a copy elsewhere",
    errno.ENOSPC: "free some space, then run it again",
    errno.EDQUOT: "free some space, then run it again",
    errno.ENOTDIR: "a part of this path is a file, not a folder: move it away, or choose another place",
    errno.EISDIR: "a file is needed here: name a file, or move the folder away",
    errno.EEXIST: "move it away, or choose another place",
    errno.ENAMETOOLONG: "give it a name of less than 240 bytes",
    errno.ELOOP: "it links to itself: replace the link",
    errno.EMFILE: "close other programs, or raise the limit (`ulimit -n`)",
    errno.EPIPE: "the reader has gone; run it again",
}
_LIBRARIES = {  # package of an error -> what failed, and what to do
    "yaml": ("not valid YAML", "correct the file"),
    "ruamel": ("not valid YAML", "correct the file"),
    "json": ("not valid JSON", "correct the file or write it again"),
    "orjson": ("not valid JSON", "correct the file or write it again"),
    "pydantic_core": ("not valid", "correct the value"),
    "pandera": ("a table breaks its schema", "make the table again with the step that writes it"),
    "pyarrow": ("a table cannot be read", "make the table again with the step that writes it"),
    "safetensors": ("weights cannot be read", "copy the file again, or train the model again"),
    "safetensors_rust": ("weights cannot be read", "copy the file again, or train the model again"),
    "onnxruntime": ("ONNX Runtime", "export the model again with `fashion-ops export`"),
    "PIL": ("an image cannot be read", "save it again as JPEG or PNG"),
    "dvc": ("DVC", "`dvc status` says more"),
    "dvc_data": ("DVC", "`dvc status` says more"),
    "dvc_objects": ("DVC", "`dvc status` says more"),
    "scmrepo": ("git", "`git status` says more"),
    "mlflow": ("MLflow", "check MLFLOW_TRACKING_URI, and that the server runs"),
    "sqlalchemy": ("the database of MLflow", "check MLFLOW_TRACKING_URI, and that the server runs"),
    "requests": ("a service does not answer", "check its address, and that it runs"),
    "urllib3": ("a service does not answer", "check its address, and that it runs"),
    "botocore": ("the object store", "check its address and the credentials in the environment"),
    "ray": ("Ray", "check RAY_ADDRESS, and `ray status`"),
    "dagster": ("Dagster", "check DAGSTER_HOME and infra/dagster.yaml"),
    "sqlite3": ("a SQLite file", "check that the disk is writable and not full"),
}
_DAGSTER_DATABASE = (
    "the database of Dagster",
    "check DAGSTER_HOME, and that the disk is writable or the server runs",
)
_SERVICES = ("requests", "urllib3", "botocore", "sqlalchemy")  # packages of _LIBRARIES that talk to one
_LOST = ("404", "NoSuchKey")  # codes of an object store that answers: it has no such object
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*File "(.+?)", line \d+.*\n\s*(.*)$', re.MULTILINE)


def failure_line(error: BaseException) -> str:
    """What happened and what to do about it, on one line; says so if the program is at fault."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return one_line(_os_error(error))
    if isinstance(error, FileNotFoundError) and error.filename is None and _is_nowhere():
        return "the current folder: was deleted or moved; change into one that exists (cd)"
    text = message(error)
    if exit_status(error) == FAULT and not _says_itself(error):
        return one_line(f"unexpected {type(error).__name__}{_place(error)}: {text}")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return one_line(f"out of memory: {text}; use a smaller batch_size or fewer workers")
    if isinstance(error, UnicodeEncodeError):
        return one_line(f"{printable(error.object)}: this name is not UTF-8; rename it")
    known = _LIBRARIES.get(_package(error))
    if _package(error) == "sqlalchemy" and _went_through("dagster", error):
        known = _DAGSTER_DATABASE
    if known and not _says_itself(error):
        return one_line(f"{known[0]}: {text}; {known[1]}")
    return one_line(text)


def exit_status(error: BaseException) -> int:
    """``MISTAKE`` if the reader can mend the error, ``FAULT`` if the program is wrong."""
    own = getattr(error, "exit_status", None)
    if isinstance(own, int):
        return own
    if isinstance(error, OSError | MemoryError | UnicodeEncodeError) or _says_itself(error):
        return MISTAKE
    known = _package(error) in _LIBRARIES or type(error).__name__ == "OutOfMemoryError"
    return MISTAKE if known else FAULT


def is_of_a_service(error: BaseException) -> bool:
    """Whether an error says that a service cannot be reached or refuses, not that a file is wrong."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    answer = getattr(error, "response", None)  # of botocore's ClientError a dict
    code = answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
    return _package(error) in _SERVICES and code not in _LOST


def message(error: BaseException) -> str:
    """The text of an error, or the name of its type if it has none."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    if _package(error) == "sqlalchemy" and (cause := getattr(error, "orig", None)):
        text = str(cause)  # without the statement and its values, which may be pages or secrets
    if _TRACEBACK in text:  # of a worker process; its last line is what the worker raised
        text = text.strip().splitlines()[-1].partition(": ")[2] or text.strip().splitlines()[-1]
    return text.strip() or type(error).__name__


def one_line(text: str) -> str:
    """``text`` on one line: its lines joined, and what cannot be printed escaped."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    joined = ""
    for line in filter(None, lines):
        joined += ("" if not joined else " " if joined[-1] in ":;,." else "; ") + line
    return printable(joined)


def printable(name: object) -> str:
    """A path or name as it can be printed: bytes that are no text, and control characters, escaped."""
    text = str(name)
    if any("\udc80" <= c <= "\udcff" for c in text):
        text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _os_error(error: OSError) -> str:
    """One line for an error of the operating system about a file."""
    name = error.filename2 or error.filename  # of a rename, what should have been
    path = os.fsdecode(name) if isinstance(name, bytes | str) else name
    reason = str(error.strerror).lower()
    if error.errno == errno.ENOENT:
        step = maker(Path(str(path)))
        mend = f"`fashion-ops {step}` makes it" if step else "check the path"
    else:
        mend = _OS_ERRORS.get(error.errno or 0, "check the file and its disk")
    return f"{path}: {reason}; {mend}"


def _is_nowhere() -> bool:
    """Whether the current folder of this process is gone."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _package(error: BaseException) -> str:
    """The top package that defines an error's type; if ``_LIBRARIES`` has that of a base, that one."""
    packages = [kind.__module__.partition(".")[0] for kind in type(error).__mro__]
    return next((name for name in packages if name in _LIBRARIES), packages[0])


def _went_through(package: str, error: BaseException) -> bool:
    """Whether a package's code called what raised the error."""
    frames = (frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(package in Path(file).parts for file in frames)


def _says_itself(error: BaseException) -> bool:
    """Whether our own code wrote the text of an error, for its reader."""
    if type(error).__module__.partition(".")[0] in _PACKAGES:
        return True
    if not isinstance(error, ValueError | OSError | LookupError | ArithmeticError | RuntimeError):
        return False
    frame = _last_frame(error)
    if frame is None:  # it came from another process, which keeps the traceback
        return isinstance(error, ValueError | OSError)
    file, line = frame
    return _own_path(file) != "" and line.lstrip().startswith("raise")


def _last_frame(error: BaseException) -> tuple[str, str] | None:
    """File and source line where an error was raised, in another process if it says so."""
    for text in (str(error), str(error.__cause__ or "")):
        if _TRACEBACK in text and (frames := _FRAME.findall(text)):
            return frames[-1]
    trace: TracebackType | None = error.__traceback__
    if trace is None:
        return None
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename
    return file, linecache.getline(file, trace.tb_lineno)


def _own_path(file: str) -> str:
    """The path of a file of our packages, from the package on; empty for other files."""
    parts = Path(file).parts
    if "site-packages" in parts:
        at = len(parts) - parts[::-1].index("site-packages")
        return "/".join(parts[at:]) if parts[at] in _PACKAGES else ""
    places = [i for i, part in enumerate(parts[:-1]) if part in _PACKAGES]
    return "/".join(parts[places[-1] :]) if places else ""


def _place(error: BaseException) -> str:
    """`` in FILE:LINE`` of our code where an error came up; empty if it is nowhere in it."""
    place, trace = "", error.__traceback__
    while trace is not None:
        if own := _own_path(trace.tb_frame.f_code.co_filename):
            place = f" in {own}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
