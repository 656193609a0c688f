"""A hand-made data set for each test that asks for one."""

import pytest
from raw_data import Data


@pytest.fixture
def data(tmp_path):
    return Data(tmp_path)
