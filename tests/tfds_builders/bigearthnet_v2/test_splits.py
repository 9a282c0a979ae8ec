"""The geographic split against its areas, and against every official assignment."""

import math

import numpy as np
import pytest

from tfds_builders.bigearthnet.names import PATCHES_PER_SIDE
from tfds_builders.bigearthnet_v2.check import positions
from tfds_builders.bigearthnet_v2.splits import TILE_SIDE_M, frame_widths, split_of_patches


def test_frames_have_half_a_quarter_and_a_quarter_of_the_area():
    train, validation = frame_widths()
    whole, without_train = TILE_SIDE_M**2, (TILE_SIDE_M - 2 * train) ** 2
    inner = (TILE_SIDE_M - 2 * train - 2 * validation) ** 2
    assert math.isclose(whole - without_train, whole / 2)
    assert math.isclose(without_train - inner, whole / 4)
    assert math.isclose(inner, whole / 4)


def test_every_official_patch_lies_where_the_rule_puts_it(official):
    x_n, y_n = positions(official.patch_id_n)
    np.testing.assert_array_equal(split_of_patches(x_n, y_n), official.split_n)
    assert len(x_n) == 549_488


def test_the_rule_is_symmetric_and_follows_the_distance_to_the_nearest_edge():
    x_n, y_n = np.divmod(np.arange(PATCHES_PER_SIDE**2), PATCHES_PER_SIDE)
    split_n = split_of_patches(x_n, y_n)
    np.testing.assert_array_equal(split_n, split_of_patches(y_n, x_n))
    side = TILE_SIDE_M
    edge_n = np.array([min(c, side - c, d, side - d) for c, d in zip(1200 * x_n + 600, 1200 * y_n + 600, strict=True)])
    order = np.argsort(edge_n)
    assert (np.diff(split_n[order].astype(int)) >= 0).all()
    assert np.bincount(split_n).tolist() == [91**2 - 65**2, 65**2 - 46**2, 46**2]


def test_patches_along_a_row():
    column_n = np.array([0, 12, 13, 22, 23, 45, 68, 69, 77, 78, 90])
    assert split_of_patches(column_n, np.full(11, 45)).tolist() == [0, 0, 1, 1, 2, 2, 2, 1, 1, 0, 0]


@pytest.mark.parametrize("x", [-1, 91])
def test_a_column_that_no_tile_has(x):
    with pytest.raises(ValueError, match="0 to 90"):
        split_of_patches(np.array([x]), np.array([0]))
