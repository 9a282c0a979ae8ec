"""AlexNet against torchvision: evaluation, one training step, initial weights."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model
from mtsccd_jax.models.alexnet import AlexNet, Architecture
from mtsccd_jax.models.layers.blocks import Dropout, Settings

NARROW = {"num_classes": 10, "width": 0.125}


def torchvision_model(**arguments: Any) -> Any:
    """AlexNet of torchvision, or skip."""
    pytest.importorskip("torch", reason="the reference is torchvision's AlexNet in torch")
    try:
        return torch_reference.import_torchvision().models.alexnet(**arguments)
    except ModuleNotFoundError:
        pytest.skip("torchvision, the reference, is not installed")


def check_evaluation(reference: Any, size: int | tuple[int, int], **arguments: Any) -> None:
    torch_reference.check_evaluation(
        "alexnet",
        torch_reference.rectified(reference),
        size,
        # The rectifier after the first fully connected layer.
        features=lambda seen: seen["classifier.2"],
        feature_map=lambda seen: seen["features"].permute(0, 2, 3, 1),
        **arguments,
    )


@pytest.mark.parametrize("size", [(63, 63), (224, 224), (100, 300)])
def test_logits_features_and_map_of_a_narrow_network_equal_torchvision(size: tuple[int, int]) -> None:
    reference = torch_reference.narrowed(torchvision_model(num_classes=10), 0.125, 10)
    check_evaluation(reference, size, **NARROW)


@pytest.mark.parity
@pytest.mark.parametrize("size", [63, 224])
def test_logits_features_and_map_equal_torchvision(size: int) -> None:
    check_evaluation(torchvision_model(), size)


@pytest.mark.parity
def test_one_training_step_equals_torch() -> None:
    reference = torch_reference.rectified(torchvision_model(num_classes=10, dropout=0.0))
    torch_reference.check_training_step("alexnet", reference, 224, tolerance=1e-6)


def test_as_many_parameters_as_torchvision() -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's AlexNet in torch")
    with torch.device("meta"):
        reference = torchvision_model()
    model = nnx.eval_shape(lambda: create_model("alexnet", num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_weights_begin_as_torch_does() -> None:
    model = nnx.jit(lambda: AlexNet(Architecture(), Settings(num_classes=10, width=0.125), rngs=nnx.Rngs(0)))()
    for part in (*model.convolutions, model.first, model.second, model.head):
        limit = np.prod(part.kernel.shape[:-1]) ** -0.5
        assert 0.98 * limit < np.abs(part.kernel[...]).max() <= limit
        assert 0.5 * limit < np.abs(part.bias[...]).max() <= limit


def test_images_too_small_for_three_poolings_are_refused() -> None:
    with pytest.raises(InputError, match="AlexNet takes images of 63 pixels or more, not 62x62"):
        create_model("alexnet", num_classes=10, image_size=62, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("alexnet", num_classes=2, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 100x48"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 100, 48, 3)))


@pytest.mark.parametrize(("height", "width", "grid"), [(63, 63, (1, 1)), (224, 224, (6, 6)), (300, 100, (8, 2))])
def test_any_size_channels_and_width(height: int, width: int, grid: tuple[int, int]) -> None:
    model = nnx.eval_shape(lambda: create_model("alexnet", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 1229)
    assert output.feature_map.shape == (2, *grid, 77)


def test_dropout_as_in_torchvision() -> None:
    model = nnx.eval_shape(lambda: create_model("alexnet", num_classes=2, rngs=nnx.Rngs(0)))
    dropouts = [part for _, part in nnx.iter_modules(model) if isinstance(part, Dropout)]
    assert [part.rate for part in dropouts] == [0.5, 0.5]
    assert len({part.salt for part in dropouts}) == 2
