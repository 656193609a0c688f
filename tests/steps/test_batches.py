"""Batches of new data: what is taken, versioned and read; what waits; what is refused, and why."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from raw_data import Data, item, jpeg

from fashion_ops.catalog.origin_names import batch_of
from fashion_ops.ledger import Ledger
from fashion_ops.params import Batches, Distributed, Ingest, Params
from fashion_ops.steps import batches, ingest
from fashion_ops.workspace import Workspace

PASSING = shutil.ignore_patterns("*.db-shm", "*.db-wal")  # DVC's, while another process reads
PIPELINE = """
stages:
  ingest:
    cmd: "true"
    deps: [data/raw, data/batches]
    outs: [data/catalog]
"""


class Repository:
    """A repository with a catalog of two images, and an inbox."""

    def __init__(self, root: Path) -> None:
        self.ws = Workspace(root)
        raw = Data(root)
        raw.add("000001", item(), data=jpeg(seed=1))
        raw.add("000001", item(), split="validation", data=jpeg(seed=2))
        (root / "data" / "batches").mkdir()
        (root / "data" / "batches" / ".gitkeep").touch()
        (root / "dvc.yaml").write_text(PIPELINE)
        shutil.copy(Path(__file__).parents[2] / ".gitignore", root)
        self.params = Params(
            ingest=Ingest(max_quarantined=0.1),
            batches=Batches(min_images=2),
            distributed=Distributed(workers=1),
        )
        ingest.run(self.params, self.ws)
        git(root, "init", "-q")
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
        self.ledger = Ledger(root)

    def drop(self, name: str, *seeds: int, ready: bool = True, **changes: Any) -> Path:
        """A batch in the inbox, one image a seed."""
        made = Data(self.ws.root)
        made.root = self.ws.inbox / name
        for seed in seeds:
            made.add(f"{seed:06d}", item(**changes), data=jpeg(seed=seed))
        if ready:
            (self.ws.inbox / f"{name}.ready").touch()
        return made.root

    def put(self, name: str, content: bytes = b"") -> Path:
        """A file in the inbox, marked as complete."""
        self.ws.inbox.mkdir(parents=True, exist_ok=True)
        (self.ws.inbox / name).write_bytes(content)
        (self.ws.inbox / f"{name}.ready").touch()
        return self.ws.inbox / name

    def take(self) -> batches.BatchResults:
        return batches.process_batches(self.params, self.ws, self.ledger)

    def reason(self, name: str) -> str:
        assert (self.ws.rejected / name).exists() and not (self.ws.inbox / name).exists()
        assert not (self.ws.inbox / f"{name}.ready").exists()
        return (self.ws.rejected / f"{name}.reason.txt").read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inbox") / "repo"
    root.mkdir()
    Repository(root)
    return root


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Repository:
    root = Path(shutil.copytree(made, tmp_path / "repo", ignore=PASSING))
    repo = Repository.__new__(Repository)
    repo.ws, repo.ledger = Workspace(root), Ledger(root)
    repo.params = Params(
        ingest=Ingest(max_quarantined=0.1),
        batches=Batches(min_images=2),
        distributed=Distributed(workers=1),
    )
    return repo


def test_a_batch_waits_until_it_is_whole_and_large_enough(repo: Repository) -> None:
    assert repo.take().waiting == "nothing there"
    repo.drop("monday", 11, 12, 13, ready=False)
    assert repo.take().waiting == "no batch is ready; without a NAME.ready beside it: monday"
    repo.drop("tuesday", 14)
    assert repo.take().waiting == "1 images are ready, batches.min_images is 2"
    assert names(repo.ws.inbox) == ["monday", "tuesday", "tuesday.ready"]
    assert not repo.ws.rejected.exists()


def test_a_sound_batch_is_versioned_and_read(repo: Repository) -> None:
    before = repo.ledger.input_md5("ingest", "data/batches")
    snapshot = repo.ledger.snapshot("ingest")
    repo.ledger.commit("ingest", snapshot)
    assert repo.ledger.is_current("ingest")
    repo.drop("monday", 11, 12)
    repo.drop("tuesday", 13)
    assert repo.take() == batches.BatchResults(["0001-monday", "0002-tuesday"])
    assert names(repo.ws.inbox) == []
    assert not repo.ledger.is_current("ingest")
    assert repo.ledger.input_md5("ingest", "data/batches") != before
    pointer = (repo.ws.batches / "0001-monday.dvc").read_text()
    assert "nfiles: 4" in pointer and git(repo.ws.root, "status", "--porcelain", "--", "data/batches")
    tracked = git(repo.ws.root, "ls-files", "--others", "--exclude-standard", "data").split()
    assert tracked == [f"data/batches/{n}" for n in (".gitkeep", "0001-monday.dvc", "0002-tuesday.dvc")]

    ingest.run(repo.params, repo.ws)
    data = Data(repo.ws.root)
    images = data.catalog.images
    files = images["file_name"].tolist()
    assert [batch_of(file) for file in files] == ["", "", "0001-monday", "0001-monday", "0002-tuesday"]
    assert images["split"].tolist() == ["train", "validation", "train", "train", "train"]
    assert not images.duplicated(["split", "coco_id"]).any()
    assert data.catalog.image(5).shape == (80, 60, 3)
    assert len(data.catalog.garments) == 5

    # What was deleted by mistake comes back from DVC's cache, to the same bytes.
    repo.ledger.commit("ingest", repo.ledger.snapshot("ingest"))
    shutil.rmtree(repo.ws.batches / "0001-monday")
    subprocess.run([sys.executable, "-m", "dvc", "checkout", "-q"], cwd=repo.ws.root, check=True)
    assert repo.ledger.stale() == {}


def test_coco_and_archives_are_taken_too(repo: Repository) -> None:
    folder = repo.ws.inbox / "coco"
    (folder / "image").mkdir(parents=True)
    images, annotations = [], []
    for i in (1, 2):
        (folder / "image" / f"{i}.jpg").write_bytes(jpeg(seed=20 + i))
        images.append({"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 80})
        own = item()
        box = own["bounding_box"]
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": own["category_id"],
                "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
                "keypoints": own["landmarks"],
            }
        )
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    (repo.ws.inbox / "coco.ready").touch()
    wrapped = repo.drop("wrapped", 31, ready=False)
    with zipfile.ZipFile(repo.ws.inbox / "friday.zip", "w") as archive:
        for path in sorted(p for p in wrapped.rglob("*") if p.is_file()):
            archive.write(path, Path("friday") / path.relative_to(wrapped))
    shutil.rmtree(wrapped)
    (repo.ws.inbox / "friday.zip.ready").touch()
    assert repo.take().accepted == ["0001-coco", "0002-friday.zip"]
    assert names(repo.ws.inbox) == []
    ingest.run(repo.params, repo.ws)
    assert len(Data(repo.ws.root).catalog.garments) == 5


def test_bad_batches_are_moved_away_with_a_reason_and_hold_up_nobody(repo: Repository) -> None:
    repo.drop("broken", 41, 42, category_id=99)
    (repo.ws.inbox / "empty").mkdir()
    (repo.ws.inbox / "empty" / "notes.txt").touch()
    (repo.ws.inbox / "empty.ready").touch()
    repo.drop("leak", 2)  # the image of the validation split
    repo.drop("twice", 43)
    repo.drop("twice-again", 43)
    link = repo.drop("link", 44)
    (link / "train" / "image" / "passwd.jpg").symlink_to("/etc/passwd")
    validation = Data(repo.ws.root)
    validation.root = repo.ws.inbox / "validation"
    validation.add("000001", item(), split="validation", data=jpeg(seed=45))
    (repo.ws.inbox / "validation.ready").touch()
    repo.drop("good", 46)
    taken = repo.take()
    assert taken.accepted == ["0001-good", "0002-twice"]
    assert sorted(taken.rejected) == ["broken", "empty", "leak", "link", "twice-again", "validation"]
    assert "2 of 2 records are invalid" in repo.reason("broken")
    assert "000041.json item1: unknown category: 99" in repo.reason("broken")
    assert "neither DeepFashion2's layout" in repo.reason("empty")
    assert "train/image/000002.jpg is validation/image/000001.jpg" in repo.reason("leak")
    assert "is twice/train/image/000043.jpg" in repo.reason("twice-again")
    assert "links may lead anywhere" in repo.reason("link")
    assert "holds the split validation" in repo.reason("validation")


def test_what_was_moved_before_a_crash_is_versioned_by_the_next_call(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.drop("monday", 11, 12)
    with monkeypatch.context() as crash:
        crash.setattr(repo.ledger, "add", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            repo.take()
    assert not (repo.ws.batches / "0001-monday.dvc").exists()
    assert repo.take().waiting == "nothing there"
    assert (repo.ws.batches / "0001-monday.dvc").is_file()


def test_one_bad_upload_holds_up_no_other(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    good = repo.drop("good", 11, 12)
    shutil.make_archive(str(repo.ws.inbox / "whole"), "zip", good)
    damaged = (repo.ws.inbox / "whole.zip").read_bytes()
    (repo.ws.inbox / "whole.zip").unlink()
    long = "x" * 246
    reasons = {
        "damaged.zip": "damaged.zip: cannot be unpacked",
        "nothing.zip": "nothing.zip: cannot be unpacked",
        "file": "neither a folder nor a .zip or .tar archive",
        "caf\\xe9": "caf\\xe9 is a file",
        "x" * 200: f"{long} is a file",
        "two lines": "two lines is a file",
        "-rf": "-rf is a file",
        "...": "... is a file",
        "pipe": "pipe is a pipe",
        "pipe.tar": "pipe.tar is a pipe",
        "socket": "socket is a socket",
        "nowhere": "nowhere is a link",
        "elsewhere": "elsewhere is a link",
        "empty": "neither DeepFashion2's layout",
        "hidden": "train/.dvcignore would hide files from DVC",
        "latin-1": "the name notes-\\xe9.txt is not UTF-8",
        "pipe-inside": "train/annos/000014.json is a pipe",
        "undecodable": "1 images cannot be decoded: train/image/000017.jpg",
    }
    repo.put("damaged.zip", damaged[:300] + b"!" + damaged[301:])
    for name in ("nothing.zip", "file", "caf\udce9", long, "two\nlines", "-rf", "..."):
        repo.put(name)
    for name in ("pipe", "pipe.tar", "socket", "nowhere", "elsewhere"):
        repo.put(name).unlink()
    os.mkfifo(repo.ws.inbox / "pipe")
    os.mkfifo(repo.ws.inbox / "pipe.tar")
    monkeypatch.chdir(repo.ws.inbox)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    (repo.ws.inbox / "nowhere").symlink_to("missing")
    (repo.ws.inbox / "elsewhere").symlink_to("good")
    (repo.ws.inbox / "empty").mkdir()
    (repo.ws.inbox / "empty.ready").touch()
    (repo.drop("hidden", 13) / "train" / ".dvcignore").write_text("*.jpg")
    pipe = repo.drop("pipe-inside", 14) / "train" / "annos" / "000014.json"
    pipe.unlink()
    os.mkfifo(pipe)
    (repo.drop("latin-1", 16) / "notes-\udce9.txt").touch()
    photo = repo.drop("undecodable", 17) / "train" / "image" / "000017.jpg"
    photo.write_bytes(jpeg(seed=17).replace(b"\xff\xdb", b"\xff\xeb"))  # no quantization
    repo.drop("plain.dvc", 18)
    repo.drop("y" * 240, 19)
    taken = repo.take()
    assert taken.accepted == ["0001-good", "0002-plain", f"0003-{'y' * 200}"]
    assert taken.stuck == {} and taken.waiting == "" and names(repo.ws.inbox) == []
    assert set(taken.rejected) == set(reasons)
    for name, reason in reasons.items():
        assert reason in taken.rejected[name] and os.path.lexists(repo.ws.rejected / name), name
        assert reason in (repo.ws.rejected / f"{name}.reason.txt").read_text(), name
    assert ".inbox-" not in str(taken.rejected)  # the folder that an archive was unpacked to
    assert len(names(repo.ws.rejected)) == 2 * len(reasons)
    assert (repo.ws.batches / f"0003-{'y' * 200}.dvc").is_file()


def test_what_cannot_be_moved_stays_and_is_told_each_time(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name in ("bad", "fixed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    repo.put("bad")
    repo.drop("fixed", 13)
    repo.drop("good", 11, 12)
    first = repo.take()
    assert first.accepted == ["0001-good"] and first.rejected == {}
    assert set(first.stuck) == {"bad", "fixed"} and "Permission denied" in first.stuck["bad"]
    again = repo.take()
    assert set(again.stuck) == {"bad"} and again.waiting.startswith("1 images in valid batches")
    assert names(repo.ws.inbox) == ["bad", "bad.ready", "fixed", "fixed.ready"]
    assert names(repo.ws.rejected) == []


def test_a_full_disk_is_no_fault_of_the_batch(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.put("large.zip")
    repo.drop("good", 11, 12)

    def unpack(archive: Path, folder: Path) -> list[Any]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(batches, "unpack", unpack)
    taken = repo.take()
    assert taken.accepted == ["0001-good"] and taken.rejected == {}
    assert "No space left on device" in taken.stuck["large.zip"]
    assert names(repo.ws.inbox) == ["large.zip", "large.zip.ready"]


def test_an_earlier_rejected_batch_is_not_overwritten(repo: Repository) -> None:
    for i in range(2):
        repo.put("name", bytes([i]))
        repo.take()
    repo.put("name.reason.txt", b"2")
    repo.take()
    (repo.ws.rejected / "link").symlink_to("nowhere")
    repo.put("link", b"3")
    assert list(repo.take().rejected) == ["link-2"]
    contents = [(repo.ws.rejected / n).read_bytes() for n in ("name", "name-2", "name.reason.txt-2")]
    assert contents == [b"\0", b"\1", b"2"]
    assert (repo.ws.rejected / "name.reason.txt").read_text().startswith("name: name is a file")


def test_a_mark_is_a_file_and_what_is_not_marked_is_not_touched(repo: Repository) -> None:
    repo.drop("folder", 11, 12, ready=False)
    (repo.ws.inbox / "folder.ready").mkdir()
    repo.drop("link", 13, 14, ready=False)
    (repo.ws.inbox / "link.ready").symlink_to("nowhere")
    (repo.ws.inbox / ".upload.zip.Xy12").write_bytes(b"half")
    (repo.ws.inbox / "caf\udce9").touch()
    before = names(repo.ws.inbox)
    waiting = "no batch is ready; without a NAME.ready beside it: caf\\xe9, folder, link"
    assert repo.take().waiting == waiting
    assert names(repo.ws.inbox) == before
