"""ConvMixer against timm: evaluation, one training step, initial weights."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, create_model
from mtsccd_jax.models.convmixer import Architecture, ConvMixer
from mtsccd_jax.models.layers.blocks import Settings

NAME = "convmixer_768_32"


def timm_model(**arguments: Any) -> Any:
    """The network of timm, or skip."""
    pytest.importorskip("torch", reason="the reference is timm's ConvMixer in torch")
    try:
        return torch_reference.import_timm().create_model(NAME, **arguments)
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")


def small_timm_model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three blocks of 24 channels, as which the name then also stands for ours."""
    reference = timm_model()
    architecture = replace(MODELS[NAME].architecture, channels=24, depth=3)
    monkeypatch.setitem(MODELS, NAME, replace(MODELS[NAME], architecture=architecture))
    return type(reference)(
        dim=24, depth=3, kernel_size=7, patch_size=7, num_classes=10, act_layer=type(reference.stem[1])
    )


def check_evaluation(reference: Any, size: int | tuple[int, int]) -> None:
    torch_reference.check_evaluation(
        NAME,
        reference,
        size,
        features=lambda seen: seen["head:in"],
        feature_map=lambda seen: seen["blocks"].permute(0, 2, 3, 1),
    )


@pytest.mark.parametrize("size", [(70, 45), (7, 13)])
def test_logits_features_and_map_equal_timm(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    check_evaluation(small_timm_model(monkeypatch), size)


@pytest.mark.parity
@pytest.mark.parametrize("size", [(224, 224), (64, 80)])
def test_logits_features_and_map_of_the_published_size_equal_timm(size: tuple[int, int]) -> None:
    check_evaluation(timm_model(num_classes=10), size)


@pytest.mark.parity
def test_one_training_step_of_the_published_size_equals_torch() -> None:
    torch_reference.check_training_step(NAME, timm_model(num_classes=10), 63, tolerance=1e-6)


def test_as_many_parameters_as_timm() -> None:
    torch = pytest.importorskip("torch", reason="the reference is timm's ConvMixer in torch")
    with torch.device("meta"):
        reference = timm_model()
    model = nnx.eval_shape(lambda: create_model(NAME, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_weights_begin_as_torch_does() -> None:
    architecture = Architecture(patch=7, kernel=7, channels=64, depth=1)
    model = ConvMixer(architecture, Settings(num_classes=100), rngs=nnx.Rngs(0))
    block = model.blocks[0]
    for part, inputs in (
        (model.stem.conv, 7 * 7 * 3),
        (block.depthwise.conv, 7 * 7),
        (block.pointwise.conv, 64),
        (model.head, 64),
    ):
        for value in (part.kernel[...], part.bias[...]):
            assert 0.9 * inputs**-0.5 < np.abs(value).max() <= inputs**-0.5


def test_images_smaller_than_a_patch_are_refused() -> None:
    with pytest.raises(InputError, match="7 pixels or more, not 6x6"):
        create_model(NAME, num_classes=10, image_size=6, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model(NAME, num_classes=2, width=0.01, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x5"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 5, 3)))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 63), (300, 14)])
def test_any_size_channels_and_width(height: int, width: int) -> None:
    model = nnx.eval_shape(lambda: create_model(NAME, num_classes=3, in_channels=7, width=0.02, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 15)
    assert output.feature_map.shape == (2, height // 7, width // 7, 15)
