"""VGG against torchvision: evaluation, one training step, initial weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model
from mtsccd_jax.models.layers.blocks import Dropout, Settings
from mtsccd_jax.models.vgg import VGG, Architecture

NARROW = {"num_classes": 10, "width": 0.125}


def torchvision_model(name: str, **arguments: Any) -> Any:
    """A VGG of torchvision, or skip."""
    pytest.importorskip("torch", reason="the reference is torchvision's VGG in torch")
    try:
        return getattr(torch_reference.import_torchvision().models, name)(**arguments)
    except ModuleNotFoundError:
        pytest.skip("torchvision, the reference, is not installed")


def check_evaluation(name: str, reference: Any, size: int | tuple[int, int], **arguments: Any) -> None:
    torch_reference.check_evaluation(
        name,
        torch_reference.rectified(reference),
        size,
        # The rectifier after the first fully connected layer.
        features=lambda seen: seen["classifier.1"],
        feature_map=lambda seen: seen["features"].permute(0, 2, 3, 1),
        **arguments,
    )


@pytest.mark.parametrize(
    ("name", "size"), [("vgg11", (32, 32)), ("vgg11", (300, 100)), ("vgg16", (224, 224)), ("vgg19", (64, 64))]
)
def test_logits_features_and_map_of_a_narrow_network_equal_torchvision(name: str, size: tuple[int, int]) -> None:
    reference = torch_reference.narrowed(torchvision_model(name, num_classes=10, init_weights=False), 0.125, 10)
    check_evaluation(name, reference, size, **NARROW)


@pytest.mark.parity
@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg19"])
def test_logits_features_and_map_equal_torchvision(name: str, size: int) -> None:
    check_evaluation(name, torchvision_model(name, init_weights=False), size)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg19"])
def test_one_training_step_equals_torch(name: str) -> None:
    reference = torchvision_model(name, num_classes=10, init_weights=False, dropout=0.0)
    torch_reference.check_training_step(name, torch_reference.rectified(reference), 64, tolerance=1e-6)


@pytest.mark.parametrize("name", ["vgg11", "vgg16", "vgg19"])
def test_as_many_parameters_as_torchvision(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's VGG in torch")
    with torch.device("meta"):
        reference = torchvision_model(name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_weights_begin_as_torchvision_does() -> None:
    settings = Settings(num_classes=100, width=0.125)
    model = nnx.jit(lambda: VGG(Architecture((1, 1, 1, 1, 1)), settings, rngs=nnx.Rngs(0)))()
    for (convolution,) in model.stages:
        deviation = (2 / (9 * convolution.kernel.shape[-1])) ** 0.5
        assert np.std(convolution.kernel[...]) == pytest.approx(deviation, rel=0.2)
        assert not np.any(convolution.bias[...])
    for linear in (model.first, model.second, model.head):
        assert np.std(linear.kernel[...]) == pytest.approx(0.01, rel=0.05)
        assert not np.any(linear.bias[...])


def test_images_too_small_for_five_halvings_are_refused() -> None:
    with pytest.raises(InputError, match="a VGG takes images of 32 pixels or more, not 31x31"):
        create_model("vgg11", num_classes=10, image_size=31, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("vgg11", num_classes=2, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x24"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 24, 3)))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (63, 224), (300, 40)])
def test_any_size_channels_and_width(height: int, width: int) -> None:
    model = nnx.eval_shape(lambda: create_model("vgg16", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 1229)
    assert output.feature_map.shape == (2, height // 32, width // 32, 154)


def test_dropout_as_in_torchvision() -> None:
    model = nnx.eval_shape(lambda: create_model("vgg11", num_classes=2, rngs=nnx.Rngs(0)))
    dropouts = [part for _, part in nnx.iter_modules(model) if isinstance(part, Dropout)]
    assert [part.rate for part in dropouts] == [0.5, 0.5]
    assert len({part.salt for part in dropouts}) == 2
