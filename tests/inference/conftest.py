"""Photos that several tests of bulk prediction read."""

from pathlib import Path

import pytest
from bulk_photos import write_photos


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven photos in a folder with a sub-folder, and what is no photo beside them."""
    folder = tmp_path_factory.mktemp("shop")
    write_photos(folder, 4)
    write_photos(folder / "sub", 3)
    (folder / "prices.csv").write_text("no photo")
    (folder / "._000001.png").write_bytes(b"of a Mac")
    return folder
