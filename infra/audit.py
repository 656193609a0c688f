"""Look up the known vulnerabilities of every package of requirements.lock: ``python infra/audit.py``.

``pip-audit`` leaves out the packages whose markers do not hold on the machine that asks (other systems,
other versions of Python), and says nothing of them. So the lock is split into lists without markers,
with each package once a list, and every package must have an answer. ``--strict`` makes it fail on a
package that the service does not know. Further arguments are handed to ``pip-audit``.

Exit status: 0 if every package was audited and none is vulnerable; 1 if one is vulnerable; 2 if one
could not be audited, for example without the network.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

LOCK = Path(__file__).parents[1] / "requirements.lock"
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.M)
AUDIT = ("-m", "pip_audit", "--strict", "--no-deps", "--disable-pip", "--progress-spinner=off")


def pins_of(lock: str) -> list[tuple[str, str]]:
    """Name and version of every package of a lock, whatever its markers.

    Raises:
        ValueError: a line is neither a pin nor a hash of the one before nor a comment.
    """
    for line in lock.splitlines():
        if line.strip() and not PIN.match(line) and not re.match(r"\s+--hash=sha256:|\s*#", line):
            raise ValueError(f"{line!r}: not a package with its exact version")
    return PIN.findall(lock)


def split(pins: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Lists that name each package once: the first has all names, the next those with more versions."""
    seen: Counter[str] = Counter()
    lists: list[list[tuple[str, str]]] = []
    for name, version in pins:
        if seen[name] == len(lists):
            lists.append([])
        lists[seen[name]].append((name, version))
        seen[name] += 1
    return lists


def audit(lock: Path, options: list[str]) -> int:
    """Audit a lock and print what was found; returns the exit status."""
    pins = pins_of(lock.read_text(encoding="utf-8"))
    unanswered, vulnerable = dict.fromkeys(pins), 0
    with TemporaryDirectory() as folder:
        for number, members in enumerate(split(pins)):
            path = Path(folder) / f"{number}.txt"
            path.write_text("".join(f"{name}=={version}\n" for name, version in members))
            command = [sys.executable, *AUDIT, "--format=json", "--requirement", str(path), *options]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            try:
                answers = json.loads(done.stdout)["dependencies"]
            except (ValueError, KeyError, TypeError):
                why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
                print(f"not audited: {len(members)} packages: {why}", file=sys.stderr)
                continue
            for answer in answers:
                if "skip_reason" not in answer:
                    unanswered.pop((answer["name"], answer["version"]), None)
                for found in answer.get("vulns", ()):
                    vulnerable += 1
                    fixed = ", ".join(found["fix_versions"]) or "no version"
                    print(f"{answer['name']} {answer['version']}: {found['id']}, fixed in {fixed}")
    print(
        f"{len(pins) - len(unanswered)} of {len(pins)} packages audited, {vulnerable} vulnerabilities"
    )
    if unanswered:
        names = ", ".join(f"{name} {version}" for name, version in unanswered)
        print(f"nothing is known of: {names}", file=sys.stderr)
        return 2
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(audit(LOCK, sys.argv[1:]))
