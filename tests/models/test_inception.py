"""Inception v3 against torchvision, and v2 against a definition in torch with the names of its published port."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch_reference
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model
from mtsccd_jax.models.inception_v2 import Architecture as ArchitectureV2
from mtsccd_jax.models.inception_v2 import InceptionV2
from mtsccd_jax.models.inception_v2 import Row as RowV2
from mtsccd_jax.models.inception_v3 import Architecture as ArchitectureV3
from mtsccd_jax.models.inception_v3 import Block, Fork, InceptionV3
from mtsccd_jax.models.layers.blocks import Dropout, Settings, Step

# One module, after which the side classifier comes.
SMALL_V3 = ArchitectureV3(
    (("Mixed_6e", Block((("branch3x3", (Step(64, 1), Fork(64))), ("branch_pool", (Step(64, 1),))))),)
)


def torchvision_v3(num_classes: int = 1000, *, side_classifier: bool, dropout: float = 0.0) -> Any:
    """Inception v3 of torchvision, or skip."""
    pytest.importorskip("torch", reason="the reference is torchvision's Inception v3 in torch")
    try:
        models = torch_reference.import_torchvision().models
    except ModuleNotFoundError:
        pytest.skip("torchvision, the reference, is not installed")
    return models.Inception3(num_classes, aux_logits=side_classifier, init_weights=False, dropout=dropout)


# Figure 5 of the paper, by the last part of the port's names: channels of every convolution.
FIGURE_5 = {
    "3a": {"1x1": 64, "3x3_reduce": 64, "3x3": 64, "double_3x3_reduce": 64, "double_3x3": 96, "pool_proj": 32},
    "3b": {"1x1": 64, "3x3_reduce": 64, "3x3": 96, "double_3x3_reduce": 64, "double_3x3": 96, "pool_proj": 64},
    "3c": {"3x3_reduce": 128, "3x3": 160, "double_3x3_reduce": 64, "double_3x3": 96},
    "4a": {"1x1": 224, "3x3_reduce": 64, "3x3": 96, "double_3x3_reduce": 96, "double_3x3": 128, "pool_proj": 128},
    "4b": {"1x1": 192, "3x3_reduce": 96, "3x3": 128, "double_3x3_reduce": 96, "double_3x3": 128, "pool_proj": 128},
    "4c": {"1x1": 160, "3x3_reduce": 128, "3x3": 160, "double_3x3_reduce": 128, "double_3x3": 160, "pool_proj": 128},
    "4d": {"1x1": 96, "3x3_reduce": 128, "3x3": 192, "double_3x3_reduce": 160, "double_3x3": 192, "pool_proj": 128},
    "4e": {"3x3_reduce": 128, "3x3": 192, "double_3x3_reduce": 192, "double_3x3": 256},
    "5a": {"1x1": 352, "3x3_reduce": 192, "3x3": 320, "double_3x3_reduce": 160, "double_3x3": 224, "pool_proj": 128},
    "5b": {"1x1": 352, "3x3_reduce": 192, "3x3": 320, "double_3x3_reduce": 192, "double_3x3": 224, "pool_proj": 128},
}


def torch_v2(num_classes: int = 1000, modules: Iterable[str] = FIGURE_5) -> Any:
    """Inception v2, or some modules of it, in torch, or skip."""
    torch = pytest.importorskip("torch", reason="the reference is written in torch")
    functional = torch.nn.functional

    class InceptionV2(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add("conv1_7x7_s2", 3, 64, 7, 2)
            self.add("conv2_3x3_reduce", 64, 64, 1)
            self.add("conv2_3x3", 64, 192, 3)
            channels = 192
            for name in modules:
                row = FIGURE_5[name]
                prefix, stride = f"inception_{name}", 1 if "1x1" in row else 2
                if stride == 1:
                    self.add(f"{prefix}_1x1", channels, row["1x1"], 1)
                    self.add(f"{prefix}_pool_proj", channels, row["pool_proj"], 1)
                self.add(f"{prefix}_3x3_reduce", channels, row["3x3_reduce"], 1)
                self.add(f"{prefix}_3x3", row["3x3_reduce"], row["3x3"], 3, stride)
                self.add(f"{prefix}_double_3x3_reduce", channels, row["double_3x3_reduce"], 1)
                self.add(f"{prefix}_double_3x3_1", row["double_3x3_reduce"], row["double_3x3"], 3)
                self.add(f"{prefix}_double_3x3_2", row["double_3x3"], row["double_3x3"], 3, stride)
                last = row["pool_proj"] if stride == 1 else channels
                channels = row.get("1x1", 0) + row["3x3"] + row["double_3x3"] + last
            self.map = torch.nn.Identity()
            self.last_linear = torch.nn.Linear(channels, num_classes)

        def add(self, name: str, in_channels: int, channels: int, size: int, stride: int = 1) -> None:
            self.add_module(name, torch.nn.Conv2d(in_channels, channels, size, stride, size // 2))
            self.add_module(f"{name}_bn", torch.nn.BatchNorm2d(channels))

        def conv(self, name: str, x: Any) -> Any:
            return functional.relu(getattr(self, f"{name}_bn")(getattr(self, name)(x)))

        def inception(self, prefix: str, x: Any) -> Any:
            three = self.conv(f"{prefix}_3x3", self.conv(f"{prefix}_3x3_reduce", x))
            double = self.conv(f"{prefix}_double_3x3_1", self.conv(f"{prefix}_double_3x3_reduce", x))
            double = self.conv(f"{prefix}_double_3x3_2", double)
            if prefix.endswith(("3c", "4e")):
                # One window more than the port has where a side is odd, as the convolutions beside it.
                x = functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf)
                return torch.cat([three, double, functional.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
            pool = functional.max_pool2d if prefix.endswith("5b") else functional.avg_pool2d
            pooled = self.conv(f"{prefix}_pool_proj", pool(x, 3, 1, 1))
            return torch.cat([self.conv(f"{prefix}_1x1", x), three, double, pooled], 1)

        def forward(self, x: Any) -> Any:
            x = functional.max_pool2d(self.conv("conv1_7x7_s2", x), 3, 2, ceil_mode=True)
            x = self.conv("conv2_3x3", self.conv("conv2_3x3_reduce", x))
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
            for name in modules:
                x = self.inception(f"inception_{name}", x)
            return self.last_linear(self.map(x).mean((2, 3)))

    return InceptionV2()


def check_v2(reference: Any, size: int | tuple[int, int], **arguments: Any) -> None:
    torch_reference.check_evaluation(
        "inception_v2",
        torch_reference.rectified(reference),
        size,
        features=lambda seen: seen["last_linear:in"],
        feature_map=lambda seen: seen["map"].permute(0, 2, 3, 1),
        **arguments,
    )


def check_v3(reference: Any, size: int | tuple[int, int], **arguments: Any) -> None:
    torch_reference.check_evaluation(
        "inception_v3",
        torch_reference.rectified(reference),
        size,
        features=lambda seen: seen["fc:in"],
        feature_map=lambda seen: seen["Mixed_7c"].permute(0, 2, 3, 1),
        **arguments,
    )


@pytest.mark.parity
@pytest.mark.parametrize("size", [7, 32, 120, 224])
def test_v2_equals_torch(size: int) -> None:
    check_v2(torch_v2(), size)


@pytest.mark.parity
@pytest.mark.parametrize("size", [75, 224, 299])
def test_v3_equals_torchvision(size: int) -> None:
    check_v3(torchvision_v3(side_classifier=size == 299), size)


@pytest.mark.parity
def test_one_training_step_of_v2_equals_torch() -> None:
    reference = torch_reference.rectified(torch_v2(10))
    torch_reference.check_training_step("inception_v2", reference, 128, tolerance=1e-5)


@pytest.mark.parity
def test_one_training_step_of_v3_equals_torchvision() -> None:
    """With the side classifier, which it has from 299 pixels."""
    torch = pytest.importorskip("torch", reason="the reference is torchvision's Inception v3 in torch")

    def loss(output: Any, label: Any) -> Any:
        cross_entropy = torch.nn.functional.cross_entropy
        return cross_entropy(output.logits, label) + 0.4 * cross_entropy(output.aux_logits, label)

    reference = torch_reference.rectified(torchvision_v3(10, side_classifier=True))
    torch_reference.check_training_step("inception_v3", reference, 299, torch_loss=loss, tolerance=1e-5)


def test_v2_has_as_many_parameters_as_its_port() -> None:
    torch = pytest.importorskip("torch", reason="the reference is written in torch")
    with torch.device("meta"):
        reference = sum(parameter.numel() for parameter in torch_v2().parameters())
    model = nnx.eval_shape(lambda: create_model("inception_v2", num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == reference == 11_295_240


@pytest.mark.parametrize(("size", "side_classifier"), [(224, False), (299, True)])
def test_v3_has_as_many_parameters_as_torchvision(size: int, side_classifier: bool) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torchvision's Inception v3 in torch")
    with torch.device("meta"):
        reference = torchvision_v3(side_classifier=side_classifier)
    model = nnx.eval_shape(lambda: create_model("inception_v3", num_classes=1000, image_size=size, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


def test_v2_weights_begin_as_torch_does() -> None:
    architecture = ArchitectureV2((("5b", RowV2(16, 16, 32, 16, 16, 16)),))
    model = nnx.jit(lambda: InceptionV2(architecture, Settings(num_classes=100, width=0.5), rngs=nnx.Rngs(0)))()
    for part in (model.stem.parts[0].conv, model.modules[0].double.parts[1].conv, model.head):
        limit = np.prod(part.kernel.shape[:-1]) ** -0.5
        assert 0.98 * limit < np.abs(part.kernel[...]).max() <= limit
    assert not np.any(model.stem.parts[0].conv.bias[...])


def test_v3_weights_begin_as_torchvision_does() -> None:
    settings = Settings(num_classes=100, image_size=299, width=0.5)
    model = nnx.jit(lambda: InceptionV3(SMALL_V3, settings, rngs=nnx.Rngs(0)))()
    fork = model.blocks[0].branches[0].fork[1]
    for part in (model.stem.parts[2].conv, fork.parts[0].conv, model.auxiliary[0].chain.parts[1].conv, model.head):
        assert np.std(part.kernel[...]) == pytest.approx(0.1, rel=0.05)
    assert np.std(model.auxiliary[0].head.kernel[...]) == pytest.approx(0.001, rel=0.05)
    limit = model.head.kernel.shape[0] ** -0.5
    assert 0.9 * limit < np.abs(model.head.bias[...]).max() <= limit


def test_v3_dropout_as_in_torchvision() -> None:
    model = nnx.eval_shape(lambda: create_model("inception_v3", num_classes=2, width=0.1, rngs=nnx.Rngs(0)))
    assert [part.rate for _, part in nnx.iter_modules(model) if isinstance(part, Dropout)] == [0.5]


def test_the_side_classifier_of_v3_is_there_from_299_pixels_and_in_training_alone() -> None:
    def make(size: int) -> nnx.Module:
        return nnx.eval_shape(lambda: InceptionV3(SMALL_V3, Settings(num_classes=5, image_size=size), rngs=nnx.Rngs(0)))

    def run(model: nnx.Module, size: int) -> Any:
        return nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, size, size, 3)))

    large = make(299)
    assert [scores.shape for scores in run(large, 299).auxiliary] == [(2, 5)]
    assert run(nnx.view(large, use_running_average=True), 150).auxiliary == ()
    with pytest.raises(InputError, match="with a side classifier takes images of 299 pixels or more, not 150x150"):
        run(large, 150)
    assert run(make(298), 298).auxiliary == ()


@pytest.mark.parametrize(
    ("name", "smallest", "called"), [("inception_v2", 7, "Inception v2"), ("inception_v3", 75, "Inception v3")]
)
def test_images_too_small_are_refused(name: str, smallest: int, called: str) -> None:
    side = smallest - 1
    with pytest.raises(InputError, match=f"{called} takes images of {smallest} pixels or more, not {side}x{side}"):
        create_model(name, num_classes=10, image_size=side, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model(name, num_classes=2, width=0.1, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match=f"not 80x{side}"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 80, side, 3)))


@pytest.mark.parametrize(
    ("name", "height", "width", "grid"),
    [
        ("inception_v2", 7, 7, (1, 1)),
        ("inception_v2", 120, 224, (4, 7)),
        ("inception_v3", 75, 75, (1, 1)),
        ("inception_v3", 300, 80, (8, 1)),
    ],
)
def test_any_size_channels_and_width(name: str, height: int, width: int, grid: tuple[int, int]) -> None:
    model = nnx.eval_shape(lambda: create_model(name, num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0)))
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, height, width, 7)))
    channels = 106 + 96 + 67 + 38 if name == "inception_v2" else 96 + 4 * 115 + 58
    assert output.logits.shape == (2, 3)
    assert output.features.shape == (2, channels)
    assert output.feature_map.shape == (2, *grid, channels)
