"""Densely connected networks against torchvision: evaluation, one training step, memory, division over devices."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS, create_model, densenet
from mtsccd_jax.models.layers.blocks import Settings

NAMES = ["densenet121", "densenet169", "densenet201"]
SHALLOW = (2, 3, 2, 2)


def torchvision_model(name: str, **arguments: Any) -> Any:
    """A network of torchvision, or skip."""
    pytest.importorskip("torch", reason="the reference is torchvision's DenseNet in torch")
    try:
        return getattr(torch_reference.import_torchvision().models, name)(**arguments)
    except ModuleNotFoundError:
        pytest.skip("torchvision, the reference, is not installed")


@pytest.fixture
def few_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """DenseNet-121 has a few layers in each of its blocks."""
    entry = replace(MODELS["densenet121"], architecture=densenet.Architecture(SHALLOW))
    monkeypatch.setitem(MODELS, "densenet121", entry)


@pytest.fixture
def shallow(few_layers: None) -> Any:
    """A few layers of a quarter of the channels: the reference; DenseNet-121 at width 0.25 is then the same."""
    return torchvision_model("DenseNet", growth_rate=8, block_config=SHALLOW, num_init_features=16, num_classes=10)


def check_evaluation(name: str, reference: Any, size: tuple[int, int], **arguments: Any) -> None:
    torch_reference.check_evaluation(
        name,
        reference,
        size,
        features=lambda seen: seen["classifier:in"],
        feature_map=lambda seen: seen["features"].relu().permute(0, 2, 3, 1),
        **arguments,
    )


@pytest.mark.parametrize("size", [(64, 64), (29, 47)])
def test_logits_features_and_map_equal_torchvision(shallow: Any, size: tuple[int, int]) -> None:
    check_evaluation("densenet121", shallow, size, width=0.25)


@pytest.mark.parity
@pytest.mark.parametrize("size", [(224, 224), (61, 94)])
@pytest.mark.parametrize("name", NAMES)
def test_full_networks_equal_torchvision(name: str, size: tuple[int, int]) -> None:
    check_evaluation(name, torchvision_model(name, num_classes=10), size)


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_one_training_step_of_full_networks_equals_torch(name: str) -> None:
    torch_reference.check_training_step(name, torchvision_model(name, num_classes=10), 64, tolerance=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_as_many_parameters_as_torchvision(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's DenseNet in torch")
    with torch.device("meta"):
        reference = torchvision_model(name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_the_files_of_torchvision_have_dots_in_the_names_of_layers() -> None:
    model = nnx.eval_shape(lambda: create_model("densenet121", num_classes=10, rngs=nnx.Rngs(0)))
    names = [name for name, _ in densenet.file_names(model)]
    assert names[:4] == [
        "features.conv0",
        "features.norm0",
        "features.denseblock1.denselayer1.norm.1",
        "features.denseblock1.denselayer1.conv.1",
    ]
    assert {"features.transition3.conv", "features.denseblock4.denselayer16.conv.2", "classifier"} <= set(names)
    assert len(names) == len(list(densenet.names(model)))


def step(
    model: nnx.Module, image: jax.Array, weight: jax.Array, axis_name: str | None = None
) -> tuple[nnx.State, nnx.State]:
    """Gradients of a weighted sum of the logits, and the statistics after it."""
    graph, params, statistics = nnx.split(model, nnx.Param, ...)

    def loss(params: nnx.State) -> tuple[jax.Array, nnx.State]:
        model = nnx.merge(graph, params, statistics, copy=True)
        if axis_name is not None:
            model = nnx.view(model, axis_name=axis_name)
        return jnp.sum(model(image).logits * weight), nnx.state(model, nnx.BatchStat)

    gradients, after = jax.grad(loss, has_aux=True)(params)
    return (gradients if axis_name is None else jax.lax.psum(gradients, axis_name)), after


def test_a_batch_divided_over_devices_gives_the_same() -> None:
    settings = Settings(num_classes=3, image_size=32, width=0.25)
    model = densenet.DenseNet(densenet.Architecture((2,)), settings, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    image, weight = rng.normal(size=(16, 32, 32, 3)), rng.normal(size=(16, 3))
    image, weight = image.astype(np.float32), weight.astype(np.float32)
    graph, state = nnx.split(model)

    expected = jax.jit(lambda state, image, weight: step(nnx.merge(graph, state), image, weight))(state, image, weight)
    mapped = jax.pmap(
        lambda state, image, weight: step(nnx.merge(graph, state), image, weight, "data"),
        axis_name="data",
        in_axes=(None, 0, 0),
        out_axes=None,
    )
    divided = mapped(state, image.reshape(8, 2, 32, 32, 3), weight.reshape(8, 2, 3))

    for ours, reference in zip(jax.tree.leaves(divided), jax.tree.leaves(expected), strict=True):
        assert np.abs(ours - reference).max() < 1e-4 * max(1, np.abs(reference).max())


def kept_bytes(depth: int) -> int:
    """What the forward pass of one dense block leaves to the backward pass."""
    settings = Settings(num_classes=2, image_size=64, width=0.25)
    model = nnx.eval_shape(lambda: densenet.DenseNet(densenet.Architecture((depth,)), settings, rngs=nnx.Rngs(0)))
    graph, params, statistics = nnx.split(model, nnx.Param, ...)

    def pull_back(params: nnx.State, statistics: nnx.State, image: jax.Array) -> Any:
        return jax.vjp(lambda params: nnx.merge(graph, params, statistics, copy=True)(image).logits, params)[1]

    image = jax.ShapeDtypeStruct((8, 64, 64, 3), jnp.float32)
    return sum(leaf.size * 4 for leaf in jax.tree.leaves(jax.eval_shape(pull_back, params, statistics, image)))


def test_what_the_backward_pass_needs_grows_with_the_depth_and_not_with_its_square() -> None:
    shallow, deeper, deepest = (kept_bytes(depth) for depth in (4, 12, 20))
    assert deepest - deeper < 1.1 * (deeper - shallow)


def test_weights_begin_as_torchvision_does() -> None:
    """Kaiming normal over the inputs."""
    settings = Settings(num_classes=10, image_size=32)
    model = densenet.DenseNet(densenet.Architecture((1,)), settings, rngs=nnx.Rngs(0))
    layer = model.blocks[0][0]
    for conv, inputs in ((model.stem.conv, 3 * 49), (layer.mix.conv, 64), (layer.conv, 9 * 128)):
        assert np.std(conv.kernel[...]) == pytest.approx((2 / inputs) ** 0.5, rel=0.05)
    assert 0.9 * 96**-0.5 < np.abs(model.head.kernel[...]).max() <= 96**-0.5
    assert not np.any(model.head.bias[...])


@pytest.mark.usefixtures("few_layers")
def test_images_too_small_for_the_last_transition_are_refused() -> None:
    with pytest.raises(InputError, match="a DenseNet takes images of 29 pixels or more, not 28x28"):
        create_model("densenet121", num_classes=10, image_size=28, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("densenet121", num_classes=2, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x24"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 24, 3)))


@pytest.mark.usefixtures("few_layers")
@pytest.mark.parametrize(("height", "width"), [(33, 63)])
def test_any_size_channels_and_width(height: int, width: int) -> None:
    model = nnx.eval_shape(
        lambda: create_model("densenet121", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0))
    )
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    side = [-(-length // 4) // 8 for length in (height, width)]
    assert output.feature_map.shape == (2, *side, output.features.shape[1])
