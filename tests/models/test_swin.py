"""Swin transformers against torchvision and timm: evaluation, one training step, the windows, initial weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model
from mtsccd_jax.models.layers.blocks import Dropout
from mtsccd_jax.models.swin import (
    Block,
    RelativePositionTable,
    original_names,
    position_bias,
    shift_bias,
    timm_names,
)
from mtsccd_jax.models.weights.mapping import slots

DEPTHS, HEADS = (2, 2, 6, 2), (3, 6, 12, 24)


def with_offsets_that_count(reference: Any) -> Any:
    """The reference with relative position tables as large as the products they are added to."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if name.endswith("relative_position_bias_table"):
                parameter.normal_(0, 1, generator=generator)
    return reference


def torchvision_model(*, embedding: int = 96, depths: tuple[int, int, int, int] = DEPTHS, num_classes: int = 10) -> Any:
    """torchvision's Swin-T without stochastic depth, or skip."""
    pytest.importorskip("torch", reason="the reference is torchvision's Swin in torch")
    try:
        torchvision = torch_reference.import_torchvision()
    except ModuleNotFoundError:
        pytest.skip("torchvision, the reference, is not installed")
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=embedding,
        depths=list(depths),
        num_heads=list(HEADS),
        window_size=[7, 7],
        stochastic_depth_prob=0.0,
        num_classes=num_classes,
    )


def check_evaluation(size: tuple[int, int], **arguments: Any) -> None:
    width = arguments.get("width", 1)
    torch_reference.check_evaluation(
        "swin_tiny",
        with_offsets_that_count(torchvision_model(embedding=round(96 * width))),
        size,
        features=lambda seen: seen["head:in"],
        feature_map=lambda seen: seen["norm"],
        **arguments,
    )


@pytest.mark.parity
@pytest.mark.parametrize("size", [(224, 224), (250, 96), (4, 4)])
def test_logits_features_and_map_of_the_published_size_equal_torchvision(size: tuple[int, int]) -> None:
    check_evaluation(size)


@pytest.mark.parity
@pytest.mark.parametrize("embedding", [24, 96])
def test_logits_features_and_map_equal_timm(embedding: int) -> None:
    """Also where timm merges patches, and under its names."""
    torch = pytest.importorskip("torch", reason="the reference is timm's Swin in torch")
    try:
        timm = torch_reference.import_timm()
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")
    reference = timm.create_model("swin_tiny_patch4_window7_224", num_classes=10, embed_dim=embedding).eval()
    torch_reference.randomize(with_offsets_that_count(reference), seed=0)
    model = nnx.eval_shape(lambda: create_model("swin_tiny", num_classes=10, width=embedding / 96, rngs=nnx.Rngs(0)))
    model = torch_reference.with_weights(reference, model, timm_names)
    image = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype(np.float32)

    output = jax.jit(lambda model, image: model(image), compiler_options=torch_reference.QUICK)(model, image)

    with torch.no_grad():
        tokens = reference.forward_features(torch_reference.channels_first(image))
        features = reference.forward_head(tokens, pre_logits=True)
        logits = reference.head.fc(features)
    assert torch_reference.relative_error(output.logits, logits.numpy()) < 1e-4
    assert torch_reference.relative_error(output.features, features.numpy()) < 1e-4
    assert torch_reference.relative_error(output.feature_map, tokens.numpy()) < 1e-4


def test_the_original_names_are_those_that_timm_translates_to_its_own() -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm's Swin in torch")
    try:
        timm = torch_reference.import_timm()
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")
    model = nnx.eval_shape(lambda: create_model("swin_tiny", num_classes=1000, rngs=nnx.Rngs(0)))
    with torch.device("meta"):
        reference = timm.create_model("swin_tiny_patch4_window7_224")
        ours = {
            slot.name: torch.empty([slot.variable.shape[axis] for axis in np.argsort(slot.layout.axes)])
            if slot.layout
            else torch.empty(slot.variable.shape)
            for slot in slots(model, original_names)
        }
    translated = timm.models.swin_transformer.checkpoint_filter_fn(ours, reference)
    expected = {name: value.shape for name, value in reference.state_dict().items()}
    assert {name: value.shape for name, value in translated.items()} == expected


@pytest.mark.parity
def test_one_training_step_of_the_published_size_equals_torch() -> None:
    torch_reference.check_training_step("swin_tiny", with_offsets_that_count(torchvision_model()), 96, tolerance=1e-5)


def test_as_many_parameters_as_torchvision() -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's Swin in torch")
    with torch.device("meta"):
        reference = torchvision_model(num_classes=1000)
    model = nnx.eval_shape(lambda: create_model("swin_tiny", num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_weights_and_stochastic_depth_begin_as_torchvision_does() -> None:
    block = Block(96, 12, 7, True, drop_path=0.1, index=0, dtype=jnp.float32, rngs=nnx.Rngs(0))
    for linear in (block.attention.qkv, block.attention.projection, block.mlp.expand, block.mlp.contract):
        assert np.std(linear.kernel[...]) == pytest.approx(0.02, rel=0.05)
        assert not np.any(linear.bias[...])
    assert np.std(block.attention.table[...]) == pytest.approx(0.02, rel=0.05)

    full = nnx.eval_shape(lambda: create_model("swin_tiny", num_classes=2, rngs=nnx.Rngs(0)))
    drops = [node for _, node in nnx.iter_graph(full) if isinstance(node, Dropout)]
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


def test_images_smaller_than_a_patch_are_refused() -> None:
    with pytest.raises(InputError, match="4 pixels or more, not 3x3"):
        create_model("swin_tiny", num_classes=10, image_size=3, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("swin_tiny", num_classes=2, width=0.1, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x2"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 2, 3)))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 63), (300, 4)])
def test_any_size_channels_and_width(height: int, width: int) -> None:
    """The width is that of a head; their number stays."""
    model = nnx.eval_shape(lambda: create_model("swin_tiny", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 24 * 10)
    assert output.feature_map.shape == (2, -(-(height // 4) // 8), -(-(width // 4) // 8), 24 * 10)
