"""Swin: names of the original files, stochastic depth, windows and relative positions."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from peers import imported
from small_networks import abstract, published_shapes

from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.swin import RelativePositionTable, offset_index, original_names, position_bias, shift_bias


def test_the_original_names_are_those_that_timm_translates_to_its_own() -> None:
    timm = imported("timm")
    import torch

    ours = published_shapes(abstract("swin_tiny", num_classes=1000, width=1.0), original_names)
    with torch.device("meta"):
        reference = timm.create_model("swin_tiny_patch4_window7_224")
        arrays = {name: torch.empty(shape) for name, shape in ours.items()}
    translated = timm.models.swin_transformer.checkpoint_filter_fn(arrays, reference)
    expected = {name: value.shape for name, value in reference.state_dict().items()}
    assert {name: value.shape for name, value in translated.items()} == expected


def test_stochastic_depth_is_that_of_torchvision() -> None:
    drops = [node for _, node in nnx.iter_graph(abstract("swin_tiny")) if isinstance(node, Dropout)]
    assert sorted(drop.salt for drop in drops) == list(range(24))
    assert sorted(drop.rate for drop in drops)[::2] == pytest.approx(np.linspace(0, 0.2, 12))


def test_a_bias_depends_on_the_offset_alone() -> None:
    window = 3
    table = np.arange(25 * 2, dtype=np.float32).reshape(25, 2)
    bias = np.asarray(position_bias(jnp.asarray(table), window))
    places = [(row, column) for row in range(window) for column in range(window)]
    for i, (row, column) in enumerate(places):
        for j, (other_row, other_column) in enumerate(places):
            offset = (row - other_row + window - 1) * (2 * window - 1) + column - other_column + window - 1
            np.testing.assert_array_equal(bias[:, i, j], table[offset])


def test_tokens_that_a_shift_brought_together_do_not_see_each_other() -> None:
    """A map of 4x6 in windows of 2, shifted by one: tokens may meet iff they are less than 2 apart where they were."""
    rows, columns, window = 2, 3, 2
    bias = shift_bias(rows, columns, window, (1, 1))
    before = np.roll(np.stack(np.mgrid[:4, :6], -1), (-1, -1), (0, 1))
    before = before.reshape(rows, window, columns, window, 2).swapaxes(1, 2).reshape(rows * columns, -1, 2)
    apart = np.abs(before[:, :, None] - before[:, None]).max(-1)
    np.testing.assert_array_equal(bias, np.where(apart < window, 0, -100))


def test_a_table_for_another_window_is_resampled_as_in_torch() -> None:
    torch = pytest.importorskip("torch", reason="the reference is torch's bicubic interpolation")
    table = np.random.default_rng(0).normal(size=(23 * 23, 3)).astype(np.float32)
    ours = RelativePositionTable.resampled(table, (13 * 13, 3))
    grid = torch.from_numpy(table.T.reshape(1, 3, 23, 23).copy())
    expected = torch.nn.functional.interpolate(grid, (13, 13), mode="bicubic", antialias=True)
    np.testing.assert_allclose(ours, expected.numpy().reshape(3, -1).T, atol=1e-4)
    assert RelativePositionTable.resampled(table, (13 * 13, 6)) is None


@pytest.mark.parametrize("window", [1, 2, 7])
def test_the_exported_places_of_offsets_are_those_of_the_bias(window):
    table = np.random.default_rng(0).normal(size=((2 * window - 1) ** 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(table[offset_index(window)].transpose(2, 0, 1), position_bias(table, window))
