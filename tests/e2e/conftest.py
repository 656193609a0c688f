"""A copy of this repository with tiny parameters, in a folder of its own."""

import pytest
from clone import Clone, clone_into


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The repository's tracked and new files, as a git repository with DVC, with tiny parameters."""
    return clone_into(tmp_path_factory.mktemp("clone") / "fashion-ops")
