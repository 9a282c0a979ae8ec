"""EfficientNet against torchvision and timm: evaluation, one training step, stochastic depth, initial weights."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, create_model, efficientnet
from mtsccd_jax.models.efficientnet import Architecture, EfficientNet, Stage
from mtsccd_jax.models.layers.blocks import Settings
from mtsccd_jax.models.weights.mapping import slots

NAME = "efficientnet_b0"
# Every kind of block: without expansion, with a stride, with an identity beside it, both kernels.
SHALLOW = Architecture(stem=16, stages=(Stage(1, 3, 1, 8, 1), Stage(6, 3, 2, 16, 2), Stage(6, 5, 2, 24, 2)), last=64)


def import_reference(package: str) -> Any:
    """torchvision or timm, or skip."""
    pytest.importorskip("torch", reason="the reference is an EfficientNet in torch")
    try:
        return torch_reference.import_timm() if package == "timm" else torch_reference.import_torchvision()
    except ModuleNotFoundError:
        pytest.skip(f"{package}, the reference, is not installed")


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A few blocks in torchvision, nothing dropped; EfficientNet-B0 is then the same."""
    models = import_reference("torchvision").models.efficientnet
    monkeypatch.setitem(MODELS, NAME, replace(MODELS[NAME], architecture=SHALLOW))
    settings, in_channels = [], SHALLOW.stem
    for expansion, size, stride, channels, blocks in SHALLOW.stages:
        settings.append(models.MBConvConfig(expansion, size, stride, in_channels, channels, blocks))
        in_channels = channels
    return models.EfficientNet(
        settings, dropout=0.0, stochastic_depth_prob=0.0, num_classes=10, last_channel=SHALLOW.last
    )


def check_torchvision(reference: Any, size: tuple[int, int]) -> None:
    torch_reference.check_evaluation(
        NAME,
        reference,
        size,
        features=lambda seen: seen["avgpool"].flatten(1),
        feature_map=lambda seen: seen["features"].permute(0, 2, 3, 1),
    )


@pytest.mark.parametrize("size", [(64, 64), (33, 47)])
def test_logits_features_and_map_equal_torchvision(shallow: Any, size: tuple[int, int]) -> None:
    check_torchvision(shallow, size)


def check_training_step(reference: Any, image_size: int) -> None:
    """From biases that are not zero: before a normalisation their gradient is nothing but rounding."""
    torch_reference.randomize(reference, seed=0)
    torch_reference.check_training_step(NAME, reference, image_size, tolerance=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("size", [(224, 224), (75, 110)])
def test_the_full_network_equals_torchvision(size: tuple[int, int]) -> None:
    check_torchvision(import_reference("torchvision").models.efficientnet_b0(num_classes=10), size)


@pytest.mark.parity
@pytest.mark.parametrize("size", [(224, 224), (75, 110)])
def test_the_full_network_equals_timm(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, NAME, replace(MODELS[NAME], names=(efficientnet.timm_names,)))
    torch_reference.check_evaluation(
        NAME,
        import_reference("timm").create_model(NAME, num_classes=10),
        size,
        features=lambda seen: seen["classifier:in"],
        feature_map=lambda seen: seen["bn2"].permute(0, 2, 3, 1),
    )


@pytest.mark.parity
def test_one_training_step_of_the_full_network_equals_torch() -> None:
    models = import_reference("torchvision").models
    reference = models.efficientnet_b0(num_classes=10, dropout=0.0, stochastic_depth_prob=0.0)
    check_training_step(reference, 64)


@pytest.mark.parametrize(
    ("package", "names"),
    [("torchvision", efficientnet.torchvision_names), ("timm", efficientnet.timm_names)],
)
def test_every_array_has_its_published_name_and_shape(package: str, names: Any) -> None:
    reference = import_reference(package)
    import torch

    with torch.device("meta"):
        reference = reference.create_model(NAME) if package == "timm" else reference.models.efficientnet_b0()
    shapes = {name: value.shape for name, value in reference.state_dict().items() if value.is_floating_point()}
    model = nnx.eval_shape(lambda: create_model(NAME, num_classes=1000, rngs=nnx.Rngs(0)))
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), nnx.state(model))
    nnx.update(model, state)
    assert {slot.name: slot.to_published().shape for slot in slots(model, names)} == shapes


def test_weights_begin_as_timm_does() -> None:
    """Kaiming normal over the outputs that an input reaches; the head uniform by the number of classes."""
    architecture = Architecture(stem=64, stages=(Stage(1, 3, 1, 8, 1),), last=64)
    model = EfficientNet(architecture, Settings(num_classes=100, image_size=32), rngs=nnx.Rngs(0))
    block = model.stages[0][0]
    for conv, reached in ((model.stem.conv, 9 * 64), (block.depthwise.conv, 9), (model.last.conv, 64)):
        assert np.std(conv.kernel[...]) == pytest.approx((2 / reached) ** 0.5, rel=0.1)
    assert not np.any(block.attention.squeeze.bias[...])
    assert 0.09 < np.abs(model.head.kernel[...]).max() <= 0.1
    assert not np.any(model.head.bias[...])


def test_more_is_dropped_the_deeper_a_block_is() -> None:
    model = nnx.eval_shape(lambda: create_model(NAME, num_classes=10, rngs=nnx.Rngs(0)))
    blocks = [block for stage in model.stages for block in stage]
    rates = {i: block.drop.rate for i, block in enumerate(blocks) if block.drop is not None}
    assert rates == pytest.approx({i: 0.2 * i / 16 for i in (2, 4, 6, 7, 9, 10, 12, 13, 14)})
    salts = [block.drop.salt for block in blocks if block.drop is not None] + [model.dropout.salt]
    assert len(set(salts)) == len(salts)


def test_what_is_dropped_depends_on_the_example() -> None:
    architecture = Architecture(stem=4, stages=(Stage(1, 3, 1, 4, 2),), last=8, dropout=0.0, stochastic_depth=1.0)
    model = EfficientNet(architecture, Settings(num_classes=3, image_size=32), rngs=nnx.Rngs(0))
    evaluating = nnx.view(model, use_running_average=True)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(1, 32, 32, 3)).repeat(8, 0), jnp.float32)
    dropping = nnx.view(evaluating, example_keys=jax.random.split(jax.random.key(0), 8))
    forward = jax.jit(lambda model, image: model(image).logits)
    assert np.ptp(forward(evaluating, image), axis=0).max() < 1e-6
    assert np.ptp(forward(dropping, image), axis=0).max() > 1e-3


def test_images_too_small_for_five_halvings_are_refused() -> None:
    with pytest.raises(InputError, match="an EfficientNet takes images of 32 pixels or more, not 31x31"):
        create_model(NAME, num_classes=10, image_size=31, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model(NAME, num_classes=2, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x24"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 24, 3)))


def test_any_size_channels_and_width() -> None:
    model = nnx.eval_shape(lambda: create_model(NAME, num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, 33, 63, 7)))
    assert output.logits.shape == (2, 3)
    assert output.feature_map.shape == (2, 2, 2, 384)
