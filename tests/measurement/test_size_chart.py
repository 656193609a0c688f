"""The size chart of a style: medians, intervals that never claim more than one photo does."""

import numpy as np
import pytest

from fashion_ops.measurement.size_chart import as_csv, size_chart
from fashion_ops.measurement.sizes import Size


def chest(value: float, reach: float = 1.0, unit: str = "cm") -> Size:
    return Size("chest", "chest width", unit, value, value - reach, value + reach)


def test_a_chart_has_the_median_of_each_label_and_size() -> None:
    photos = [("S", 48.0), ("S", 48.4), ("S", 51.0), ("M", 52.0)]
    rows = size_chart((label, "vest", [chest(value)]) for label, value in photos)
    assert [(r.label, r.value, r.photos) for r in rows] == [("S", 48.4, 3), ("M", 52.0, 1)]
    assert (rows[1].low, rows[1].high) == (51.0, 53.0)
    text = as_csv(rows).decode().splitlines()
    assert text[2] == "M,vest,chest,chest width,cm,52.00,51.00,53.00,1,0"


def test_photos_that_agree_do_not_narrow_the_interval_and_those_that_differ_widen_it() -> None:
    (same,) = size_chart([("S", "vest", [chest(50.0)])] * 9)
    assert (same.low, same.high) == (49.0, 51.0)
    values = [47.0, 50.0, 53.0]
    (apart,) = size_chart([("S", "vest", [chest(value)]) for value in values])
    expected = 1.96 * np.std(values, ddof=1) / np.sqrt(3) * np.sqrt(np.pi / 2)
    assert apart.high - apart.value == pytest.approx(expected)


def test_pixels_and_sizes_that_are_not_shown_stay_out_of_a_chart() -> None:
    sizes = [[chest(50.0)], [chest(500.0, unit="px")], [chest(50.0, reach=4.5)]]
    (row,) = size_chart(("S", "vest", of_photo) for of_photo in sizes)
    assert (row.value, row.photos, row.left_out) == (50.0, 1, 2)
    assert size_chart([("S", "vest", [chest(9.0, unit="px")])]) == []


def test_photos_of_two_categories_are_no_style() -> None:
    with pytest.raises(ValueError, match="S: photos show a vest and a sling"):
        size_chart([("S", "vest", [chest(50.0)]), ("S", "sling", [chest(50.0)])])
