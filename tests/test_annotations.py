"""The library's annotations are checked while the tests run."""

import numpy as np
import pytest
import torch
from annotations import names_library_class
from jaxtyping import TypeCheckError

from fashion_ops.evaluation.oks import oks
from fashion_ops.methods.parts.heatmaps import render_gaussians
from fashion_ops.taxonomy import Category


def test_a_wrong_shape_raises():
    assert render_gaussians(torch.zeros(1, 5, 2), (4, 4), 1.0).shape == (1, 5, 4, 4)
    with pytest.raises(TypeCheckError, match="render_gaussians"):
        render_gaussians(torch.zeros(1, 5, 3), (4, 4), 1.0)


def test_a_wrong_dtype_raises():
    with pytest.raises(TypeCheckError, match="render_gaussians"):
        render_gaussians(torch.zeros(1, 5, 2, dtype=torch.int64), (4, 4), 1.0)


def test_a_list_is_no_array():
    with pytest.raises(TypeCheckError, match="oks"):
        oks([[1.0, 2.0]], np.zeros((1, 3)), np.ones(1), np.ones(1))  # type: ignore[arg-type]


def test_numpys_numbers_are_numbers():
    render_gaussians(torch.zeros(1, 5, 2), (np.int64(4), np.int64(4)), np.float32(1))  # type: ignore[arg-type]
    render_gaussians(torch.zeros(1, 5, 2), (4, 4), 1)
    with pytest.raises(TypeCheckError, match="render_gaussians"):
        render_gaussians(torch.zeros(1, 5, 2), (4.0, 4.0), 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("hint", [Category, list[Category], dict[str, Category | None], "Category"])
def test_classes_of_the_library_are_left_to_pyright(hint):
    assert names_library_class(hint)


@pytest.mark.parametrize("hint", [int, dict[str, list[np.ndarray]], torch.Tensor | None])
def test_everything_else_is_checked(hint):
    assert not names_library_class(hint)
