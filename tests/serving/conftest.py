"""Small untrained models, photos on which they find garments, and the page for labels."""

import pytest
from untrained_models import make_models, tiny_params

from fashion_ops.inference.example import Example
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.parts.device import CPU
from fashion_ops.workspace import Workspace


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    ws = Workspace(tmp_path_factory.mktemp("models"))
    (ws.root / "models").mkdir()
    make_models(tiny_params(ws), ws)
    return ws.root / "models"


@pytest.fixture(scope="session")
def predictor(bundle):
    return Predictor.load(bundle, CPU)


@pytest.fixture(scope="session")
def photos(predictor):
    return Example.of(predictor).photos


@pytest.fixture
def page(tmp_path):
    """The page with a champion that finds planted garments, and two people at it."""
    from labelling_desk import DRAWN, desk_in

    with desk_in(tmp_path, DRAWN) as page:
        yield page
