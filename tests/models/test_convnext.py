"""ConvNeXt V2 against timm: evaluation, one training step, initial weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, create_model
from mtsccd_jax.models.convnext import Architecture, ConvNeXt, ResponseNorm
from mtsccd_jax.models.layers.blocks import Settings
from mtsccd_jax.models.weights.mapping import slots

NAMES = ["convnextv2_atto", "convnextv2_tiny", "convnextv2_base"]


def timm_model(name: str, **arguments: Any) -> Any:
    """A network of timm, or skip."""
    pytest.importorskip("torch", reason="the reference is timm's ConvNeXt in torch")
    try:
        return torch_reference.import_timm().create_model(name, **arguments)
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("convnextv2_atto", (75, 64)),
        pytest.param("convnextv2_atto", (224, 224), marks=pytest.mark.parity),
        pytest.param("convnextv2_tiny", (224, 224), marks=pytest.mark.parity),
        pytest.param("convnextv2_tiny", (32, 45), marks=pytest.mark.parity),
        pytest.param("convnextv2_base", (224, 224), marks=pytest.mark.parity),
        pytest.param("convnextv2_base", (64, 96), marks=pytest.mark.parity),
    ],
)
def test_logits_features_and_map_equal_timm(name: str, size: tuple[int, int]) -> None:
    torch_reference.check_evaluation(
        name,
        timm_model(name, num_classes=10),
        size,
        features=lambda seen: seen["head.fc:in"],
        feature_map=lambda seen: seen["stages"].permute(0, 2, 3, 1),
    )


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_one_training_step_of_the_published_size_equals_torch(name: str) -> None:
    torch_reference.check_training_step(name, timm_model(name, num_classes=10), 64, tolerance=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_as_many_parameters_as_timm(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm's ConvNeXt in torch")
    with torch.device("meta"):
        reference = timm_model(name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


@pytest.mark.parametrize("name", ["convnextv2_atto", "convnextv2_tiny"])
def test_the_published_shapes_are_those_of_timm(name: str) -> None:
    """Some of timm's have 1x1 convolutions where others have linear layers."""
    torch = pytest.importorskip("torch", reason="the reference is timm's ConvNeXt in torch")
    with torch.device("meta"):
        reference = timm_model(name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = {slot.name: slot.variable.ndim for slot in slots(model, MODELS[name].names[0])}
    assert ours == {key: value.ndim for key, value in reference.state_dict().items()}


def test_weights_begin_as_timm_does() -> None:
    architecture = Architecture(depths=(1, 1, 1, 1), channels=(32, 64, 64, 64))
    model = ConvNeXt(architecture, Settings(num_classes=100), rngs=nnx.Rngs(0))
    block = model.stages[0][0]
    for part in (model.stem, block.depthwise, block.expand, block.contract, model.downsamplings[0].conv, model.head):
        assert np.std(part.kernel[...]) == pytest.approx(0.02, rel=0.06)
        assert not np.any(part.bias[...])
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 128)).astype(np.float32)
    np.testing.assert_array_equal(block.response_norm(jnp.asarray(x)), x)


def test_a_channel_that_is_zero_everywhere_has_a_gradient() -> None:
    norm = ResponseNorm(3)
    norm.weight.set_value(jnp.ones(3))
    x = jnp.ones((1, 2, 2, 3)).at[..., 1].set(0)
    assert np.isfinite(jax.grad(lambda x: jnp.sum(norm(x)))(x)).all()
    assert np.isfinite(jax.grad(lambda x: jnp.sum(norm(x)))(jnp.zeros_like(x))).all()


def test_images_too_small_for_patches_and_three_halvings_are_refused() -> None:
    with pytest.raises(InputError, match="32 pixels or more, not 31x31"):
        create_model("convnextv2_atto", num_classes=10, image_size=31, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("convnextv2_atto", num_classes=2, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x24"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 24, 3)))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 63), (300, 40)])
def test_any_size_channels_and_width(height: int, width: int) -> None:
    model = nnx.eval_shape(
        lambda: create_model("convnextv2_tiny", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0))
    )
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 230)
    assert output.feature_map.shape == (2, height // 32, width // 32, 230)
