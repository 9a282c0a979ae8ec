"""The initial weights of every family, compared in spread and range with the published scheme."""

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mtsccd_jax.models import (
    alexnet,
    convmixer,
    convnext,
    densenet,
    efficientnet,
    googlenet,
    inception_v2,
    inception_v3,
    mixer,
    mobilevit,
    scnn,
    swin,
    vgg,
    vit,
)
from mtsccd_jax.models.layers.conv_norm import Step
from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.network import ImageNetwork, Settings, Signature
from mtsccd_jax.models.resnet import SqueezeBottleneckBlock


def made(network: type[ImageNetwork], architecture: Any, image_size: int = 224, width: float = 1.0) -> Any:
    """Make a network of a small architecture with 100 classes."""
    signature, settings = Signature(100, image_size), Settings(width)
    return nnx.jit(lambda: network(architecture, signature, settings, rngs=nnx.Rngs(0)))()


def check_normal(layers: Iterable[Any], deviation: float | Callable[[Any], float], tolerance: float = 0.06) -> None:
    """Check the standard deviation of the weights of some layers."""
    for layer in layers:
        expected = deviation(layer.kernel.shape) if callable(deviation) else deviation
        assert np.std(layer.kernel[...]) == pytest.approx(expected, rel=tolerance)


def check_no_bias(layers: Iterable[Any]) -> None:
    """Check that biases begin at zero."""
    assert not any(np.any(layer.bias[...]) for layer in layers)


def check_uniform(values: Iterable[Any], limit: float, filled: float = 0.9) -> None:
    """Check that arrays lie in +-limit and reach a share of it."""
    for value in values:
        assert filled * limit < np.abs(value[...]).max() <= limit


def check_torch(layers: Iterable[Any], filled_by_bias: float = 0.5) -> None:
    """Check that weights and biases are uniform in +-1/sqrt(inputs), as in torch."""
    for layer in layers:
        limit = float(np.prod(layer.kernel.shape[:-1]) ** -0.5)
        check_uniform([layer.kernel], limit)
        check_uniform([layer.bias], limit, filled_by_bias)


def test_torch_begins_scnn_alexnet_and_convmixer() -> None:
    model = made(scnn.ShallowCNN, scnn.Architecture(), 32)
    check_torch([*model.convolutions, model.hidden, model.head])
    model = made(alexnet.AlexNet, alexnet.Architecture(), width=0.125)
    check_torch([*model.convolutions, model.first, model.second, model.head])
    model = made(convmixer.ConvMixer, convmixer.Architecture(patch=7, kernel=7, channels=64, depth=1))
    block = model.blocks[0]
    check_torch([model.stem.conv, block.depthwise.conv, block.pointwise.conv, model.head])
    assert block.depthwise.conv.kernel.shape == (7, 7, 1, 64)


def test_vgg_begins_as_in_torchvision() -> None:
    model = made(vgg.VGG, vgg.Architecture((1, 1, 1, 1, 1)), width=0.125)
    convolutions = [convolution for (convolution,) in model.stages]
    check_normal(convolutions, lambda shape: (2 / (9 * shape[-1])) ** 0.5, 0.2)
    check_normal([model.first, model.second, model.head], 0.01)
    check_no_bias([*convolutions, model.first, model.second, model.head])


def test_googlenet_begins_as_in_torchvision() -> None:
    architecture = googlenet.Architecture((("4a", googlenet.Row(16, 16, 32, 16, 16, 16)),))
    model = made(googlenet.GoogLeNet, architecture, width=0.5)
    (module,), (side,) = model.modules, model.auxiliary
    linear = [side.hidden, side.head, model.head]
    check_normal([module.three.parts[1].conv, side.projection.parts[0].conv, *linear], 0.01)
    for layer in linear:
        check_uniform([layer.bias], layer.kernel.shape[0] ** -0.5)


def test_inception_v2_begins_as_torch_does() -> None:
    architecture = inception_v2.Architecture((("5b", inception_v2.Row(16, 16, 32, 16, 16, 16)),))
    model = made(inception_v2.InceptionV2, architecture, width=0.5)
    convolutions = [model.stem.parts[0].conv, model.modules[0].double.parts[1].conv]
    for layer in (*convolutions, model.head):
        check_uniform([layer.kernel], float(np.prod(layer.kernel.shape[:-1]) ** -0.5))
    check_no_bias(convolutions)


def test_inception_v3_begins_as_in_torchvision() -> None:
    fork = inception_v3.Block((("branch3x3", (Step(64, 1), inception_v3.Fork(64))), ("branch_pool", (Step(64, 1),))))
    model = made(inception_v3.InceptionV3, inception_v3.Architecture((("Mixed_6e", fork),)), 299, 0.5)
    forked, side = model.blocks[0].branches[0].fork[1].parts[0].conv, model.auxiliary[0]
    check_normal([model.stem.parts[2].conv, forked, side.chain.parts[1].conv, model.head], 0.1)
    check_normal([side.head], 0.001)
    check_uniform([model.head.bias], model.head.kernel.shape[0] ** -0.5)


def test_squeeze_and_excitation_begins_as_in_timm() -> None:
    """The residual branch begins at zero; biases are uniform by the inputs of their convolution."""
    block = SqueezeBottleneckBlock(16, 64, 1, Dropout(0, salt=0), dtype=jnp.float32, rngs=nnx.Rngs(0))
    assert not np.any(block.third.norm.scale[...])
    for conv, inputs in ((block.attention.squeeze, 256), (block.attention.excite, 16)):
        check_uniform([conv.bias], inputs**-0.5, 0.8)


def test_densenet_begins_as_in_torchvision() -> None:
    """Kaiming normal over the inputs."""
    model = made(densenet.DenseNet, densenet.Architecture((1,)), 32)
    layer = model.blocks[0][0]
    convolutions = [model.stem.conv, layer.mix.conv, layer.conv]
    check_normal(convolutions, lambda shape: (2 / np.prod(shape[:-1])) ** 0.5)
    check_uniform([model.head.kernel], 96**-0.5)
    check_no_bias([model.head])


def test_efficientnet_begins_as_in_timm() -> None:
    """Kaiming normal over the outputs that an input reaches; the head uniform by the number of classes."""
    architecture = efficientnet.Architecture(stem=64, stages=(efficientnet.Stage(1, 3, 1, 8, 1),), last=64)
    model = made(efficientnet.EfficientNet, architecture, 32)
    block = model.stages[0][0]
    for conv, reached in ((model.stem.conv, 9 * 64), (block.depthwise.conv, 9), (model.last.conv, 64)):
        check_normal([conv], (2 / reached) ** 0.5, 0.1)
    check_uniform([model.head.kernel], 0.1)
    check_no_bias([block.attention.squeeze, model.head])


def test_vit_begins_as_in_timm() -> None:
    model = made(vit.VisionTransformer, vit.Architecture(patch=16, embedding=192, depth=1, heads=3), 64)
    block = model.blocks[0]
    linear = [block.attention.qkv, block.attention.projection, block.mlp.expand, block.mlp.contract, model.head]
    check_normal(linear, 0.02)
    check_no_bias(linear)
    assert np.std(model.position_embedding[...]) == pytest.approx(0.02, rel=0.1)
    assert np.abs(model.class_token[...]).max() < 1e-5
    check_torch([model.patch_embedding])


def test_swin_begins_as_in_torchvision() -> None:
    model = made(swin.Swin, swin.Architecture(96, (1, 0, 0, 0), (12, 12, 12, 12), window=7, drop_path=0.0), 32)
    block = model.stages[0][0]
    linear = [block.attention.qkv, block.attention.projection, block.mlp.expand, block.mlp.contract]
    check_normal(linear, 0.02)
    check_no_bias(linear)
    assert np.std(block.attention.table[...]) == pytest.approx(0.02, rel=0.05)


def test_convnext_begins_as_in_timm() -> None:
    model = made(convnext.ConvNeXt, convnext.Architecture(depths=(1, 1, 1, 1), channels=(32, 64, 64, 64)))
    block = model.stages[0][0]
    layers = [model.stem, block.depthwise, block.expand, block.contract, model.downsamplings[0].conv, model.head]
    check_normal(layers, 0.02)
    check_no_bias(layers)
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 128)).astype(np.float32)
    np.testing.assert_array_equal(block.response_norm(jnp.asarray(x)), x)


def test_mlp_mixer_begins_as_in_timm() -> None:
    model = made(mixer.MlpMixer, mixer.Architecture(patch=16, embedding=128, depth=1), 128)
    for mlp, inputs, hidden in ((model.blocks[0].mlp_tokens, 64, 64), (model.blocks[0].mlp_channels, 128, 512)):
        check_uniform([mlp.expand.kernel, mlp.contract.kernel], (6 / (inputs + hidden)) ** 0.5, 0.99)
        check_no_bias([mlp.expand, mlp.contract])
    check_normal([model.patch_embedding], 768**-0.5)
    check_no_bias([model.patch_embedding])
    assert not np.any(model.head.kernel[...])


def test_mobilevit_begins_as_in_timm() -> None:
    model = made(mobilevit.MobileVit, mobilevit.Architecture((mobilevit.Stage(16, 1, 1, 64, 1),), last=64), 32)
    residual, block = model.stages[0]
    for conv, reached in ((model.stem.conv, 9 * 16), (residual.depthwise.conv, 9), (block.fuse.conv, 9 * 16)):
        check_normal([conv], (2 / reached) ** 0.5, 0.1)
    linear = [block.blocks[0].attention.qkv, block.blocks[0].mlp.expand, model.head]
    check_normal(linear, 0.01)
    check_no_bias(linear)
    assert residual.drop is not None
    assert not np.any(residual.project.norm.scale[...])
