"""MobileViT against timm: evaluation, one training step, maps that patches do not fill, initial weights."""

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
from mtsccd_jax.models.layers.blocks import Settings
from mtsccd_jax.models.mobilevit import Architecture, MobileVit, Stage, resized

NAMES = ["mobilevit_xxs", "mobilevit_xs", "mobilevit_s"]


def import_timm() -> Any:
    """timm, or skip."""
    pytest.importorskip("torch", reason="the reference is timm's MobileViT in torch")
    try:
        return torch_reference.import_timm()
    except ModuleNotFoundError:
        pytest.skip("timm, the reference, is not installed")


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A few blocks in timm, of which none begins as the identity; MobileViT-S is then the same."""
    timm = import_timm()
    architecture = Architecture(
        (Stage(16, 1, 1), Stage(24, 1, 2, 32, 1), Stage(32, 1, 2, 32, 2)), last=48, expansion=2, stem=16
    )
    monkeypatch.setitem(MODELS, "mobilevit_s", replace(MODELS["mobilevit_s"], architecture=architecture))
    module = timm.models.mobilevit
    blocks = (
        module._inverted_residual_block(d=1, c=16, s=1, br=2.0),
        *(
            module._mobilevit_block(d=1, c=c, s=2, transformer_dim=32, transformer_depth=depth, patch_size=2, br=2.0)
            for c, depth in ((24, 1), (32, 2))
        ),
    )
    config = replace(module.model_cfgs["mobilevit_s"], blocks=blocks, num_features=48)
    return timm.models.byobnet.ByobNet(config, num_classes=10, zero_init_last=False)


def check_evaluation(name: str, reference: Any, size: tuple[int, int]) -> None:
    torch_reference.check_evaluation(
        name,
        reference,
        size,
        features=lambda seen: seen["head.global_pool"],
        feature_map=lambda seen: seen["final_conv"].permute(0, 2, 3, 1),
    )


@pytest.mark.parametrize("size", [(64, 64), (33, 44)])
def test_logits_features_and_map_equal_timm(shallow: Any, size: tuple[int, int]) -> None:
    """Also where the maps have odd sides and are stretched."""
    check_evaluation("mobilevit_s", shallow, size)


def check_training_step(name: str, reference: Any, image_size: int) -> None:
    """From biases that are not zero: before a normalisation their gradient is nothing but rounding."""
    torch_reference.randomize(reference, seed=0)
    torch_reference.check_training_step(name, reference, image_size, tolerance=1e-5)


@pytest.mark.parity
def test_one_training_step_equals_torch(shallow: Any) -> None:
    """Both maps that are cut into patches have odd sides, so that the gradient of the stretching counts."""
    check_training_step("mobilevit_s", shallow, 36)


@pytest.mark.parity
@pytest.mark.parametrize("size", [(224, 224), (256, 256), (72, 100)])
@pytest.mark.parametrize("name", NAMES)
def test_full_networks_equal_timm(name: str, size: tuple[int, int]) -> None:
    check_evaluation(name, import_timm().create_model(name, num_classes=10), size)


@pytest.mark.parity
@pytest.mark.parametrize("name", NAMES)
def test_one_training_step_of_full_networks_equals_torch(name: str) -> None:
    reference = import_timm().create_model(name, num_classes=10, zero_init_last=False)
    check_training_step(name, reference, 64)


@pytest.mark.parametrize("name", NAMES)
def test_as_many_parameters_as_timm(name: str) -> None:
    timm = import_timm()
    import torch

    with torch.device("meta"):
        reference = timm.create_model(name)
    model = nnx.eval_shape(lambda: create_model(name, num_classes=1000, rngs=nnx.Rngs(0)))
    ours = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert ours == sum(parameter.numel() for parameter in reference.parameters())


@pytest.mark.parametrize(("side", "other"), [((5, 7), (6, 8)), ((6, 8), (5, 7)), ((1, 3), (2, 4)), ((2, 4), (1, 3))])
def test_stretching_and_shrinking_equal_torch(side: tuple[int, int], other: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torch's interpolate")
    x = np.random.default_rng(0).normal(size=(2, *side, 3)).astype(np.float32)
    reference = torch.nn.functional.interpolate(torch_reference.channels_first(x), size=other, mode="bilinear")
    assert torch_reference.relative_error(resized(x, *other), reference.numpy().transpose(0, 2, 3, 1)) < 1e-6


def test_weights_begin_as_timm_does() -> None:
    architecture = Architecture((Stage(16, 1, 1, 64, 1),), last=64)
    model = MobileVit(architecture, Settings(num_classes=100, image_size=32), rngs=nnx.Rngs(0))
    residual, block = model.stages[0]
    for conv, reached in ((model.stem.conv, 9 * 16), (residual.depthwise.conv, 9), (block.fuse.conv, 9 * 16)):
        assert np.std(conv.kernel[...]) == pytest.approx((2 / reached) ** 0.5, rel=0.1)
    transformer = block.blocks[0]
    for layer in (transformer.attention.qkv, transformer.mlp.expand, model.head):
        assert np.std(layer.kernel[...]) == pytest.approx(0.01, rel=0.05)
        assert not np.any(layer.bias[...])
    assert residual.drop is not None
    assert not np.any(residual.project.norm.scale[...])


def test_images_too_small_for_five_halvings_are_refused() -> None:
    with pytest.raises(InputError, match="a MobileViT takes images of 32 pixels or more, not 31x31"):
        create_model("mobilevit_xxs", num_classes=10, image_size=31, rngs=nnx.Rngs(0))
    model = nnx.eval_shape(lambda: create_model("mobilevit_xxs", num_classes=2, rngs=nnx.Rngs(0)))
    with pytest.raises(InputError, match="not 64x24"):
        nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((1, 64, 24, 3)))


def test_any_size_channels_and_width() -> None:
    model = nnx.eval_shape(
        lambda: create_model("mobilevit_s", num_classes=3, in_channels=7, width=0.3, rngs=nnx.Rngs(0))
    )
    output = nnx.eval_shape(lambda model, image: model(image), model, jnp.zeros((2, 33, 100, 7)))
    assert output.logits.shape == (2, 3)
    assert output.feature_map.shape == (2, 2, 4, 192)
