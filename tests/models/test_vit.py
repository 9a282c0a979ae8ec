"""Vision transformers against timm: evaluation, one training step, initial weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, create_model
from mtsccd_jax.models.layers.blocks import Settings
from mtsccd_jax.models.vit import Architecture, VisionTransformer


def timm_model(name: str, **arguments: Any) -> Any:
    """A network of timm, or skip."""
    pytest.importorskip("torch", reason="the reference is timm's ViT in torch")
    try:
        return torch_reference.import_timm().create_model(name, **arguments)
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")


@pytest.mark.parametrize(
    ("name", "timm_name", "size"),
    [
        # What no patch fills is cut off.
        ("vit_tiny_patch16", "vit_tiny_patch16_224", 40),
        pytest.param("vit_tiny_patch16", "vit_tiny_patch16_224", 224, marks=pytest.mark.parity),
        pytest.param("vit_small_patch16", "vit_small_patch16_224", 224, marks=pytest.mark.parity),
        pytest.param("vit_small_patch16", "vit_small_patch16_224", 96, marks=pytest.mark.parity),
        pytest.param("vit_base_patch16", "vit_base_patch16_224", 224, marks=pytest.mark.parity),
        pytest.param("vit_base_patch16", "vit_base_patch16_224", 64, marks=pytest.mark.parity),
        pytest.param("vit_base_patch8", "vit_base_patch8_224", 224, marks=pytest.mark.parity),
        pytest.param("vit_base_patch8", "vit_base_patch8_224", 40, marks=pytest.mark.parity),
    ],
)
def test_logits_features_and_map_equal_timm(name: str, timm_name: str, size: int) -> None:
    side = size // MODELS[name].architecture.patch
    torch_reference.check_evaluation(
        name,
        timm_model(timm_name, img_size=size, num_classes=10),
        size,
        features=lambda seen: seen["head:in"],
        feature_map=lambda seen: seen["norm"][:, 1:].reshape(2, side, side, -1),
    )


# jax computes the softmax of its attention in float32 also where all else is float64.
def test_one_training_step_equals_torch() -> None:
    reference = timm_model("vit_tiny_patch16_224", img_size=64, num_classes=10, embed_dim=24)
    torch_reference.randomize(reference, seed=1)
    torch_reference.check_training_step("vit_tiny_patch16", reference, 64, width=1 / 8, tolerance=1e-5)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["vit_tiny_patch16", "vit_small_patch16", "vit_base_patch16", "vit_base_patch8"])
def test_one_training_step_of_the_published_size_equals_torch(name: str) -> None:
    reference = timm_model(f"{name}_224", img_size=64, num_classes=10)
    torch_reference.randomize(reference, seed=1)
    torch_reference.check_training_step(name, reference, 64, tolerance=1e-5)


@pytest.mark.parametrize(
    ("name", "timm_name"),
    [
        ("vit_tiny_patch16", "vit_tiny_patch16_224"),
        ("vit_small_patch16", "vit_small_patch16_224"),
        ("vit_base_patch16", "vit_base_patch16_224"),
        ("vit_base_patch8", "vit_base_patch8_224"),
    ],
)
def test_as_many_parameters_as_timm(name: str, timm_name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm's ViT in torch")
    with torch.device("meta"):
        reference = timm_model(timm_name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_weights_begin_as_timm_does() -> None:
    architecture = Architecture(patch=16, embedding=192, depth=1, heads=3)
    model = VisionTransformer(architecture, Settings(num_classes=100, image_size=64), rngs=nnx.Rngs(0))
    block = model.blocks[0]
    for linear in (block.attention.qkv, block.attention.projection, block.mlp.expand, block.mlp.contract, model.head):
        assert np.std(linear.kernel[...]) == pytest.approx(0.02, rel=0.05)
        assert not np.any(linear.bias[...])
    assert np.std(model.position_embedding[...]) == pytest.approx(0.02, rel=0.1)
    assert np.abs(model.class_token[...]).max() < 1e-5
    limit = 768**-0.5
    kernel = np.asarray(model.patch_embedding.kernel[...])
    assert 0.99 * limit < np.abs(kernel).max() <= limit


def test_a_size_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(InputError, match="a ViT takes images of 16 pixels or more, not 15x15"):
        create_model("vit_tiny_patch16", num_classes=10, image_size=15, rngs=nnx.Rngs(0))


def test_images_of_another_size_than_made_for_are_refused() -> None:
    model = nnx.eval_shape(lambda: create_model("vit_tiny_patch16", num_classes=2, image_size=32, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="32x32 pixels, not 48x32"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 48, 32, 3)))


def test_width_narrows_the_heads() -> None:
    model = nnx.eval_shape(
        lambda: create_model(
            "vit_tiny_patch16", num_classes=2, image_size=32, in_channels=4, width=0.25, rngs=nnx.Rngs(0)
        )
    )
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 32, 32, 4)))
    assert output.features.shape == (1, 48)
