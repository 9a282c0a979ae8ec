"""GoogLeNet against torchvision: evaluation, one training step with its side classifiers, initial weights."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model
from mtsccd_jax.models.googlenet import Architecture, GoogLeNet, Row
from mtsccd_jax.models.layers.blocks import Dropout, Settings


def torchvision_model(num_classes: int = 1000, **arguments: Any) -> Any:
    """GoogLeNet of torchvision, or skip."""
    pytest.importorskip("torch", reason="the reference is torchvision's GoogLeNet in torch")
    try:
        models = torch_reference.import_torchvision().models
    except ModuleNotFoundError:
        pytest.skip("torchvision, the reference, is not installed")
    return models.GoogLeNet(num_classes, init_weights=False, **arguments)


def check_evaluation(reference: Any, size: int | tuple[int, int], **arguments: Any) -> None:
    torch_reference.check_evaluation(
        "googlenet",
        torch_reference.rectified(reference),
        size,
        features=lambda seen: seen["fc:in"],
        feature_map=lambda seen: seen["inception5b"].permute(0, 2, 3, 1),
        **arguments,
    )


@pytest.mark.parity
@pytest.mark.parametrize("size", [15, 33, 120, 224])
def test_logits_features_and_map_equal_torchvision(size: int) -> None:
    check_evaluation(torchvision_model(), size)


@pytest.mark.parity
def test_one_training_step_equals_torchvision() -> None:
    """With both side classifiers."""
    torch = pytest.importorskip("torch", reason="the reference is torchvision's GoogLeNet in torch")

    def loss(output: Any, label: Any) -> Any:
        logits, *sides = output
        cross_entropy = torch.nn.functional.cross_entropy
        return cross_entropy(logits, label) + 0.3 * sum(cross_entropy(side, label) for side in sides)

    reference = torch_reference.rectified(torchvision_model(10, dropout=0.0, dropout_aux=0.0))
    torch_reference.check_training_step("googlenet", reference, 224, torch_loss=loss, tolerance=1e-5)


def test_as_many_parameters_as_torchvision() -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's GoogLeNet in torch")
    with torch.device("meta"):
        reference = torchvision_model()
    model = nnx.eval_shape(lambda: create_model("googlenet", num_classes=1000, rngs=nnx.Rngs(0)))
    params = nnx.to_flat_state(nnx.state(model, nnx.Param))
    assert sum(leaf.size for _, leaf in params) == sum(parameter.numel() for parameter in reference.parameters())
    assert sum(leaf.size for path, leaf in params if "auxiliary" not in path) == 6_624_904


def test_weights_begin_as_torchvision_does() -> None:
    architecture = Architecture((("4a", Row(16, 16, 32, 16, 16, 16)),))
    model = nnx.jit(lambda: GoogLeNet(architecture, Settings(num_classes=100, width=0.5), rngs=nnx.Rngs(0)))()
    (module,), (side,) = model.modules, model.auxiliary
    for part in (module.three.parts[1].conv, side.projection.parts[0].conv, side.hidden, side.head, model.head):
        assert np.std(part.kernel[...]) == pytest.approx(0.01, rel=0.05)
    for linear in (side.hidden, side.head, model.head):
        limit = linear.kernel.shape[0] ** -0.5
        assert 0.9 * limit < np.abs(linear.bias[...]).max() <= limit


def test_dropout_as_in_torchvision() -> None:
    model = nnx.eval_shape(lambda: create_model("googlenet", num_classes=2, width=0.1, rngs=nnx.Rngs(0)))
    dropouts = [part for _, part in nnx.iter_modules(model) if isinstance(part, Dropout)]
    assert sorted(part.rate for part in dropouts) == [0.2, 0.7, 0.7]
    assert len({part.salt for part in dropouts}) == 3


def test_side_scores_come_in_training_alone() -> None:
    model = nnx.eval_shape(lambda: create_model("googlenet", num_classes=5, width=0.1, rngs=nnx.Rngs(0)))
    image = jnp.zeros((2, 64, 64, 3))
    training = nnx.eval_shape(lambda model, image: model(image), model, image)
    assert [scores.shape for scores in training.auxiliary] == [(2, 5), (2, 5)]
    evaluated = nnx.view(model, use_running_average=True)
    assert nnx.eval_shape(lambda model, image: model(image), evaluated, image).auxiliary == ()


def test_images_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="GoogLeNet takes images of 15 pixels or more, not 14x14"):
        create_model("googlenet", num_classes=10, image_size=14, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("googlenet", num_classes=2, width=0.1, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x12"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 12, 3)))


@pytest.mark.parametrize(("height", "width", "grid"), [(15, 15, (1, 1)), (224, 224, (7, 7)), (300, 40, (9, 1))])
def test_any_size_channels_and_width(height: int, width: int, grid: tuple[int, int]) -> None:
    model = nnx.eval_shape(lambda: create_model("googlenet", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 115 + 115 + 38 + 38)
    assert output.feature_map.shape == (2, *grid, 115 + 115 + 38 + 38)
