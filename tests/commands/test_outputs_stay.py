"""Commands as typed, with an --out that exists: only what the same command made is replaced."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.commands.wardrobe import PAGE
from fashion_ops.files.outputs import carries, marked_png
from fashion_ops.params import Params
from fashion_ops.steps import synthesize, synthesize_alignment
from fashion_ops.workspace import Workspace
from papers.command import app as papers

NAMES = ("left_waistline", "right_waistline", "left_hem", "right_hem")
HEAD = ",".join(f"{name}_{c}" for name in NAMES for c in ("vis", "x", "y"))
ROW = "a.jpg,0,5,5,0,90,5,0,5,90,0,90,{y}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with models, a table of landmarks and files of the user's."""
    (tmp_path / "params.yaml").write_text("{}\n")
    for name in (
        "exp_models/detector/model.json",
        "r1/notes.txt",
        "o/photo.jpg",
        "o.png",
        "o.pdf",
        "o.parquet",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "t.csv").write_text(
        "\n".join([f"image_name,{HEAD}", *(ROW.format(y=80 + i) for i in range(6))])
    )
    (tmp_path / "link").symlink_to(tmp_path / "r1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    """Content by path, without the log of errors."""
    found = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in found.items() if not name.startswith(".logs/")}


def call(words: str, program=app):
    return CliRunner().invoke(program, words.split())


@pytest.mark.parametrize(
    "words",
    [
        "export detector --model exp_models --out exp_models",
        "export detector --model exp_models --out .",
        "export detector --model exp_models --out exp_models/detector",
        "export detector --model exp_models --out r1",
        "export detector --model exp_models --out link",
        "export detector --model exp_models --out params.yaml",
        "pseudo-label t.csv --clusters 2 --out r1",
        "pseudo-label t.csv --clusters 2 --out o",
        "pseudo-label t.csv --clusters 2 --out .",
        "pseudo-label t.csv --clusters 2 --out t.csv",
        "gle train --out exp_models/detector",
        "gle train --out r1",
        "gle train --out o.png",
        "gle predict --out o.parquet",
        "gle predict --out exp_models",
        "gle predict --model exp_models/detector --out exp_models/detector/model.json",
        "contact-sheet --out o.png",
        "sheet --out o.pdf",
        "plan --out o.png",
        "predict o/photo.jpg --model exp_models --out o.png",
    ],
)
def test_what_a_command_did_not_make_stays(here: Path, words: str) -> None:
    before = files(here)
    done = call(words)
    out = words.rpartition(" ")[2]
    named = str(here) if out == "." else out
    assert done.exit_code == 2 and named in done.output.replace("\n", ""), done.output
    assert files(here) == before and done.output.count("\n") <= 1
    assert (here / "link").is_symlink()


@pytest.mark.parametrize("name", ["table7.md", "table7.csv", "table7.png"])
def test_papers_keep_the_files_of_others(here: Path, name: str) -> None:
    (here / "r1" / name).write_text("mine")
    done = call("deepmark --table 7 --out r1", papers)
    assert done.exit_code == 2 and f"r1/{name}: exists" in done.output.replace("\n", "")
    assert (here / "r1" / name).read_text() == "mine"


def test_pseudo_label_replaces_its_own_folder_until_something_else_is_in_it(here: Path) -> None:
    command = "pseudo-label t.csv --clusters 2 --out labels"
    for _ in range(2):
        done = call(command)
        assert done.exit_code == 0, done.output
    assert sorted(p.name for p in (here / "labels").iterdir()) == ["centers.csv", "labels_t.parquet"]
    (here / "labels" / "notes.txt").write_text("mine")
    assert call(command).exit_code == 2 and (here / "labels" / "notes.txt").read_text() == "mine"
    (here / "labels" / "notes.txt").unlink()
    pd.DataFrame({"mine": [1]}).to_parquet(here / "labels" / "labels_t.parquet")
    assert call(command).exit_code == 2
    assert list(pd.read_parquet(here / "labels" / "labels_t.parquet").columns) == ["mine"]


def test_two_tables_of_one_name_do_not_share_a_file_of_labels(here: Path) -> None:
    (here / "r1" / "t.csv").write_bytes((here / "t.csv").read_bytes())
    done = call("pseudo-label t.csv --also r1/t.csv --clusters 2 --out labels")
    assert done.exit_code == 2 and "2 tables" in done.output and not (here / "labels").exists()


def test_a_page_of_the_wardrobe_replaces_only_a_page_of_the_wardrobe(here: Path) -> None:
    command = "contact-sheet --columns 1 --size 32 --out page.png"
    earlier = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    (here / "page.png").write_bytes(earlier)
    assert call(command).exit_code == 2 and (here / "page.png").read_bytes() == earlier
    (here / "page.png").write_bytes(marked_png(earlier, PAGE.mark))
    assert call(command).exit_code == 0 and carries(here / "page.png", PAGE.mark)
    assert cv2.imread(str(here / "page.png")).shape[0] > 4


def test_a_data_set_in_the_place_of_the_synthetic_one_is_not_replaced(here: Path) -> None:
    """Drawn data are; data that the user put there, below or beside them, are not."""
    ws, tiny = Workspace(here), {"train": 1, "validation": 1, "size": 64}
    params = Params.model_validate({"synthesize": tiny})
    photo = ws.raw / "train" / "image" / "000001.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_text("mine")
    with pytest.raises(ValueError, match=r"data/raw: has no wardrobe\.json.*ingest\.root"):
        synthesize.run(params, ws)
    assert photo.read_text() == "mine"
    photo.unlink()
    (ws.raw / "train" / "image").rmdir()
    (ws.raw / "train").rmdir()
    (ws.raw / "wardrobe.json").write_text("of an earlier wardrobe")
    synthesize.run(params, ws)
    none = dict.fromkeys(("train", "val", "test", "items", "people"), 0)
    params = Params.model_validate({"synthesize_alignment": none})
    for _ in range(2):
        synthesize_alignment.run(params, ws)
    (ws.alignment_raw / "lsp" / "joints.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNX86")
    with pytest.raises(ValueError, match=r"alignment/raw: holds data.*ingest_alignment\.root"):
        synthesize_alignment.run(params, ws)
