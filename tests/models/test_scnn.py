"""BigEarthNet's shallow CNN against a definition in torch that follows the paper and what we add to it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model


def torch_model(num_classes: int, image_size: int, in_channels: int) -> Any:
    """The network in torch, or skip."""
    torch = pytest.importorskip("torch", reason="the reference is written in torch")

    class ShallowCNN(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = torch.nn.Conv2d(in_channels, 32, 5, padding="same")
            self.conv2 = torch.nn.Conv2d(32, 32, 5, padding="same")
            self.conv3 = torch.nn.Conv2d(32, 64, 3, padding="same")
            self.pool = torch.nn.MaxPool2d(2)
            self.relu = torch.nn.ReLU()
            self.fc1 = torch.nn.Linear(64 * (image_size // 8) ** 2, 128)
            self.fc2 = torch.nn.Linear(128, num_classes)

        def forward(self, x: Any) -> Any:
            for convolution in (self.conv1, self.conv2, self.conv3):
                x = self.pool(self.relu(convolution(x)))
            return self.fc2(self.relu(self.fc1(x.flatten(1))))

    return torch_reference.rectified(ShallowCNN())


@pytest.mark.parametrize(("size", "channels"), [(224, 3), (120, 12), (45, 3), (8, 12)])
def test_logits_features_and_map_equal_torch(size: int, channels: int) -> None:
    torch_reference.check_evaluation(
        "scnn",
        torch_model(43, size, channels),
        size,
        features=lambda seen: seen["relu"],
        feature_map=lambda seen: seen["pool"].permute(0, 2, 3, 1),
        in_channels=channels,
    )


@pytest.mark.parametrize(("size", "channels"), [(60, 3), (120, 12)])
def test_one_training_step_equals_torch(size: int, channels: int) -> None:
    reference = torch_model(10, size, channels)
    torch_reference.check_training_step("scnn", reference, size, in_channels=channels, tolerance=1e-6)


@pytest.mark.parametrize(("channels", "parameters"), [(3, 1_895_435), (12, 1_902_635)])
def test_as_many_parameters_as_written_down(channels: int, parameters: int) -> None:
    model = nnx.eval_shape(
        lambda: create_model("scnn", num_classes=43, image_size=120, in_channels=channels, rngs=nnx.Rngs(0))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))) == parameters


def test_weights_begin_as_torch_does() -> None:
    model = nnx.jit(lambda: create_model("scnn", num_classes=43, image_size=32, rngs=nnx.Rngs(0)))()
    for part in (*model.convolutions, model.hidden, model.head):
        limit = np.prod(part.kernel.shape[:-1]) ** -0.5
        assert 0.98 * limit < np.abs(part.kernel[...]).max() <= limit
        assert 0.8 * limit < np.abs(part.bias[...]).max() <= limit


def test_images_too_small_or_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="an S-CNN takes images of 8 pixels or more, not 7x7"):
        create_model("scnn", num_classes=10, image_size=7, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("scnn", num_classes=2, image_size=120, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="made for images of 120x120 pixels, not 120x60"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 120, 60, 3)))


def test_width_narrows_every_layer() -> None:
    model = nnx.eval_shape(
        lambda: create_model("scnn", num_classes=3, image_size=61, in_channels=10, width=0.3, rngs=nnx.Rngs(0))
    )
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, 61, 61, 10)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 38)
    assert output.feature_map.shape == (2, 7, 7, 19)
