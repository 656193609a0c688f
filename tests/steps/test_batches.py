"""Batches of new data: what is taken, versioned and read; what waits; what is refused, and why."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from raw_data import Data, item, jpeg

from fashion_ops.catalog.sources.batches import batch_of
from fashion_ops.ledger import Ledger
from fashion_ops.params import Batches, Distributed, Ingest, Params
from fashion_ops.steps import batches, ingest
from fashion_ops.workspace import Workspace

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
    root = Path(shutil.copytree(made, tmp_path / "repo"))
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
    assert repo.take().waiting == "no batch is ready; not marked as .ready: monday"
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
    assert "2 of 2 records are unsound" in repo.reason("broken")
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
