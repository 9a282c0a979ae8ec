"""Residual networks against torchvision, and timm: evaluation, one training step, initial weights."""

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
from mtsccd_jax.models.layers.blocks import Dropout
from mtsccd_jax.models.resnet import SqueezeBottleneckBlock


def torchvision_model(name: str, **arguments: Any) -> Any:
    """A network of torchvision, or skip."""
    pytest.importorskip("torch", reason="the reference is torchvision's ResNet in torch")
    try:
        return getattr(torch_reference.import_torchvision().models, name)(**arguments)
    except ModuleNotFoundError:
        pytest.skip("torchvision, the reference, is not installed")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", (96, 96)),
        ("resnet18", (64, 80)),
        ("resnet50", (224, 224)),
        ("resnet50", (33, 47)),
        pytest.param("resnet18", (224, 224), marks=pytest.mark.parity),
        *(
            pytest.param(name, size, marks=pytest.mark.parity)
            for name in ("resnet34", "resnet101", "resnet152")
            for size in ((224, 224), (75, 110))
        ),
    ],
)
def test_logits_features_and_map_equal_torchvision(name: str, size: tuple[int, int]) -> None:
    reference = torchvision_model(name, num_classes=10)
    torch_reference.check_evaluation(
        name,
        reference,
        size,
        features=lambda seen: seen["fc:in"],
        feature_map=lambda seen: seen["layer4"].permute(0, 2, 3, 1),
    )


def test_one_training_step_equals_torch() -> None:
    torch_reference.check_training_step("resnet18", torchvision_model("resnet18", num_classes=10), 80, tolerance=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnet101", "resnet152"])
def test_one_training_step_of_the_deeper_networks_equals_torch(name: str) -> None:
    torch_reference.check_training_step(name, torchvision_model(name, num_classes=10), 80, tolerance=1e-4)


def import_timm() -> Any:
    """timm, or skip."""
    pytest.importorskip("torch", reason="the reference is timm's SE-ResNet in torch")
    try:
        return torch_reference.import_timm()
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")


@pytest.fixture
def shallow_seresnet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One block a stage in timm, none of which begins at zero; SE-ResNet-50 is then the same."""
    timm, depths = import_timm(), (1, 1, 1, 1)
    entry = MODELS["seresnet50"]
    monkeypatch.setitem(MODELS, "seresnet50", replace(entry, architecture=replace(entry.architecture, depths=depths)))
    arguments = {"block_args": {"attn_layer": "se"}, "num_classes": 10, "zero_init_last": False}
    return timm.models.resnet.ResNet(timm.models.resnet.Bottleneck, depths, **arguments)


def check_seresnet(reference: Any, size: tuple[int, int]) -> None:
    torch_reference.check_evaluation(
        "seresnet50",
        reference,
        size,
        features=lambda seen: seen["fc:in"],
        feature_map=lambda seen: seen["layer4"].permute(0, 2, 3, 1),
    )


def test_squeeze_and_excitation_equals_timm(shallow_seresnet: Any) -> None:
    check_seresnet(shallow_seresnet, (33, 64))


@pytest.mark.parity
@pytest.mark.parametrize("size", [(224, 224), (75, 110)])
def test_the_full_seresnet50_equals_timm(size: tuple[int, int]) -> None:
    check_seresnet(import_timm().create_model("seresnet50", num_classes=10), size)


@pytest.mark.parity
def test_one_training_step_of_the_full_seresnet50_equals_torch() -> None:
    reference = import_timm().create_model("seresnet50", num_classes=10, zero_init_last=False)
    torch_reference.check_training_step("seresnet50", reference, 64, tolerance=1e-5)


def test_seresnet50_has_as_many_parameters_as_timm() -> None:
    timm = import_timm()
    import torch

    with torch.device("meta"):
        reference = timm.create_model("seresnet50")
    model = nnx.eval_shape(lambda: create_model("seresnet50", num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_squeeze_and_excitation_begins_as_timm_does() -> None:
    """The branch at zero, biases uniform by the inputs of their convolution."""
    block = SqueezeBottleneckBlock(16, 64, 1, Dropout(0, salt=0), dtype=jnp.float32, rngs=nnx.Rngs(0))
    assert not np.any(block.third.norm.scale[...])
    for conv, inputs in ((block.attention.squeeze, 256), (block.attention.excite, 16)):
        assert 0.8 * inputs**-0.5 < np.abs(conv.bias[...]).max() <= inputs**-0.5


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_as_many_parameters_as_torchvision(name: str) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's ResNet in torch")
    with torch.device("meta"):
        reference = torchvision_model(name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_images_too_small_for_five_halvings_are_refused() -> None:
    with pytest.raises(InputError, match="32 pixels or more, not 31x31"):
        create_model("resnet18", num_classes=10, image_size=31, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("resnet18", num_classes=2, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x24"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 24, 3)))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 63), (300, 40)])
def test_any_size_channels_and_width(height: int, width: int) -> None:
    model = nnx.eval_shape(lambda: create_model("resnet50", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, 19 * 8 * 4)
    assert output.feature_map.shape == (2, -(-height // 32), -(-width // 32), 19 * 8 * 4)
