"""A small catalog of one split, and predictions for it."""

import numpy as np
import pandas as pd
import pytest
from small_catalog import make_garments, make_images, make_predictions


@pytest.fixture(scope="session")
def images() -> pd.DataFrame:
    return make_images(25)


@pytest.fixture(scope="session")
def garments(images) -> pd.DataFrame:
    return make_garments(images, np.random.default_rng(1))


@pytest.fixture(scope="session")
def predictions(garments) -> pd.DataFrame:
    return make_predictions(garments, np.random.default_rng(2), 8.0)
