"""``fashion-ops sheet`` as typed: a PDF of the paper's size that is only replaced by itself."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fashion_ops.cli import app


@pytest.mark.parametrize(("paper", "size"), [("A4", (210, 297)), ("Letter", (215.9, 279.4))])
def test_the_page_has_the_size_of_the_paper(tmp_path: Path, paper: str, size: tuple) -> None:
    target = tmp_path / "sheet.pdf"
    done = CliRunner().invoke(app, ["sheet", "--out", str(target), "--paper", paper])
    assert done.exit_code == 0, done.output
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", target.read_bytes())
    assert box is not None
    assert [float(v) * 25.4 / 72 for v in box.groups()] == pytest.approx(size, abs=0.1)
    again = CliRunner().invoke(app, ["sheet", "--out", str(target)])
    assert again.exit_code == 0, again.output
